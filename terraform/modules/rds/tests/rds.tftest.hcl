mock_provider "aws" {}

variables {
  name       = "rates-test"
  vpc_id     = "vpc-1"
  subnet_ids = ["subnet-a", "subnet-b"]
  clients    = { rates = "sg-tasks" }
}

run "defaults_make_one_private_encrypted_machine" {
  command = plan

  assert {
    condition     = length(aws_db_instance.this) == 1 && length(aws_db_instance.replica) == 0 && length(aws_rds_cluster.this) == 0
    error_message = "expected one machine and no cluster"
  }

  assert {
    condition     = aws_db_instance.this[0].publicly_accessible == false && aws_db_instance.this[0].storage_encrypted
    error_message = "the database must be private and encrypted"
  }

  assert {
    condition     = aws_db_instance.this[0].engine_version == "17" && aws_db_parameter_group.this.family == "postgres17"
    error_message = "expected PostgreSQL 17"
  }

  assert {
    condition     = aws_db_instance.this[0].max_allocated_storage > aws_db_instance.this[0].allocated_storage
    error_message = "storage must be able to grow"
  }

  assert {
    condition     = aws_db_instance.this[0].backup_retention_period == 7 && aws_db_instance.this[0].performance_insights_enabled
    error_message = "expected a week of backups, and Performance Insights"
  }
}

run "the_master_password_is_made_and_kept_by_rds" {
  command = plan

  assert {
    condition     = aws_db_instance.this[0].manage_master_user_password && aws_db_instance.this[0].password == null
    error_message = "Terraform must not know the password"
  }

  assert {
    condition     = startswith(aws_secretsmanager_secret.app.name_prefix, "rates-test-database-app-") && output.app_username != aws_db_instance.this[0].username
    error_message = "the service must have a user and a secret of its own"
  }
}

run "with_replicas_the_master_password_is_ours_and_still_in_no_state" {
  command = plan

  variables {
    database = { replicas = 1 }
  }

  # RDS refuses replicas of a machine whose password it keeps.
  assert {
    condition     = aws_db_instance.this[0].manage_master_user_password == null && aws_db_instance.this[0].password == null && aws_db_instance.this[0].password_wo_version == 1
    error_message = "the password must be write-only"
  }

  assert {
    condition     = length(aws_secretsmanager_secret.master) == 1 && toset(keys(output.passwords)) == toset(["app", "master"])
    error_message = "the owner's password must have a place, and a way to be made"
  }
}

run "without_replicas_only_the_services_password_is_ours" {
  command = plan

  assert {
    condition     = length(aws_secretsmanager_secret.master) == 0 && keys(output.passwords) == ["app"]
    error_message = "expected RDS to keep the owner's password"
  }
}

run "tls_is_forced" {
  command = plan

  assert {
    condition     = contains([for p in aws_db_parameter_group.this.parameter : "${p.name}=${p.value}"], "rds.force_ssl=1")
    error_message = "connections without TLS must be refused"
  }

  assert {
    condition     = contains([for p in aws_db_parameter_group.this.parameter : "${p.name}=${p.value}"], "max_connections=100")
    error_message = "the number that pools are checked against must be the database's"
  }

  assert {
    condition     = !contains([for p in aws_db_parameter_group.this.parameter : p.name], "log_statement")
    error_message = "log_statement would write passwords of ALTER ROLE into the log"
  }
}

run "only_clients_groups_come_in" {
  command = plan

  assert {
    condition     = aws_vpc_security_group_ingress_rule.clients["rates"].referenced_security_group_id == "sg-tasks" && aws_vpc_security_group_ingress_rule.clients["rates"].cidr_ipv4 == null && aws_vpc_security_group_ingress_rule.clients["rates"].from_port == 5432
    error_message = "clients must come in by their group, to 5432"
  }

  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.clients) == 1
    error_message = "nobody else may come in"
  }
}

run "protected_by_default" {
  command = plan

  assert {
    condition     = aws_db_instance.this[0].deletion_protection && !aws_db_instance.this[0].skip_final_snapshot && !aws_db_instance.this[0].delete_automated_backups && !aws_db_instance.this[0].apply_immediately
    error_message = "expected deletion refused and a last snapshot"
  }
}

run "unprotected_it_can_go" {
  command = plan

  variables {
    protected = false
  }

  assert {
    condition     = !aws_db_instance.this[0].deletion_protection && aws_db_instance.this[0].skip_final_snapshot && aws_secretsmanager_secret.app.recovery_window_in_days == 0
    error_message = "expected it to be possible to destroy and to make again at once"
  }
}

run "a_standby_and_two_replicas" {
  command = plan

  variables {
    database = { multi_az = true, replicas = 2 }
  }

  assert {
    condition     = aws_db_instance.this[0].multi_az && length(aws_db_instance.replica) == 2 && length(output.read_hosts) == 2
    error_message = "expected a standby and two replicas to read from"
  }

  assert {
    condition     = alltrue([for r in aws_db_instance.replica : r.publicly_accessible == false && r.storage_encrypted && r.replicate_source_db == "rates-test"])
    error_message = "replicas must be as private as their source"
  }
}

