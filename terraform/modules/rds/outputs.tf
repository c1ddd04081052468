output "host" {
  description = "Host name for writes."
  # Available only when it accepts connections: Aurora's name exists before its first instance.
  value = local.aurora ? aws_rds_cluster.this[0].endpoint : aws_db_instance.this[0].address

  depends_on = [aws_rds_cluster_instance.this]
}

output "read_hosts" {
  description = "Host names for reads: the replicas, or Aurora's reader endpoint; empty if there are none."
  value = (
    local.aurora
    ? (length(aws_rds_cluster_instance.this) > 1 ? [aws_rds_cluster.this[0].reader_endpoint] : [])
    : [for replica in aws_db_instance.replica : replica.address]
  )
}

output "port" {
  description = "Port of the database."
  value       = local.port
}

output "database_name" {
  description = "Name of the database."
  value       = local.database
}

output "master_secret_arn" {
  description = "Secret of the schema's owner, managed by RDS or by us: JSON with username and password."
  value = (
    local.aurora ? aws_rds_cluster.this[0].master_user_secret[0].secret_arn
    : local.master_kept_by_rds ? aws_db_instance.this[0].master_user_secret[0].secret_arn
    : aws_secretsmanager_secret.master[0].arn
  )
}

output "passwords" {
  description = "The arguments of scripts/database_password.sh for each user whose password we manage. Contains no password."
  value = merge(
    { app = "--secret ${aws_secretsmanager_secret.app.arn} --username ${local.app}" },
    local.master_kept_by_rds ? {} : {
      master = "--secret ${aws_secretsmanager_secret.master[0].arn} --username ${local.master} --instance ${aws_db_instance.this[0].identifier}"
    },
  )
}

output "app_username" {
  description = "Name of the service's user."
  value       = local.app
}

output "app_secret_arn" {
  description = "Secret of the service's user: JSON with username and password."
  value       = aws_secretsmanager_secret.app.arn
}

output "security_group_id" {
  description = "Security group of the database; clients' security groups need egress to it."
  value       = aws_security_group.this.id
}

output "identifiers" {
  description = "Identifiers of the database in CloudWatch: the cluster (Aurora only, else null), the writer and the replicas."
  value = {
    cluster  = one(aws_rds_cluster.this[*].cluster_identifier)
    writer   = local.aurora ? null : aws_db_instance.this[0].identifier
    replicas = [for replica in aws_db_instance.replica : replica.identifier]
  }
}

output "arn" {
  description = "ARN of the instance or cluster, for backups."
  value       = local.aurora ? aws_rds_cluster.this[0].arn : aws_db_instance.this[0].arn
}
