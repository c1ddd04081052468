# Aurora PostgreSQL Serverless v2, for loads that outgrow one instance. Storage and compute are separate; capacity
# follows the load between min_acu and max_acu.

resource "aws_rds_cluster" "this" {
  count = local.aurora ? 1 : 0

  cluster_identifier = var.name
  engine             = "aurora-postgresql"
  engine_mode        = "provisioned"
  engine_version     = var.database.engine_version
  # Off but for the one apply that upgrades: a major version cannot be taken back. Aurora then moves its instances to the
  # parameter group of the new version.
  allow_major_version_upgrade      = var.database.major_upgrade
  db_instance_parameter_group_name = var.database.major_upgrade ? aws_db_parameter_group.this.name : null
  database_name                    = local.database
  port                             = local.port

  master_username                     = local.master
  manage_master_user_password         = true
  iam_database_authentication_enabled = false

  storage_encrypted      = true
  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.this.id]

  serverlessv2_scaling_configuration {
    min_capacity = var.database.min_acu
    max_capacity = var.database.max_acu
  }

  backup_retention_period         = var.database.backup_days
  preferred_backup_window         = "02:00-03:00"
  preferred_maintenance_window    = "sun:03:30-sun:04:30"
  copy_tags_to_snapshot           = true
  deletion_protection             = var.protected
  skip_final_snapshot             = !var.protected
  final_snapshot_identifier       = "${var.name}-final-${terraform_data.born.output}"
  enabled_cloudwatch_logs_exports = ["postgresql"]
  apply_immediately               = !var.protected

  depends_on = [aws_cloudwatch_log_group.postgresql]
}

# The first instance writes. With multi_az a second one is a standby that serves reads; replicas are added to these.
# Aurora can promote any of them.
resource "aws_rds_cluster_instance" "this" {
  count = local.aurora ? 1 + (var.database.multi_az ? 1 : 0) + var.database.replicas : 0

  identifier              = "${var.name}-${count.index + 1}"
  cluster_identifier      = aws_rds_cluster.this[0].id
  engine                  = aws_rds_cluster.this[0].engine
  engine_version          = aws_rds_cluster.this[0].engine_version
  instance_class          = "db.serverless"
  db_parameter_group_name = aws_db_parameter_group.this.name
  publicly_accessible     = false
  ca_cert_identifier      = "rds-ca-rsa2048-g1"
  # The first two scale with the writer and are promoted first.
  promotion_tier               = count.index < 2 ? 0 : 2
  auto_minor_version_upgrade   = true
  performance_insights_enabled = true
  copy_tags_to_snapshot        = true
  apply_immediately            = !var.protected
}
