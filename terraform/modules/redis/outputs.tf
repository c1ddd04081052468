output "host" {
  description = "Where to connect to, with TLS."
  value       = aws_elasticache_replication_group.this.primary_endpoint_address
}

output "port" {
  description = "Port of the store."
  value       = aws_elasticache_replication_group.this.port
}

output "security_group_id" {
  description = "Group of the store, which clients' groups go out to."
  value       = aws_security_group.this.id
}
