mock_provider "aws" {}

variables {
  name       = "rates-test-rates"
  region     = "eu-west-1"
  account_id = "123456789012"
  vpc_id     = "vpc-1"
  image      = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/rates-test/rates:abc123"
}

# Applied, since a task definition's text is known only once its log group has a name; nothing leaves this machine.
run "the_container_is_locked_down" {
  command = apply

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].user == "65532:65532"
    error_message = "the container must not run as root"
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].readonlyRootFilesystem
    error_message = "the root file system must be read-only"
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].linuxParameters.capabilities.drop == ["ALL"]
    error_message = "no capability may stay"
  }

  assert {
    condition     = aws_ecs_task_definition.this.network_mode == "awsvpc" && aws_ecs_task_definition.this.requires_compatibilities == toset(["FARGATE"])
    error_message = "expected Fargate"
  }

  assert {
    condition     = !contains(keys(jsondecode(aws_ecs_task_definition.this.container_definitions)[0]), "command") && !contains(keys(jsondecode(aws_ecs_task_definition.this.container_definitions)[0]), "portMappings")
    error_message = "fields without a value must be left out"
  }

  assert {
    condition     = aws_cloudwatch_log_group.this.retention_in_days == 30
    error_message = "logs must not be kept for ever"
  }
}

run "roles_are_apart_and_the_task_role_is_empty" {
  command = apply

  assert {
    condition     = jsondecode(aws_iam_role.task.assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "123456789012"
    error_message = "only this account's tasks may use the role"
  }

  assert {
    condition     = aws_iam_role.execution.name == "rates-test-rates-execution-eu-west-1" && aws_iam_role.task.name == "rates-test-rates-task-eu-west-1"
    error_message = "roles are shared by all regions, so their names must differ between them"
  }

  assert {
    condition     = aws_iam_role.execution.name != aws_iam_role.task.name && length(aws_iam_role_policy.task) == 0
    error_message = "the container must start without permissions"
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.execution.policy).Statement[*].Action == [["logs:CreateLogStream", "logs:PutLogEvents"]]
    error_message = "without secrets or a repository, starting needs the log alone"
  }
}

run "a_service_reads_only_its_own_secrets_and_images" {
  command = apply

  variables {
    port            = 3000
    health_command  = ["rates", "healthcheck"]
    repository_arns = ["arn:aws:ecr:eu-west-1:123456789012:repository/rates-test/rates"]
    environment     = { B = "2", A = "1" }
    secrets = {
      DB_PASSWORD = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:app-abc:password::"
      DB_USER     = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:app-abc:username::"
      API_KEY     = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:key-def"
    }
    reaches = { database = { security_group_id = "sg-database", port = 5432 } }
  }

  assert {
    condition = jsondecode(aws_iam_role_policy.execution.policy).Statement[3] == {
      Effect   = "Allow"
      Action   = ["secretsmanager:GetSecretValue"]
      Resource = ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:app-abc", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:key-def"]
    }
    error_message = "expected the two secrets, each once, without the key"
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.execution.policy).Statement[2].Resource == ["arn:aws:ecr:eu-west-1:123456789012:repository/rates-test/rates"]
    error_message = "expected pulling from one repository"
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment == [{ name = "A", value = "1" }, { name = "B", value = "2" }]
    error_message = "variables must be sorted, as ECS returns them"
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].healthCheck.command == ["CMD", "rates", "healthcheck"]
    error_message = "the binary must be asked itself, without a shell"
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].portMappings[0].containerPort == 3000
    error_message = "expected the port"
  }

  assert {
    condition     = aws_vpc_security_group_egress_rule.reaches["database"].referenced_security_group_id == "sg-database" && aws_vpc_security_group_egress_rule.reaches["database"].to_port == 5432
    error_message = "the way to the database must lead to its group"
  }
}

