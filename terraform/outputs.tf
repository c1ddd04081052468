output "url" {
  description = "Where clients call."
  value       = module.alb.url
}

output "curl" {
  description = "A request that answers, on the sample data."
  value       = "curl '${module.alb.url}/rates?date_from=2021-01-21&date_to=2021-01-27&orig_code=CNSGH&dest_code=north_europe_main'"
}

output "region" {
  description = "Region all of this is in, for scripts."
  value       = var.region
}

output "cluster" {
  description = "ECS cluster, for scripts."
  value       = module.ecs.cluster_name
}

output "services" {
  description = "By name: the ECS service, the task definition that it should run, and its log group."
  value = { for name, service in module.service : name => {
    service         = service.name
    task_definition = module.task[name].task_definition_arn
    log_group       = module.task[name].log_group_name
  } }
}

output "repositories" {
  description = "Where images are pushed to, by service."
  value       = { for name, repository in module.ecr : name => repository.repository_url }
}

output "one_off_tasks" {
  description = "How to run a migration (or the load) from a pipeline: the arguments of scripts/run_task.sh."
  value = { for name, task in module.admin : name => join(" ", [
    "--cluster", module.ecs.cluster_name,
    "--task-definition", task.task_definition_arn,
    "--subnets", join(",", module.vpc.private_subnet_ids),
    "--security-group", task.security_group_id,
  ]) }
}

output "database_passwords" {
  description = "How to make the passwords of database users from a pipeline, by user: the arguments of scripts/database_password.sh. No password is here."
  value       = module.rds.passwords
}

output "alarm_topic" {
  description = "SNS topic that alarms are sent to."
  value       = module.observability.topic_arn
}

output "dashboard_url" {
  description = "The dashboard."
  value       = "https://${var.region}.console.aws.amazon.com/cloudwatch/home?region=${var.region}#dashboards/dashboard/${module.observability.dashboard_name}"
}

output "database" {
  description = "What RDS knows the database by, for snapshots and restores."
  value       = module.rds.identifiers
}
