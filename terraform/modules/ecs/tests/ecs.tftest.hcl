mock_provider "aws" {}

variables {
  name = "rates-test"
}

run "offers_both_kinds_of_fargate" {
  command = plan

  assert {
    condition     = aws_ecs_cluster_capacity_providers.this.capacity_providers == toset(["FARGATE", "FARGATE_SPOT"])
    error_message = "services choose between both"
  }

  assert {
    condition     = one(aws_ecs_cluster_capacity_providers.this.default_capacity_provider_strategy).capacity_provider == "FARGATE"
    error_message = "the default must be the kind that is not taken back"
  }
}

run "insights_cost_nothing_unless_asked_for" {
  command = plan

  assert {
    condition     = one(aws_ecs_cluster.this.setting).value == "disabled"
    error_message = "Container Insights must be off by default"
  }
}

run "insights_can_be_enhanced" {
  command = plan

  variables {
    container_insights = "enhanced"
  }

  assert {
    condition     = one(aws_ecs_cluster.this.setting).value == "enhanced"
    error_message = "expected enhanced insights"
  }
}

run "sessions_are_logged" {
  command = plan

  assert {
    condition     = aws_ecs_cluster.this.configuration[0].execute_command_configuration[0].logging == "OVERRIDE" && aws_cloudwatch_log_group.exec.retention_in_days == 30
    error_message = "whoever enters a container must leave a record"
  }
}

run "refuses_unknown_insights" {
  command = plan

  variables {
    container_insights = "on"
  }

  expect_failures = [var.container_insights]
}