run "aurora_makes_a_cluster_and_no_machine" {
  command = plan

  variables {
    database = { engine = "aurora-postgresql" }
  }

  assert {
    condition     = length(aws_db_instance.this) == 0 && length(aws_rds_cluster.this) == 1 && length(aws_rds_cluster_instance.this) == 1
    error_message = "expected a cluster of one"
  }

  assert {
    condition     = aws_rds_cluster.this[0].storage_encrypted && aws_rds_cluster.this[0].manage_master_user_password && aws_rds_cluster.this[0].deletion_protection && !aws_rds_cluster.this[0].skip_final_snapshot
    error_message = "Aurora must be as safe as the machine"
  }

  assert {
    condition     = aws_rds_cluster_instance.this[0].instance_class == "db.serverless" && aws_rds_cluster_instance.this[0].publicly_accessible == false
    error_message = "expected private Serverless v2"
  }

  assert {
    condition     = one(aws_rds_cluster.this[0].serverlessv2_scaling_configuration).min_capacity == 0.5 && one(aws_rds_cluster.this[0].serverlessv2_scaling_configuration).max_capacity == 4
    error_message = "expected 0.5 to 4 units"
  }

  assert {
    condition     = aws_db_parameter_group.this.family == "aurora-postgresql17" && !contains([for p in aws_db_parameter_group.this.parameter : p.name], "rds.force_ssl")
    error_message = "Aurora forces TLS at the cluster, and refuses the parameter here"
  }

  assert {
    condition     = length(output.read_hosts) == 0
    error_message = "one machine has nobody to read from beside itself"
  }
}

run "aurora_with_a_standby_and_a_replica" {
  command = plan

  variables {
    database = { engine = "aurora-postgresql", multi_az = true, replicas = 1 }
  }

  assert {
    condition     = length(aws_rds_cluster_instance.this) == 3 && length(output.read_hosts) == 1
    error_message = "expected three machines, and Aurora's one name to read from"
  }
}

run "refuses_a_single_subnet" {
  command = plan

  variables {
    subnet_ids = ["subnet-a"]
  }

  expect_failures = [var.subnet_ids]
}

run "refuses_another_engine" {
  command = plan

  variables {
    database = { engine = "mysql" }
  }

  expect_failures = [var.database]
}

run "refuses_a_version_before_17" {
  command = plan

  variables {
    database = { engine_version = "16.4" }
  }

  expect_failures = [var.database]
}

run "refuses_a_class_of_another_service" {
  command = plan

  variables {
    database = { instance_class = "t4g.micro" }
  }

  expect_failures = [var.database]
}

run "refuses_storage_that_cannot_grow" {
  command = plan

  variables {
    database = { storage_gb = 100 }
  }

  expect_failures = [var.database]
}

run "refuses_sixteen_replicas" {
  command = plan

  variables {
    database = { replicas = 16 }
  }

  expect_failures = [var.database]
}

run "refuses_too_few_connections" {
  command = plan

  variables {
    database = { max_connections = 19 }
  }

  expect_failures = [var.database]
}

run "refuses_to_go_without_backups" {
  command = plan

  variables {
    database = { backup_days = 0 }
  }

  expect_failures = [var.database]
}

run "refuses_a_least_above_the_most" {
  command = plan

  variables {
    database = { engine = "aurora-postgresql", min_acu = 8 }
  }

  expect_failures = [var.database]
}

run "a_major_version_is_upgraded_only_by_name" {
  command = plan

  assert {
    condition     = aws_db_instance.this[0].allow_major_version_upgrade == false
    error_message = "a new version must not upgrade the database by itself"
  }
}

run "a_major_upgrade_of_an_instance" {
  command = plan

  variables {
    database = { engine_version = "18", major_upgrade = true }
  }

  assert {
    condition     = aws_db_instance.this[0].allow_major_version_upgrade == true && aws_db_parameter_group.this.family == "postgres18"
    error_message = "expected the upgrade to be allowed, with settings of the new version"
  }
}

run "a_major_upgrade_of_aurora_moves_its_instances_to_the_new_settings" {
  command = plan

  variables {
    database = { engine = "aurora-postgresql", engine_version = "18", major_upgrade = true }
  }

  assert {
    condition     = aws_rds_cluster.this[0].allow_major_version_upgrade == true && aws_rds_cluster.this[0].db_instance_parameter_group_name == "rates-test-aurora-postgresql18"
    error_message = "Aurora refuses a major upgrade with settings of the old version"
  }
}

run "refuses_storage_that_rds_cannot_enlarge" {
  command = plan

  variables {
    database = { storage_gb = 100, max_storage_gb = 105 }
  }

  expect_failures = [var.database]
}
