# One instance, with multi_az a standby in another zone, and a number of read replicas.

resource "aws_db_instance" "this" {
  count = local.aurora ? 0 : 1

  identifier     = var.name
  engine         = "postgres"
  engine_version = var.database.engine_version
  # Off but for the one apply that upgrades: a major version cannot be taken back.
  allow_major_version_upgrade = var.database.major_upgrade
  instance_class              = var.database.instance_class
  db_name                     = local.database
  port                        = local.port

  username = local.master
  # RDS generates the password and stores it in Secrets Manager, so Terraform never sees it. Only migrations use it, and
  # they read it each time.
  manage_master_user_password = local.master_kept_by_rds ? true : null
  # Otherwise the instance is created with a random password that is not kept anywhere, not even in the state
  # (write-only). scripts/database_password.sh then sets another.
  password_wo         = local.master_kept_by_rds ? null : uuid()
  password_wo_version = local.master_kept_by_rds ? null : 1
  # The service has its own user and password instead (docs/decisions).
  iam_database_authentication_enabled = false

  # Grows automatically up to the maximum, and never shrinks.
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
  # The quietest hours in Europe. The two windows must not overlap.
  backup_window              = "02:00-03:00"
  maintenance_window         = "sun:03:30-sun:04:30"
  auto_minor_version_upgrade = true
  copy_tags_to_snapshot      = true
  delete_automated_backups   = !var.protected
  deletion_protection        = var.protected
  skip_final_snapshot        = !var.protected
  final_snapshot_identifier  = "${var.name}-final-${terraform_data.born.output}"

  # Seven days are free.
  performance_insights_enabled          = true
  performance_insights_retention_period = 7
  enabled_cloudwatch_logs_exports       = ["postgresql"]

  # Changes wait for the maintenance window, so that an apply at noon does not restart the database.
  apply_immediately = !var.protected

  # The log group must exist before RDS creates it.
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
  # No snapshot: the data is the source's.
  skip_final_snapshot = true

  performance_insights_enabled          = true
  performance_insights_retention_period = 7
  enabled_cloudwatch_logs_exports       = ["postgresql"]
  apply_immediately                     = !var.protected

  depends_on = [aws_cloudwatch_log_group.postgresql]
}
