output "task_definition_arn" {
  description = "Revision to run."
  value       = aws_ecs_task_definition.this.arn
}

output "container" {
  description = "Name of the container that does the work."
  value       = local.container
}

output "security_group_id" {
  description = "Group of the tasks, which the database and the cache let in."
  value       = aws_security_group.this.id
}

output "log_group_name" {
  description = "Where the logs go."
  value       = aws_cloudwatch_log_group.this.name
}
