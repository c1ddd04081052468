output "name" {
  description = "Name of the service, once it exists."
  value       = aws_ecs_service.this.name
}

output "target_group_arn_suffixes" {
  description = "ARN suffixes of the target groups, for CloudWatch: one, two if deployments move requests, none for a worker."
  value       = [for group in aws_lb_target_group.this : group.arn_suffix]
}

output "alarm_arns" {
  description = "Alarms of this service, for the dashboard."
  value = concat(
    [for alarm in aws_cloudwatch_metric_alarm.errors : alarm.arn],
    [for alarm in aws_cloudwatch_metric_alarm.slow : alarm.arn],
    [for alarm in aws_cloudwatch_metric_alarm.unhealthy : alarm.arn],
    aws_cloudwatch_metric_alarm.down[*].arn,
    [aws_cloudwatch_metric_alarm.cpu.arn, aws_cloudwatch_metric_alarm.memory.arn],
  )
}
