mock_provider "aws" {}

variables {
  name       = "rates-test-rates"
  region     = "eu-west-1"
  cluster    = { name = "rates-test", arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/rates-test" }
  task       = { definition_arn = "arn:aws:ecs:eu-west-1:123456789012:task-definition/rates:1", container = "app", security_group_id = "sg-tasks" }
  account_id = "123456789012"
  partition  = "aws"
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
    condition     = aws_lb_target_group.this["primary"].port == 3000 && aws_lb_target_group.this["primary"].target_type == "ip" && aws_lb_target_group.this["primary"].health_check[0].path == "/healthz"
    error_message = "expected /healthz on 3000"
  }

  assert {
    condition     = length(aws_lb_target_group.this["primary"].name) <= 32 && startswith(aws_lb_target_group.this["primary"].name, "rates-test-rates-")
    error_message = "a target group's name has 32 characters at the most"
  }

  assert {
    condition     = tonumber(aws_lb_target_group.this["primary"].deregistration_delay) == 15
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

run "a_canary_moves_some_requests_first_and_its_alarms_look_at_both_groups" {
  command = plan

  variables {
    deployment = { strategy = "canary" }
  }

  assert {
    condition     = aws_ecs_service.this.deployment_configuration[0].strategy == "CANARY" && aws_ecs_service.this.deployment_configuration[0].bake_time_in_minutes == "5" && aws_ecs_service.this.deployment_configuration[0].canary_configuration[0].canary_percent == 10 && aws_ecs_service.this.deployment_configuration[0].canary_configuration[0].canary_bake_time_in_minutes == "5"
    error_message = "expected a tenth of the requests for five minutes, then all"
  }

  assert {
    condition     = toset(keys(aws_lb_target_group.this)) == toset(["primary", "alternate"]) && aws_lb_target_group.this["primary"].name != aws_lb_target_group.this["alternate"].name
    error_message = "the new tasks need a target group of their own"
  }

  assert {
    condition     = length(one(aws_ecs_service.this.load_balancer).advanced_configuration) == 1
    error_message = "ECS must know both groups and the rule"
  }

  assert {
    condition     = aws_ecs_service.this.alarms[0].alarm_names == toset(["rates-test-rates-5xx", "rates-test-rates-5xx-alternate", "rates-test-rates-p99", "rates-test-rates-p99-alternate"])
    error_message = "the new tasks may be in either group, so both are judged"
  }

  assert {
    condition     = one([for query in aws_cloudwatch_metric_alarm.down[0].metric_query : query.expression if query.id == "healthy"]) == "FILL(alternate, 0) + FILL(primary, 0)"
    error_message = "a service is down if neither group has a healthy task"
  }

  assert {
    condition     = length(aws_appautoscaling_policy.requests) == 0
    error_message = "requests of one group say nothing when the tasks are in the other"
  }

  assert {
    condition     = jsondecode(aws_iam_role.shift[0].assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "123456789012" && aws_iam_role_policy_attachment.shift[0].policy_arn == "arn:aws:iam::aws:policy/AmazonECSInfrastructureRolePolicyForLoadBalancers"
    error_message = "ECS of this account moves the requests, and nobody else"
  }

  assert {
    condition     = aws_iam_role.shift[0].name == "rates-test-rates-shift-eu-west-1"
    error_message = "roles are shared by all regions, so their names must differ between them"
  }

  assert {
    condition     = aws_ecs_service.this.timeouts.update == "40m"
    error_message = "apply must wait as long as the deployment takes"
  }
}

run "blue_and_green_change_places_at_once" {
  command = plan

  variables {
    deployment = { strategy = "blue_green", bake_minutes = 15 }
  }

  assert {
    condition     = aws_ecs_service.this.deployment_configuration[0].strategy == "BLUE_GREEN" && aws_ecs_service.this.deployment_configuration[0].bake_time_in_minutes == "15" && length(aws_ecs_service.this.deployment_configuration[0].canary_configuration) == 0
    error_message = "expected all requests at once, and the old tasks for fifteen minutes more"
  }
}

run "rolling_is_the_default_and_needs_one_group_and_no_role" {
  command = plan

  assert {
    condition     = aws_ecs_service.this.deployment_configuration[0].strategy == "ROLLING" && length(aws_lb_target_group.this) == 1 && length(aws_iam_role.shift) == 0
    error_message = "expected a rolling deployment"
  }
}

run "refuses_an_unknown_strategy" {
  command = plan

  variables {
    deployment = { strategy = "linear" }
  }

  expect_failures = [var.deployment]
}

run "refuses_to_move_the_requests_of_a_worker" {
  command = plan

  variables {
    route      = null
    deployment = { strategy = "blue_green" }
  }

  expect_failures = [var.deployment]
}

run "refuses_to_move_requests_to_a_second_exclusive_task" {
  command = plan

  variables {
    exclusive  = true
    scaling    = { max = 1 }
    deployment = { strategy = "canary" }
  }

  expect_failures = [var.deployment]
}

run "refuses_to_move_on_before_an_alarm_can_ring" {
  command = plan

  variables {
    deployment = { strategy = "canary", canary_minutes = 1 }
  }

  expect_failures = [var.deployment]
}

run "refuses_a_canary_of_nothing" {
  command = plan

  variables {
    deployment = { strategy = "canary", canary_percent = 0 }
  }

  expect_failures = [var.deployment]
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
      for alarm in concat(values(aws_cloudwatch_metric_alarm.errors), values(aws_cloudwatch_metric_alarm.slow), values(aws_cloudwatch_metric_alarm.unhealthy), aws_cloudwatch_metric_alarm.down, [aws_cloudwatch_metric_alarm.cpu, aws_cloudwatch_metric_alarm.memory]) :
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
    condition     = aws_lb_target_group.this["primary"].name != "rates-test-rates-${substr(sha1("rates-test-rates:3000"), 0, 6)}"
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
