output "host" {
  description = "Host name to connect to, with TLS."
  value       = aws_elasticache_replication_group.this.primary_endpoint_address
}

output "port" {
  description = "Port of the store."
  value       = aws_elasticache_replication_group.this.port
}

output "security_group_id" {
  description = "Security group of the store; clients' security groups need egress to it."
  value       = aws_security_group.this.id
}
