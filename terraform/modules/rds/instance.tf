# One machine, a standby in another zone with multi_az, and read replicas by count.

resource "aws_db_instance" "this" {
  count = local.aurora ? 0 : 1

  identifier     = var.name
  engine         = "postgres"
  engine_version = var.database.engine_version
  instance_class = var.database.instance_class
  db_name        = local.database
  port           = local.port

  username = local.master
  # RDS makes the password and keeps it in Secrets Manager: Terraform never sees it, and nothing but a migration, which
  # reads it afresh, depends on it.
  manage_master_user_password = local.master_kept_by_rds ? true : null
  # Where RDS cannot, the machine starts with a password that nobody learns, not even the state (write-only), and
  # scripts/database_password.sh then sets one.
  password_wo         = local.master_kept_by_rds ? null : uuid()
  password_wo_version = local.master_kept_by_rds ? null : 1
  # The service has a user and a password of its own (docs/decisions).
  iam_database_authentication_enabled = false

  # Grows on demand, up to the second number, and never shrinks.
  storage_type          = "gp3"
  allocated_storage     = var.database.storage_gb
  max_allocated_storage = var.database.max_storage_gb
  storage_encrypted     = true

  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.this.id]
  publicly_accessible    = false
  parameter_group_name   = aws_db_parameter_group.this.name
  ca_cert_identifier     = "rds-ca-rsa2048-g1"

  multi_az                = var.database.multi_az
  backup_retention_period = var.database.backup_days
  # The quietest hours of Europe; the second must not overlap the first.
  backup_window              = "02:00-03:00"
  maintenance_window         = "sun:03:30-sun:04:30"
  auto_minor_version_upgrade = true
  copy_tags_to_snapshot      = true
  delete_automated_backups   = !var.protected
  deletion_protection        = var.protected
  skip_final_snapshot        = !var.protected
  final_snapshot_identifier  = "${var.name}-final-${terraform_data.born.output}"

  # Seven days of it are free.
  performance_insights_enabled          = true
  performance_insights_retention_period = 7
  enabled_cloudwatch_logs_exports       = ["postgresql"]

  # A change waits for the maintenance window, so that an apply at noon does not restart the database.
  apply_immediately = !var.protected

  # The log group must be ours before RDS would make one.
  depends_on = [aws_cloudwatch_log_group.postgresql]
}

resource "aws_db_instance" "replica" {
  count = local.aurora ? 0 : var.database.replicas

  identifier          = local.replica_names[count.index]
  replicate_source_db = aws_db_instance.this[0].identifier
  instance_class      = var.database.instance_class

  # User, password, database and version come from the source.
  storage_type          = "gp3"
  max_allocated_storage = var.database.max_storage_gb
  storage_encrypted     = true

  vpc_security_group_ids = [aws_security_group.this.id]
  publicly_accessible    = false
  parameter_group_name   = aws_db_parameter_group.this.name
  ca_cert_identifier     = "rds-ca-rsa2048-g1"

  maintenance_window         = "sun:05:00-sun:06:00"
  auto_minor_version_upgrade = true
  copy_tags_to_snapshot      = true
  # What it holds is the source's; there is nothing to keep.
  skip_final_snapshot = true

  performance_insights_enabled          = true
  performance_insights_retention_period = 7
  enabled_cloudwatch_logs_exports       = ["postgresql"]
  apply_immediately                     = !var.protected

  depends_on = [aws_cloudwatch_log_group.postgresql]
}
