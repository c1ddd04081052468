output "host" {
  description = "Where to connect to write."
  # Not before it can be connected to: Aurora's name exists before its first machine.
  value = local.aurora ? aws_rds_cluster.this[0].endpoint : aws_db_instance.this[0].address

  depends_on = [aws_rds_cluster_instance.this]
}

output "read_hosts" {
  description = "Where to connect to read only: the replicas, or Aurora's one name for them; empty without any."
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
  description = "Name of the database inside."
  value       = local.database
}

output "master_secret_arn" {
  description = "Secret of the schema's owner, kept by RDS or by us: JSON with username and password."
  value = (
    local.aurora ? aws_rds_cluster.this[0].master_user_secret[0].secret_arn
    : local.master_kept_by_rds ? aws_db_instance.this[0].master_user_secret[0].secret_arn
    : aws_secretsmanager_secret.master[0].arn
  )
}

output "passwords" {
  description = "The passwords that are ours to make, by user: the arguments of scripts/database_password.sh. No password is here."
  value = merge(
    { app = "--secret ${aws_secretsmanager_secret.app.arn} --username ${local.app}" },
    local.master_kept_by_rds ? {} : {
      master = "--secret ${aws_secretsmanager_secret.master[0].arn} --username ${local.master} --instance ${aws_db_instance.this[0].identifier}"
    },
  )
}

output "app_username" {
  description = "Name of the service's own user."
  value       = local.app
}

output "app_secret_arn" {
  description = "Secret of the service's own user: JSON with username and password."
  value       = aws_secretsmanager_secret.app.arn
}

output "security_group_id" {
  description = "Group of the database, which clients' groups go out to."
  value       = aws_security_group.this.id
}

output "identifiers" {
  description = "What CloudWatch knows the database by: the cluster (null but for Aurora), the machine that writes and the replicas."
  value = {
    cluster  = one(aws_rds_cluster.this[*].cluster_identifier)
    writer   = local.aurora ? null : aws_db_instance.this[0].identifier
    replicas = [for replica in aws_db_instance.replica : replica.identifier]
  }
}
