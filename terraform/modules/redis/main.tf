# A Redis-compatible key-value store for services that need one. It is Valkey, which costs a fifth less.

resource "aws_elasticache_subnet_group" "this" {
  name        = var.name
  description = "Data subnets of ${var.name}"
  subnet_ids  = var.subnet_ids
}

resource "aws_security_group" "this" {
  name        = "${var.name}-redis"
  description = "Key-value store of ${var.name}: Redis from its clients"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-redis" }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = var.clients

  security_group_id            = aws_security_group.this.id
  description                  = "Redis from ${each.key}"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
}

# Encrypted in transit and at rest. Access is controlled by the security group above. There is no password, because
# Terraform would keep it in its state.
resource "aws_elasticache_replication_group" "this" {
  replication_group_id = var.name
  description          = "Key-value store of ${var.name}"
  engine               = "valkey"
  engine_version       = "8.0"
  node_type            = var.redis.node_type
  port                 = 6379

  num_cache_clusters         = 1 + var.redis.replicas
  automatic_failover_enabled = var.redis.replicas > 0
  multi_az_enabled           = var.redis.replicas > 0

  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.this.id]
  transit_encryption_enabled = true
  at_rest_encryption_enabled = true

  snapshot_retention_limit   = var.redis.snapshot_days
  final_snapshot_identifier  = var.protected ? "${var.name}-final-${terraform_data.born.output}" : null
  maintenance_window         = "sun:03:30-sun:04:30"
  snapshot_window            = "02:00-03:00"
  auto_minor_version_upgrade = true
  apply_immediately          = !var.protected
}

# The time the store was first created, for the name of its final snapshot. Otherwise two stores of the same name, one
# after the other, would use the same snapshot name.
resource "terraform_data" "born" {
  input = formatdate("YYYYMMDDhhmm", plantimestamp())

  lifecycle {
    ignore_changes = [input]
  }
}
