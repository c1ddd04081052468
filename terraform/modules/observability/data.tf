# What rings for the data itself: the service runs, and what it answers is old or incomplete. Both read the services'
# own metrics, which reach CloudWatch by way of the collector.

resource "aws_cloudwatch_metric_alarm" "stale" {
  count = var.service_metrics ? 1 : 0

  alarm_name          = "${var.name}-data-stale"
  alarm_description   = "No price came in for ${var.thresholds.stale_data_hours} hours. First: look whether suppliers sent anything (requests to /batches in the access log); if they did, see the alarm on failed batches."
  namespace           = var.name
  metric_name         = "rates_data_age_seconds"
  statistic           = "Minimum"
  period              = 300
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.thresholds.stale_data_hours * 3600
  evaluation_periods  = 3
  # A service that reports no age at all is a reason to look, too.
  treat_missing_data = "breaching"
  alarm_actions      = [aws_sns_topic.alarms.arn]
  ok_actions         = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "failed_batches" {
  count = var.service_metrics ? 1 : 0

  alarm_name          = "${var.name}-batches-failed"
  alarm_description   = "A batch of prices failed on our side, and none of it was stored. First: find it in the log by status failed, with the supplier and the batch's id; what the supplier must mend is in its answer, the rest is ours. Sending it again is safe."
  namespace           = var.name
  metric_name         = "rates_batches_failed_total"
  statistic           = "Sum"
  period              = 300
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}
