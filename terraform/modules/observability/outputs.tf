output "topic_arn" {
  description = "Topic that alarms are sent to; subscribe a chat or a pager to it."
  value       = aws_sns_topic.alarms.arn

  # An alarm that fires before the policy is there would reach nobody.
  depends_on = [aws_sns_topic_policy.alarms]
}

output "dashboard_name" {
  description = "Name of the dashboard."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}
