# Alarms on the database: each entry of the map is an alarm, and its text says what to do first.

locals {
  aurora = var.database.cluster != null
  writer = local.aurora ? { DBClusterIdentifier = var.database.cluster } : { DBInstanceIdentifier = var.database.writer }

  database_alarms = merge(
    {
      cpu = {
        metric    = "CPUUtilization"
        threshold = var.thresholds.cpu_percent
        operator  = "GreaterThanThreshold"
        minutes   = 15
        statistic = "Average"
        text      = "The database has been above ${var.thresholds.cpu_percent}% CPU for 15 minutes. First: look in Performance Insights for the statement with the highest load; if the load is as usual, choose a larger instance_class."
      }
      connections = {
        metric    = "DatabaseConnections"
        threshold = floor(var.database.max_connections * var.thresholds.connections_percent / 100)
        operator  = "GreaterThanThreshold"
        minutes   = 5
        statistic = "Maximum"
        text      = "Over ${var.thresholds.connections_percent}% of the ${var.database.max_connections} connections are in use; at 100% services answer 503. First: see in pg_stat_activity who uses them; then lower pool_size or scaling.max, or raise max_connections."
      }
      memory = {
        metric    = "FreeableMemory"
        threshold = 100 * 1024 * 1024
        operator  = "LessThanThreshold"
        minutes   = 15
        statistic = "Minimum"
        text      = "The database has under 100 MiB of memory left and will soon swap. First: look whether connections rose; if not, choose a larger instance_class."
      }
    },
    local.aurora ? {
      capacity = {
        metric    = "ACUUtilization"
        threshold = 90
        operator  = "GreaterThanThreshold"
        minutes   = 15
        statistic = "Average"
        text      = "The database runs at over 90% of max_acu. First: raise max_acu, then look in Performance Insights for what changed."
      }
      lag = {
        metric    = "AuroraReplicaLagMaximum"
        threshold = var.thresholds.replica_lag_seconds * 1000
        operator  = "GreaterThanThreshold"
        minutes   = 5
        statistic = "Maximum"
        text      = "A reader is more than ${var.thresholds.replica_lag_seconds} s behind, so answers are old. First: look for a large write under way; if there is none, restart the reader."
      }
      } : {
      storage = {
        metric    = "FreeStorageSpace"
        threshold = var.thresholds.free_storage_gb * 1024 * 1024 * 1024
        operator  = "LessThanThreshold"
        minutes   = 5
        statistic = "Minimum"
        text      = "Under ${var.thresholds.free_storage_gb} GB of storage left, and RDS did not enlarge it: either max_storage_gb is reached, or it was enlarged less than six hours ago. First: raise max_storage_gb; without space PostgreSQL stops."
      }
      burst = {
        metric    = "EBSByteBalance%"
        threshold = 20
        operator  = "LessThanThreshold"
        minutes   = 15
        statistic = "Minimum"
        text      = "The machine has used up most of its disk throughput burst and will slow down to its baseline. First: look in Performance Insights for statements that read much; then choose a larger instance_class."
      }
    },
    var.database.burstable && !local.aurora ? {
      credits = {
        # Not the balance: a new machine begins with none, and earns them for hours.
        metric    = "CPUSurplusCreditsCharged"
        period    = 300 # RDS reports it every five minutes
        threshold = 0
        operator  = "GreaterThanThreshold"
        minutes   = 15
        statistic = "Maximum"
        text      = "The machine has used up its CPU credits and is billed for further CPU time (T4g runs in unlimited mode). First: if the load is as usual, choose a class without credits, such as db.m7g.large."
      }
    } : {},
  )
}

resource "aws_cloudwatch_metric_alarm" "database" {
  for_each = local.database_alarms

  alarm_name          = "${var.name}-database-${each.key}"
  alarm_description   = each.value.text
  namespace           = "AWS/RDS"
  metric_name         = each.value.metric
  dimensions          = local.writer
  statistic           = each.value.statistic
  period              = lookup(each.value, "period", 60)
  comparison_operator = each.value.operator
  threshold           = each.value.threshold
  evaluation_periods  = 60 * each.value.minutes / lookup(each.value, "period", 60)
  # Missing data changes no alarm here: if the database is gone, the alarms of the services fire.
  treat_missing_data = "missing"
  alarm_actions      = [aws_sns_topic.alarms.arn]
  ok_actions         = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "replica_lag" {
  for_each = { for i, replica in var.database.replicas : "replica-${i + 1}" => replica }

  alarm_name          = "${var.name}-database-lag-${each.key}"
  alarm_description   = "${each.key} is more than ${var.thresholds.replica_lag_seconds} s behind, so the answers it gives are old. First: look for a large write or a long-running query on it; if there is neither, reboot it."
  namespace           = "AWS/RDS"
  metric_name         = "ReplicaLag"
  dimensions          = { DBInstanceIdentifier = each.value }
  statistic           = "Maximum"
  period              = 60
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.thresholds.replica_lag_seconds
  evaluation_periods  = 5
  treat_missing_data  = "missing"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}
