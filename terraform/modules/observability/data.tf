# Alarms on the data: prices are old, or batches were not stored. They use the services' own metrics, which the collector
# sends to CloudWatch.

resource "aws_cloudwatch_metric_alarm" "stale" {
  count = var.service_metrics ? 1 : 0

  alarm_name          = "${var.name}-data-stale"
  alarm_description   = "Neither prices nor places changed for ${var.thresholds.stale_data_hours} hours, or rates does not report the age of its data. First: look at \"${local.queries.batches.title}\" on the dashboard ${var.name}. If suppliers send nothing (no POST /prices), ask them; if their batches are rejected, see the reasons; if the table is empty and requests fail, see the alarms on the database."
  namespace           = var.name
  metric_name         = "rates_data_age_seconds"
  statistic           = "Minimum"
  period              = 300
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.thresholds.stale_data_hours * 3600
  evaluation_periods  = 3
  # The age is missing until rates has read it from the database once: a reason to look, too.
  treat_missing_data = "breaching"
  alarm_actions      = [aws_sns_topic.alarms.arn]
  ok_actions         = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "failed_batches" {
  count = var.service_metrics ? 1 : 0

  alarm_name          = "${var.name}-batches-failed"
  alarm_description   = "A batch of prices was not stored, because of an error in the service. First: look at \"${local.queries.batches.title}\" on the dashboard ${var.name} and read the cause: of a request to POST /prices with a status of 500 or more, or of \"batch rejected; nothing was stored\". After the cause is fixed, ask the supplier to send the batch again, which is safe."
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
