# Alarms of this service. Each description says what to do first, because the notification shows nothing else.

locals {
  # The load balancer has metrics for each target group; without a route there are none. Of the two groups of a canary
  # deployment each has alarms of its own, so that the many requests to the old tasks do not hide what the new ones do.
  targets = { for key, group in aws_lb_target_group.this : key => {
    LoadBalancer = var.route.load_balancer_arn_suffix
    TargetGroup  = group.arn_suffix
  } }
  suffixes = { primary = "", alternate = "-alternate" }
  service = {
    ClusterName = var.cluster.name
    ServiceName = var.name
  }
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  for_each = local.targets

  alarm_name          = "${var.name}-5xx${local.suffixes[each.key]}"
  alarm_description   = "More than ${var.alarms.error_percent}% of answers of ${var.name} are 5xx. First: read the newest ERROR lines in its log group; if a deployment is under way it rolls back automatically, if one just ended run scripts/rollback.sh. 503 alone means the database: see its alarms."
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.alarms.error_percent
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  # Without requests there are no errors.
  treat_missing_data = "notBreaching"
  alarm_actions      = [var.alarms.topic_arn]
  ok_actions         = [var.alarms.topic_arn]

  # A share, not a count: ten errors are an outage at night and noise at noon. Minutes with fewer than 20 requests count
  # as free of errors, because a single error would fire the alarm.
  metric_query {
    id          = "share"
    label       = "5xx answers, per cent"
    expression  = "IF(requests >= 20, 100 * FILL(errors, 0) / requests, 0)"
    return_data = true
  }

  metric_query {
    id = "errors"

    metric {
      namespace   = "AWS/ApplicationELB"
      metric_name = "HTTPCode_Target_5XX_Count"
      dimensions  = each.value
      period      = 60
      stat        = "Sum"
    }
  }

  metric_query {
    id = "requests"

    metric {
      namespace   = "AWS/ApplicationELB"
      metric_name = "RequestCount"
      dimensions  = each.value
      period      = 60
      stat        = "Sum"
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "slow" {
  for_each = local.targets

  alarm_name         = "${var.name}-p99${local.suffixes[each.key]}"
  alarm_description  = "One request in a hundred to ${var.name} takes over ${var.alarms.p99_seconds} s. First: look on the dashboard whether tasks (CPU) or the database (CPU, connections) are busy; for tasks raise scaling.max, for the database look for the slow statement in Performance Insights."
  namespace          = "AWS/ApplicationELB"
  metric_name        = "TargetResponseTime"
  dimensions         = each.value
  extended_statistic = "p99"
  # A single slow request in an idle minute must not fire the alarm.
  evaluate_low_sample_count_percentiles = "ignore"
  period                                = 60
  comparison_operator                   = "GreaterThanThreshold"
  threshold                             = var.alarms.p99_seconds
  evaluation_periods                    = 5
  datapoints_to_alarm                   = 3
  treat_missing_data                    = "notBreaching"
  alarm_actions                         = [var.alarms.topic_arn]
  ok_actions                            = [var.alarms.topic_arn]
}

resource "aws_cloudwatch_metric_alarm" "unhealthy" {
  for_each = local.targets

  alarm_name          = "${var.name}-unhealthy${local.suffixes[each.key]}"
  alarm_description   = "A task of ${var.name} fails its health check for ten minutes and is not being replaced. First: list the service's events (aws ecs describe-services) and read the log of the task they name."
  namespace           = "AWS/ApplicationELB"
  metric_name         = "UnHealthyHostCount"
  dimensions          = each.value
  statistic           = "Maximum"
  period              = 60
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 10
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarms.topic_arn]
  ok_actions          = [var.alarms.topic_arn]
}

resource "aws_cloudwatch_metric_alarm" "down" {
  count = var.route != null && var.scaling.min > 0 ? 1 : 0

  alarm_name          = "${var.name}-down"
  alarm_description   = "No healthy task of ${var.name}: clients get 503. First: read why the last tasks stopped (aws ecs list-tasks --desired-status STOPPED, then describe-tasks); pending migrations, a missing secret or a missing image are named there. Then scripts/rollback.sh."
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  # A single task that is replaced is away for a minute or two.
  evaluation_periods = var.exclusive ? 5 : 2
  # With no task registered there is no data, and that is an outage.
  treat_missing_data = "breaching"
  alarm_actions      = [var.alarms.topic_arn]
  ok_actions         = [var.alarms.topic_arn]

  # The tasks may be in either group.
  metric_query {
    id          = "healthy"
    label       = "Healthy tasks"
    expression  = join(" + ", [for key in keys(local.targets) : "FILL(${key}, 0)"])
    return_data = true
  }

  dynamic "metric_query" {
    for_each = local.targets

    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/ApplicationELB"
        metric_name = "HealthyHostCount"
        dimensions  = metric_query.value
        period      = 60
        stat        = "Maximum"
      }
    }
  }

  # Before the first task there is no data either, which is none: the alarm begins when the service is steady.
  depends_on = [aws_ecs_service.this]
}

resource "aws_cloudwatch_metric_alarm" "cpu" {
  alarm_name          = "${var.name}-cpu"
  alarm_description   = "Tasks of ${var.name} are above ${var.alarms.cpu_percent}% CPU for ten minutes, so autoscaling is at its end. First: raise scaling.max, or size.cpu."
  namespace           = "AWS/ECS"
  metric_name         = "CPUUtilization"
  dimensions          = local.service
  statistic           = "Average"
  period              = 60
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.alarms.cpu_percent
  evaluation_periods  = 10
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarms.topic_arn]
  ok_actions          = [var.alarms.topic_arn]
}

resource "aws_cloudwatch_metric_alarm" "memory" {
  alarm_name          = "${var.name}-memory"
  alarm_description   = "Tasks of ${var.name} use over ${var.alarms.memory_percent}% of their memory; at 100% they are killed. First: raise size.memory, then look whether it grows without end, which is a leak."
  namespace           = "AWS/ECS"
  metric_name         = "MemoryUtilization"
  dimensions          = local.service
  statistic           = "Maximum"
  period              = 60
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.alarms.memory_percent
  evaluation_periods  = 5
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarms.topic_arn]
  ok_actions          = [var.alarms.topic_arn]
}
