# A service: a number of copies of one task, with or without the load balancer in front.

locals {
  # Whether ECS moves requests from one target group to another.
  shifts = var.deployment.strategy != "rolling"

  groups = var.route == null ? {} : merge(
    { primary = "${var.name}:${var.route.port}" },
    local.shifts ? { alternate = "${var.name}:${var.route.port}:alternate" } : {},
  )

  # How long apply waits for a deployment: some minutes for tasks to start and to stop, and those that it takes by itself.
  patience = "${30 + (local.shifts ? var.deployment.bake_minutes : 0) + (var.deployment.strategy == "canary" ? var.deployment.canary_minutes : 0)}m"
}

resource "aws_ecs_service" "this" {
  name            = var.name
  cluster         = var.cluster.arn
  task_definition = var.task.definition_arn
  # Only the initial number; autoscaling changes it.
  desired_count          = var.scaling.min
  enable_execute_command = var.exec
  # Moves tasks back when a lost zone returns. It starts the new task first, so a single one cannot be moved.
  availability_zone_rebalancing = var.exclusive ? "DISABLED" : "ENABLED"
  enable_ecs_managed_tags       = true
  propagate_tags                = "SERVICE"
  wait_for_steady_state         = var.wait

  # Starts new tasks before it stops old ones: never fewer than before, at most twice as many. The database must have
  # enough connections for both. The only task of an exclusive service stops before its successor starts.
  deployment_minimum_healthy_percent = var.exclusive ? 0 : 100
  deployment_maximum_percent         = var.exclusive ? 100 : 200
  deployment_configuration {
    strategy             = upper(var.deployment.strategy)
    bake_time_in_minutes = local.shifts ? tostring(var.deployment.bake_minutes) : null

    dynamic "canary_configuration" {
      for_each = var.deployment.strategy == "canary" ? [var.deployment] : []

      content {
        canary_percent              = canary_configuration.value.canary_percent
        canary_bake_time_in_minutes = tostring(canary_configuration.value.canary_minutes)
      }
    }
  }

  # Time for a new task to start, connect and warm up before failed health checks count.
  health_check_grace_period_seconds = var.route == null ? null : 60

  # Without it, a change of spot would delete the service and create another. A plan without changes starts no deployment.
  force_new_deployment = true

  capacity_provider_strategy {
    capacity_provider = var.spot ? "FARGATE_SPOT" : "FARGATE"
    weight            = 1
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [var.task.security_group_id]
    assign_public_ip = false
  }

  # Rolls back a deployment whose tasks do not start…
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  # … or start and answer with errors.
  dynamic "alarms" {
    for_each = var.route == null ? [] : [var.route]

    content {
      enable      = true
      rollback    = true
      alarm_names = [for alarm in concat(values(aws_cloudwatch_metric_alarm.errors), values(aws_cloudwatch_metric_alarm.slow)) : alarm.alarm_name]
    }
  }

  dynamic "load_balancer" {
    for_each = var.route == null ? [] : [var.route]

    content {
      target_group_arn = aws_lb_target_group.this["primary"].arn
      container_name   = var.task.container
      container_port   = load_balancer.value.port

      dynamic "advanced_configuration" {
        for_each = local.shifts ? [aws_lb_target_group.this["alternate"]] : []

        content {
          alternate_target_group_arn = advanced_configuration.value.arn
          production_listener_rule   = aws_lb_listener_rule.this[0].arn
          role_arn                   = aws_iam_role.shift[0].arn
        }
      }
    }
  }

  timeouts {
    create = local.patience
    update = local.patience
  }

  lifecycle {
    # Otherwise every apply would undo autoscaling.
    ignore_changes = [desired_count]

    # A service is also steady after a rollback. Without this check, apply would succeed with the old version running.
    # It does not detect a failed first deployment; scripts/verify_rollout.sh does, because it looks at deployments.
    postcondition {
      condition     = self.task_definition == var.task.definition_arn
      error_message = "The deployment of ${var.name} was rolled back: the service runs a different task definition. Read the service's events and the task's log."
    }
  }

  # ECS rejects a target group that belongs to no load balancer, and moves requests with the role's permissions.
  depends_on = [aws_lb_listener_rule.this, aws_iam_role_policy_attachment.shift]
}

# With a rolling deployment, old and new tasks share one group. Otherwise ECS puts the new ones into the group that is
# free, and moves the requests from one to the other.
resource "aws_lb_target_group" "this" {
  for_each = local.groups

  # The name contains a digest with the port: a change of port creates a new group beside the old one, because a group
  # cannot be changed while the rule uses it. Names are limited to 32 characters.
  name        = "${trimsuffix(substr(var.name, 0, 25), "-")}-${substr(sha1(each.value), 0, 6)}"
  vpc_id      = var.vpc_id
  port        = var.route.port
  protocol    = "HTTP"
  target_type = "ip"

  # The task with the fewest requests in flight gets the next one, so a slow task gets fewer.
  load_balancing_algorithm_type = "least_outstanding_requests"
  # As long as the slowest request may take; the default of 300 s would delay every deployment.
  deregistration_delay = var.route.deregistration_delay_seconds

  # Checks whether the task is alive, not the database: a failure there must not restart every task.
  health_check {
    path                = var.route.health_path
    matcher             = "200"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_lb_listener_rule" "this" {
  count = var.route == null ? 0 : 1

  listener_arn = var.route.listener_arn
  priority     = var.route.priority

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this["primary"].arn
  }

  dynamic "condition" {
    for_each = length(var.route.paths) > 0 ? [var.route.paths] : []

    content {
      path_pattern {
        values = condition.value
      }
    }
  }

  dynamic "condition" {
    for_each = length(var.route.hosts) > 0 ? [var.route.hosts] : []

    content {
      host_header {
        values = condition.value
      }
    }
  }

  tags = { Name = var.name }

  lifecycle {
    # Blue/green and canary deployments write the group that has the requests into the rule; an apply must leave it. So
    # that the rule still gets a new group, it is made anew with it.
    ignore_changes       = [action]
    replace_triggered_by = [aws_lb_target_group.this["primary"].arn]
  }
}

# Allows connections from the load balancer to these tasks; they accept no others.
resource "aws_vpc_security_group_egress_rule" "load_balancer" {
  count = var.route == null ? 0 : 1

  security_group_id            = var.route.load_balancer_group_id
  description                  = "To the tasks of ${var.name}"
  referenced_security_group_id = var.task.security_group_id
  ip_protocol                  = "tcp"
  from_port                    = var.route.port
  to_port                      = var.route.port
}

resource "aws_vpc_security_group_ingress_rule" "tasks" {
  count = var.route == null ? 0 : 1

  security_group_id            = var.task.security_group_id
  description                  = "From the load balancer"
  referenced_security_group_id = var.route.load_balancer_group_id
  ip_protocol                  = "tcp"
  from_port                    = var.route.port
  to_port                      = var.route.port
}
