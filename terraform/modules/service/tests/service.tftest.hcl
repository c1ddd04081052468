mock_provider "aws" {}

variables {
  name       = "rates-test-rates"
  cluster    = { name = "rates-test", arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/rates-test" }
  task       = { definition_arn = "arn:aws:ecs:eu-west-1:123456789012:task-definition/rates:1", container = "app", security_group_id = "sg-tasks" }
  vpc_id     = "vpc-1"
  subnet_ids = ["subnet-a", "subnet-b"]
  alarms     = { topic_arn = "arn:aws:sns:eu-west-1:123456789012:alarms" }
  route = {
    listener_arn             = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/rates/1/2"
    load_balancer_arn_suffix = "app/rates/1"
    load_balancer_group_id   = "sg-alb"
    port                     = 3000
    priority                 = 1000
    paths                    = ["/*"]
  }
}

run "the_target_group_asks_healthz_on_3000" {
  command = plan

  assert {
    condition     = aws_lb_target_group.this[0].port == 3000 && aws_lb_target_group.this[0].target_type == "ip" && aws_lb_target_group.this[0].health_check[0].path == "/healthz"
    error_message = "expected /healthz on 3000"
  }

  assert {
    condition     = length(aws_lb_target_group.this[0].name) <= 32 && startswith(aws_lb_target_group.this[0].name, "rates-test-rates-")
    error_message = "a target group's name has 32 characters at the most"
  }

  assert {
    condition     = tonumber(aws_lb_target_group.this[0].deregistration_delay) == 15
    error_message = "expected 15 seconds, not the 300 that would hold up deployments"
  }
}

run "tasks_are_private_and_reached_from_the_load_balancer_alone" {
  command = plan

  assert {
    condition     = aws_ecs_service.this.network_configuration[0].assign_public_ip == false
    error_message = "tasks must have no public address"
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.tasks[0].security_group_id == "sg-tasks" && aws_vpc_security_group_ingress_rule.tasks[0].referenced_security_group_id == "sg-alb" && aws_vpc_security_group_ingress_rule.tasks[0].cidr_ipv4 == null
    error_message = "tasks must let in the load balancer's group and no address"
  }

  assert {
    condition     = aws_vpc_security_group_egress_rule.load_balancer[0].security_group_id == "sg-alb" && aws_vpc_security_group_egress_rule.load_balancer[0].referenced_security_group_id == "sg-tasks" && aws_vpc_security_group_egress_rule.load_balancer[0].to_port == 3000
    error_message = "the load balancer must be let out to the tasks' port alone"
  }
}

run "deployments_roll_back_by_themselves" {
  command = plan

  assert {
    condition     = aws_ecs_service.this.deployment_circuit_breaker[0].enable && aws_ecs_service.this.deployment_circuit_breaker[0].rollback
    error_message = "tasks that never start must take the deployment back"
  }

  assert {
    condition     = aws_ecs_service.this.alarms[0].rollback && length(aws_ecs_service.this.alarms[0].alarm_names) == 2
    error_message = "errors and slowness must take the deployment back"
  }

  assert {
    condition     = aws_ecs_service.this.deployment_minimum_healthy_percent == 100 && aws_ecs_service.this.deployment_maximum_percent == 200 && aws_ecs_service.this.availability_zone_rebalancing == "ENABLED"
    error_message = "expected new tasks before old ones go"
  }

  assert {
    condition     = aws_ecs_service.this.wait_for_steady_state
    error_message = "apply must wait for the new tasks"
  }
}

run "it_scales_on_requests_and_cpu" {
  command = plan

  assert {
    condition     = aws_appautoscaling_target.this.min_capacity == 1 && aws_appautoscaling_target.this.max_capacity == 4
    error_message = "expected one to four tasks"
  }

  assert {
    condition     = one(aws_appautoscaling_policy.requests[0].target_tracking_scaling_policy_configuration[0].predefined_metric_specification).predefined_metric_type == "ALBRequestCountPerTarget" && aws_appautoscaling_policy.cpu.target_tracking_scaling_policy_configuration[0].target_value == 60
    error_message = "expected both rules"
  }
}

run "every_alarm_says_what_to_do_first_and_to_whom" {
  command = plan

  assert {
    condition = alltrue([
      for alarm in concat(aws_cloudwatch_metric_alarm.errors, aws_cloudwatch_metric_alarm.slow, aws_cloudwatch_metric_alarm.unhealthy, aws_cloudwatch_metric_alarm.down, [aws_cloudwatch_metric_alarm.cpu, aws_cloudwatch_metric_alarm.memory]) :
      strcontains(alarm.alarm_description, "First:") && alarm.alarm_actions == toset(["arn:aws:sns:eu-west-1:123456789012:alarms"])
    ])
    error_message = "an alarm without a first step, or that nobody hears, is noise"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.down[0].treat_missing_data == "breaching"
    error_message = "no task at all reports nothing, and is the outage"
  }

  assert {
    condition     = length(output.alarm_arns) == 6
    error_message = "expected six alarms"
  }
}

run "a_worker_is_called_by_nobody" {
  command = plan

  variables {
    route = null
  }

  assert {
    condition     = length(aws_lb_target_group.this) == 0 && length(aws_lb_listener_rule.this) == 0 && length(aws_vpc_security_group_ingress_rule.tasks) == 0
    error_message = "a worker has no door"
  }

  assert {
    condition     = length(aws_ecs_service.this.load_balancer) == 0 && length(aws_ecs_service.this.alarms) == 0 && length(output.alarm_arns) == 2
    error_message = "a worker is watched for CPU and memory"
  }
}

run "spot_for_what_may_be_interrupted" {
  command = plan

  variables {
    spot = true
  }

  assert {
    condition     = one(aws_ecs_service.this.capacity_provider_strategy).capacity_provider == "FARGATE_SPOT"
    error_message = "expected Spot"
  }
}

run "parked_it_rings_no_alarm" {
  command = plan

  variables {
    scaling = { min = 0, max = 0 }
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.down) == 0 && aws_appautoscaling_target.this.max_capacity == 0
    error_message = "a service that is meant to be off is not down"
  }
}

