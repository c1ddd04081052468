# The alarm on the bill. AWS reports an account's bill only in us-east-1, and an alarm and its topic must be in the region
# of the metric: hence `region`.

locals {
  budget = var.monthly_budget_usd > 0 ? 1 : 0
}

resource "aws_sns_topic" "budget" {
  count = local.budget

  region = "us-east-1"
  name   = "${var.name}-budget"
}

resource "aws_sns_topic_subscription" "budget" {
  for_each = local.budget == 1 ? var.emails : []

  region    = "us-east-1"
  topic_arn = aws_sns_topic.budget[0].arn
  protocol  = "email"
  endpoint  = each.value
}

resource "aws_cloudwatch_metric_alarm" "budget" {
  count = local.budget

  region              = "us-east-1"
  alarm_name          = "${var.name}-budget"
  alarm_description   = "This month's bill of the account passed ${var.monthly_budget_usd} USD. First: Cost Explorer, grouped by the tag Environment and then by service; unexpected costs are most often data transfer and NAT."
  namespace           = "AWS/Billing"
  metric_name         = "EstimatedCharges"
  dimensions          = { Currency = "USD" }
  statistic           = "Maximum"
  period              = 21600
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.monthly_budget_usd
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.budget[0].arn]
}
