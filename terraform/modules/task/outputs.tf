output "task_definition_arn" {
  description = "ARN of the task definition revision to run."
  value       = aws_ecs_task_definition.this.arn
}

output "container" {
  description = "Name of the main container."
  value       = local.container
}

output "security_group_id" {
  description = "Security group of the tasks; the database and the cache accept connections from it."
  value       = aws_security_group.this.id
}

output "volume_arn" {
  description = "ARN of the file system, for backups; null without a volume."
  value       = one(aws_efs_file_system.this[*].arn)
}

output "log_group_name" {
  description = "Name of the log group."
  value       = aws_cloudwatch_log_group.this.name
}