run "exec_needs_a_channel_and_a_writable_root" {
  command = apply

  variables {
    exec = { log_group_arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/exec" }
  }

  assert {
    condition     = !jsondecode(aws_ecs_task_definition.this.container_definitions)[0].readonlyRootFilesystem
    error_message = "the agent of ECS Exec writes to the root file system"
  }

  assert {
    condition     = contains(jsondecode(aws_iam_role_policy.task[0].policy).Statement[0].Action, "ssmmessages:OpenDataChannel") && jsondecode(aws_iam_role_policy.task[0].policy).Statement[1].Resource == ["arn:aws:logs:eu-west-1:123456789012:log-group:/exec:*"]
    error_message = "expected the channel, and the log of sessions"
  }
}

run "a_volume_is_encrypted_and_reached_in_every_zone" {
  command = apply

  variables {
    volume = { path = "/data", subnet_ids = ["subnet-a", "subnet-b"] }
  }

  assert {
    condition     = aws_efs_file_system.this[0].encrypted && length(aws_efs_mount_target.this) == 2
    error_message = "expected an encrypted file system with a door in each zone"
  }

  assert {
    condition     = one(aws_ecs_task_definition.this.volume).efs_volume_configuration[0].transit_encryption == "ENABLED" && one(aws_ecs_task_definition.this.volume).efs_volume_configuration[0].authorization_config[0].iam == "ENABLED"
    error_message = "expected TLS, and the task's role asked"
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].mountPoints[0].containerPath == "/data"
    error_message = "expected the volume at /data"
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.volume[0].from_port == 2049 && aws_vpc_security_group_ingress_rule.volume[0].referenced_security_group_id == aws_security_group.this.id
    error_message = "only the task may reach its files"
  }
}

run "a_collector_stands_beside" {
  command = apply

  variables {
    collector = { image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/collector:v0.43.3", namespace = "rates-test" }
  }

  assert {
    condition     = length(jsondecode(aws_ecs_task_definition.this.container_definitions)) == 2 && !jsondecode(aws_ecs_task_definition.this.container_definitions)[1].essential
    error_message = "a collector that dies must not take the service along"
  }

  assert {
    condition     = yamldecode(jsondecode(aws_ecs_task_definition.this.container_definitions)[1].environment[0].value).exporters.awsemf.namespace == "rates-test"
    error_message = "expected the metrics under the name given"
  }

  assert {
    condition     = yamldecode(jsondecode(aws_ecs_task_definition.this.container_definitions)[1].environment[0].value).receivers.prometheus.config.scrape_configs[0].static_configs[0].targets[0] == "127.0.0.1:9464"
    error_message = "expected the metrics port scraped"
  }
}

run "runs_on_arm" {
  command = plan

  variables {
    size = { cpu = 1024, memory = 2048, architecture = "ARM64" }
  }

  assert {
    condition     = aws_ecs_task_definition.this.runtime_platform[0].cpu_architecture == "ARM64" && aws_ecs_task_definition.this.cpu == "1024"
    error_message = "expected ARM64 and one processor"
  }
}

run "takes_a_digest" {
  command = plan

  variables {
    image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/rates@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  }
}

run "refuses_latest" {
  command = plan

  variables {
    image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/rates:latest"
  }

  expect_failures = [var.image]
}

run "refuses_an_image_without_a_tag" {
  command = plan

  variables {
    image = "localhost:5000/rates"
  }

  expect_failures = [var.image]
}

run "refuses_an_odd_amount_of_cpu" {
  command = plan

  variables {
    size = { cpu = 300, memory = 1024 }
  }

  expect_failures = [var.size]
}

run "refuses_memory_that_does_not_fit_cpu" {
  command = plan

  variables {
    size = { cpu = 1024, memory = 1024 }
  }

  expect_failures = [var.size]
}

run "refuses_memory_in_odd_amounts" {
  command = plan

  variables {
    size = { cpu = 512, memory = 1536 }
  }

  expect_failures = [var.size]
}

run "refuses_an_unknown_processor" {
  command = plan

  variables {
    size = { architecture = "amd64" }
  }

  expect_failures = [var.size]
}

run "refuses_a_password_where_an_arn_belongs" {
  command = plan

  variables {
    secrets = { DB_PASSWORD = "hunter2" }
  }

  expect_failures = [var.secrets]
}

run "refuses_a_relative_volume" {
  command = plan

  variables {
    volume = { path = "data", subnet_ids = ["subnet-a"] }
  }

  expect_failures = [var.volume]
}

run "refuses_to_stop_slower_than_fargate_waits" {
  command = plan

  variables {
    stop_timeout_seconds = 121
  }

  expect_failures = [var.stop_timeout_seconds]
}

run "refuses_to_stop_at_once" {
  command = plan

  variables {
    stop_timeout_seconds = 1
  }

  expect_failures = [var.stop_timeout_seconds]
}