run "a_rule_by_host" {
  command = plan

  variables {
    route = {
      listener_arn             = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/rates/1/2"
      load_balancer_arn_suffix = "app/rates/1"
      load_balancer_group_id   = "sg-alb"
      port                     = 8080
      priority                 = 10
      hosts                    = ["messages.example.com"]
    }
  }

  assert {
    condition     = one(aws_lb_listener_rule.this[0].condition).host_header[0].values == toset(["messages.example.com"])
    error_message = "expected the host"
  }

  # The last part is a digest of name and port.
  assert {
    condition     = aws_lb_target_group.this[0].name != "rates-test-rates-${substr(sha1("rates-test-rates:3000"), 0, 6)}"
    error_message = "another port must make another target group, since the old one is in use"
  }
}

run "refuses_a_most_below_the_least" {
  command = plan

  variables {
    scaling = { min = 5 }
  }

  expect_failures = [var.scaling]
}

run "refuses_to_scale_when_it_is_too_late" {
  command = plan

  variables {
    scaling = { cpu_percent = 95 }
  }

  expect_failures = [var.scaling]
}

run "refuses_no_requests_at_all" {
  command = plan

  variables {
    scaling = { requests_per_minute = 0 }
  }

  expect_failures = [var.scaling]
}

run "refuses_a_rule_without_a_condition" {
  command = plan

  variables {
    route = {
      listener_arn             = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/rates/1/2"
      load_balancer_arn_suffix = "app/rates/1"
      load_balancer_group_id   = "sg-alb"
      port                     = 3000
      priority                 = 10
    }
  }

  expect_failures = [var.route]
}

run "refuses_more_conditions_than_a_rule_has" {
  command = plan

  variables {
    route = {
      listener_arn             = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/rates/1/2"
      load_balancer_arn_suffix = "app/rates/1"
      load_balancer_group_id   = "sg-alb"
      port                     = 3000
      priority                 = 10
      paths                    = ["/a", "/b", "/c"]
      hosts                    = ["a.example.com", "b.example.com", "c.example.com"]
    }
  }

  expect_failures = [var.route]
}

run "refuses_priority_0" {
  command = plan

  variables {
    route = {
      listener_arn             = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/rates/1/2"
      load_balancer_arn_suffix = "app/rates/1"
      load_balancer_group_id   = "sg-alb"
      port                     = 3000
      priority                 = 0
      paths                    = ["/*"]
    }
  }

  expect_failures = [var.route]
}

run "refuses_a_relative_health_path" {
  command = plan

  variables {
    route = {
      listener_arn             = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/rates/1/2"
      load_balancer_arn_suffix = "app/rates/1"
      load_balancer_group_id   = "sg-alb"
      port                     = 3000
      priority                 = 10
      paths                    = ["/*"]
      health_path              = "healthz"
    }
  }

  expect_failures = [var.route]
}

run "spot_changes_in_place" {
  command = plan

  assert {
    condition     = aws_ecs_service.this.force_new_deployment
    error_message = "without it the provider replaces the service when spot changes"
  }
}

run "scales_on_cpu_far_before_requests" {
  command = plan

  assert {
    condition     = aws_appautoscaling_policy.requests[0].target_tracking_scaling_policy_configuration[0].target_value == 60000
    error_message = "a task answers far more than 100 requests a second"
  }
}

run "an_exclusive_task_is_replaced_and_not_joined" {
  command = plan

  variables {
    exclusive = true
    scaling   = { max = 1 }
  }

  assert {
    condition     = aws_ecs_service.this.deployment_minimum_healthy_percent == 0 && aws_ecs_service.this.deployment_maximum_percent == 100 && aws_ecs_service.this.availability_zone_rebalancing == "DISABLED"
    error_message = "the old task must stop before the new one starts"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.down[0].evaluation_periods == 5
    error_message = "a replacement must not ring the alarm"
  }
}

run "refuses_two_exclusive_tasks" {
  command = plan

  variables {
    exclusive = true
  }

  expect_failures = [var.exclusive]
}
