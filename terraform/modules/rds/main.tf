# PostgreSQL in the data subnets, reachable only over TLS and only from the security groups in var.clients. This file
# has what both engines share; either instance.tf or aurora.tf creates the database.

locals {
  aurora   = var.database.engine == "aurora-postgresql"
  port     = 5432
  database = "rates"
  # The owner of the schema. Only migrations log in as this user.
  master = "rates_admin"
  # The user of the services.
  app   = "rates_app"
  major = split(".", var.database.engine_version)[0]

  replica_names = [for i in range(var.database.replicas) : "${var.name}-replica-${i + 1}"]
}

resource "aws_db_subnet_group" "this" {
  name        = var.name
  description = "Data subnets of ${var.name}"
  subnet_ids  = var.subnet_ids
}

resource "aws_security_group" "this" {
  name        = "${var.name}-database"
  description = "Database of ${var.name}: PostgreSQL from its clients"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-database" }
}

# Allows the clients' security groups, not addresses, so that others in the same subnet cannot connect.
resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = var.clients

  security_group_id            = aws_security_group.this.id
  description                  = "PostgreSQL from ${each.key}"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_db_parameter_group" "this" {
  # The name contains the family: a major upgrade creates a new group while the old one is still in use.
  name        = "${var.name}-${var.database.engine}${local.major}"
  description = "Settings of ${var.name}"
  family      = "${var.database.engine}${local.major}"

  # On Aurora this is a cluster parameter, on by default from version 17.
  dynamic "parameter" {
    for_each = local.aurora ? [] : ["1"]

    content {
      name  = "rds.force_ssl"
      value = parameter.value
    }
  }

  # Fixed, because the sizes of pools are checked against it; the default depends on the instance's memory.
  parameter {
    name         = "max_connections"
    value        = tostring(var.database.max_connections)
    apply_method = "pending-reboot"
  }

  # Logs statements that take over a second. log_statement stays off: it would write ALTER ROLE … PASSWORD to the log
  # in plain text.
  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }

  # An idle transaction holds back vacuum in every table.
  parameter {
    name  = "idle_in_transaction_session_timeout"
    value = "60000"
  }

  lifecycle {
    create_before_destroy = true
  }
}

# Created here to set its retention: RDS would create it without a limit. Aurora instances write to the cluster's.
resource "aws_cloudwatch_log_group" "postgresql" {
  for_each = toset(concat([var.name], local.aurora ? [] : local.replica_names))

  name              = "/aws/rds/${local.aurora ? "cluster" : "instance"}/${each.key}/postgresql"
  retention_in_days = var.log_days
}

# The time the database was first created, for the name of its final snapshot. Otherwise two databases of the same name,
# one after the other, would use the same snapshot name.
resource "terraform_data" "born" {
  input = formatdate("YYYYMMDDhhmm", plantimestamp())

  lifecycle {
    ignore_changes = [input]
  }
}
