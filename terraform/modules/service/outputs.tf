output "name" {
  description = "Name of the service, once it exists."
  value       = aws_ecs_service.this.name
}

output "target_group_arn_suffix" {
  description = "The target group's ARN suffix, for CloudWatch; null for a worker."
  value       = one(aws_lb_target_group.this[*].arn_suffix)
}

output "alarm_arns" {
  description = "Alarms of this service, for the dashboard."
  value = concat(
    aws_cloudwatch_metric_alarm.errors[*].arn,
    aws_cloudwatch_metric_alarm.slow[*].arn,
    aws_cloudwatch_metric_alarm.unhealthy[*].arn,
    aws_cloudwatch_metric_alarm.down[*].arn,
    [aws_cloudwatch_metric_alarm.cpu.arn, aws_cloudwatch_metric_alarm.memory.arn],
  )
}
