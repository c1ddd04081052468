output "cluster_name" {
  description = "Name of the cluster, for alarms, dashboards and scripts. Available once Fargate can be used in it."
  value       = aws_ecs_cluster_capacity_providers.this.cluster_name
}

output "cluster_arn" {
  description = "ARN of the cluster."
  value       = aws_ecs_cluster.this.arn
}

output "exec_log_group_arn" {
  description = "Log group of ECS Exec sessions; task roles write to it when exec is on."
  value       = aws_cloudwatch_log_group.exec.arn
}
