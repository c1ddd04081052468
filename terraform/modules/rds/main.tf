# PostgreSQL in the data subnets: reached from the groups in var.clients, over TLS, and from nowhere else. What both
# engines share is here; instance.tf and aurora.tf hold the two ways to run it, of which one is made.

locals {
  aurora   = var.database.engine == "aurora-postgresql"
  port     = 5432
  database = "rates"
  # Owns the schema; only migrations log in as it.
  master = "rates_admin"
  # What the services log in as.
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

# By reference to the clients' groups: no address, and so no neighbour in the same subnet, is let in.
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
  # The family is part of the name: a major upgrade makes a new group beside the old, which is still in use.
  name        = "${var.name}-${var.database.engine}${local.major}"
  description = "Settings of ${var.name}"
  family      = "${var.database.engine}${local.major}"

  # Aurora keeps this one at the cluster and has it on from version 17.
  dynamic "parameter" {
    for_each = local.aurora ? [] : ["1"]

    content {
      name  = "rds.force_ssl"
      value = parameter.value
    }
  }

  # A number that the pools are checked against, and not one that changes with the machine's memory.
  parameter {
    name         = "max_connections"
    value        = tostring(var.database.max_connections)
    apply_method = "pending-reboot"
  }

  # Statements that take over a second are worth a line. log_statement stays off: it would write ALTER ROLE …
  # PASSWORD into the log as it stands.
  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }

  # A client that forgot its transaction holds back vacuum, and with it every table.
  parameter {
    name  = "idle_in_transaction_session_timeout"
    value = "60000"
  }

  lifecycle {
    create_before_destroy = true
  }
}

# Made here, with its days, or RDS would create it to be kept without end. Aurora's machines write into the cluster's.
resource "aws_cloudwatch_log_group" "postgresql" {
  for_each = toset(concat([var.name], local.aurora ? [] : local.replica_names))

  name              = "/aws/rds/${local.aurora ? "cluster" : "instance"}/${each.key}/postgresql"
  retention_in_days = var.log_days
}

# The moment the database was first made, for the name of its last snapshot: two databases of one name, one after the
# other, would otherwise fight over it.
resource "terraform_data" "born" {
  input = formatdate("YYYYMMDDhhmm", plantimestamp())

  lifecycle {
    ignore_changes = [input]
  }
}
