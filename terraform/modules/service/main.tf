# A service: so many copies of one task, behind the load balancer or on their own.

resource "aws_ecs_service" "this" {
  name            = var.name
  cluster         = var.cluster.arn
  task_definition = var.task.definition_arn
  # Autoscaling decides from the first minute on.
  desired_count          = var.scaling.min
  enable_execute_command = var.exec
  # Moves tasks back when a zone that was lost returns.
  availability_zone_rebalancing = "ENABLED"
  enable_ecs_managed_tags       = true
  propagate_tags                = "SERVICE"
  wait_for_steady_state         = var.wait

  # New tasks first, old ones after: never fewer than before, twice as many at the most, which is what the database's
  # connections must suffice for.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  # A new task may start, connect and warm up before the load balancer's verdict counts.
  health_check_grace_period_seconds = var.route == null ? null : 60

  capacity_provider_strategy {
    capacity_provider = var.spot ? "FARGATE_SPOT" : "FARGATE"
    weight            = 1
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [var.task.security_group_id]
    assign_public_ip = false
  }

  # Tasks that never come up take the deployment back by themselves…
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  # … and so do tasks that come up and answer with errors.
  dynamic "alarms" {
    for_each = var.route == null ? [] : [var.route]

    content {
      enable      = true
      rollback    = true
      alarm_names = [aws_cloudwatch_metric_alarm.errors[0].alarm_name, aws_cloudwatch_metric_alarm.slow[0].alarm_name]
    }
  }

  dynamic "load_balancer" {
    for_each = var.route == null ? [] : [var.route]

    content {
      target_group_arn = aws_lb_target_group.this[0].arn
      container_name   = var.task.container
      container_port   = load_balancer.value.port
    }
  }

  lifecycle {
    # Or every apply would undo what autoscaling did.
    ignore_changes = [desired_count]

    # A deployment that was rolled back is steady too: without this, apply would be green with the old version running.
    # It misses a first deployment that failed; scripts/verify_rollout.sh, which compares deployment ids, does not.
    postcondition {
      condition     = self.task_definition == var.task.definition_arn
      error_message = "The deployment of ${var.name} was rolled back: the service runs another task definition than the one asked for. Read the service's events and the task's log."
    }
  }

  # A target group outside any load balancer is refused.
  depends_on = [aws_lb_listener_rule.this]
}

resource "aws_lb_target_group" "this" {
  count = var.route == null ? 0 : 1

  # The port is part of the name, in a digest: a change of port makes a new group beside the old, since neither can
  # be changed while the rule uses it. 32 characters are all there are.
  name        = "${trimsuffix(substr(var.name, 0, 25), "-")}-${substr(sha1("${var.name}:${var.route.port}"), 0, 6)}"
  vpc_id      = var.vpc_id
  port        = var.route.port
  protocol    = "HTTP"
  target_type = "ip"

  # Whoever has the fewest requests under way gets the next: a slow task gets no more.
  load_balancing_algorithm_type = "least_outstanding_requests"
  # As long as the slowest request may take, and not the 300 s that would hold up every deployment.
  deregistration_delay = var.route.deregistration_delay_seconds

  # Asks whether the task is alive, not whether the database is: one hiccup there must not restart every task.
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
    target_group_arn = aws_lb_target_group.this[0].arn
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
}

# The chain's two links: the load balancer may go out to these tasks, and they let nobody else in.
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
