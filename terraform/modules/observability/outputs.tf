output "topic_arn" {
  description = "Topic that alarms are told to; subscribe a chat or a pager to it."
  value       = aws_sns_topic.alarms.arn

  # An alarm that rings before the policy is there would ring unheard.
  depends_on = [aws_sns_topic_policy.alarms]
}

output "dashboard_name" {
  description = "Name of the dashboard."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}
