# One page, read from top to bottom: alarms, what clients see, what the tasks do, what the database does, what the
# log says.

locals {
  # Each target group with the name of its service; of two, one is in use.
  targets = flatten([for key, service in var.services : [for group in service.target_groups : { key = key, group = group }]])

  # Title, metrics, statistic: everything else is the same for every picture.
  pictures = [
    { title = "Requests a minute", stat = "Sum", metrics = [for t in local.targets : ["AWS/ApplicationELB", "RequestCount", "TargetGroup", t.group, "LoadBalancer", var.load_balancer, { label = t.key }]] },
    { title = "5xx answers", stat = "Sum", metrics = [for t in local.targets : ["AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", "TargetGroup", t.group, "LoadBalancer", var.load_balancer, { label = t.key }]] },
    { title = "p99, seconds", stat = "p99", metrics = [for t in local.targets : ["AWS/ApplicationELB", "TargetResponseTime", "TargetGroup", t.group, "LoadBalancer", var.load_balancer, { label = t.key }]] },
    { title = "Healthy tasks", stat = "Minimum", metrics = [for t in local.targets : ["AWS/ApplicationELB", "HealthyHostCount", "TargetGroup", t.group, "LoadBalancer", var.load_balancer, { label = t.key }]] },
    { title = "CPU of tasks, per cent", stat = "Average", metrics = [for key, s in var.services : ["AWS/ECS", "CPUUtilization", "ClusterName", var.cluster_name, "ServiceName", s.name, { label = key }]] },
    { title = "Memory of tasks, per cent", stat = "Maximum", metrics = [for key, s in var.services : ["AWS/ECS", "MemoryUtilization", "ClusterName", var.cluster_name, "ServiceName", s.name, { label = key }]] },
    { title = "CPU of the database, per cent", stat = "Average", metrics = [["AWS/RDS", "CPUUtilization", one(keys(local.writer)), one(values(local.writer)), { label = "writer" }]] },
    { title = "Connections, of ${var.database.max_connections}", stat = "Maximum", metrics = [["AWS/RDS", "DatabaseConnections", one(keys(local.writer)), one(values(local.writer)), { label = "writer" }]] },
  ]

  # A picture without a line is refused, so one that has none is left out.
  drawn = [for picture in local.pictures : picture if length(picture.metrics) > 0]

  alarm_arns = concat(
    flatten([for service in var.services : service.alarm_arns]),
    [for alarm in aws_cloudwatch_metric_alarm.database : alarm.arn],
    [for alarm in aws_cloudwatch_metric_alarm.replica_lag : alarm.arn],
    aws_cloudwatch_metric_alarm.stale[*].arn,
    aws_cloudwatch_metric_alarm.failed_batches[*].arn,
  )
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = concat(
      [{
        type       = "alarm"
        x          = 0
        y          = 0
        width      = 24
        height     = 4
        properties = { title = "Alarms", alarms = local.alarm_arns }
      }],
      [for i, picture in local.drawn : {
        type   = "metric"
        x      = i % 2 * 12
        y      = 4 + floor(i / 2) * 6
        width  = 12
        height = 6
        properties = {
          title   = picture.title
          stat    = picture.stat
          metrics = picture.metrics
          region  = var.region
          period  = 60
          view    = "timeSeries"
          yAxis   = { left = { min = 0 } }
        }
      }],
      [for i, table in local.tables : {
        type       = "log"
        x          = 0
        y          = 4 + ceil(length(local.drawn) / 2) * 6 + i * 6
        width      = 24
        height     = 6
        properties = { title = table.title, query = table.query, region = var.region, view = "table" }
      }],
    )
  })
}
