output "url" {
  description = "URL for clients."
  value       = module.alb.url
}

output "curl" {
  description = "An example request that works with the sample data."
  value       = "curl '${module.alb.url}/rates?date_from=2021-01-21&date_to=2021-01-27&orig_code=CNSGH&dest_code=north_europe_main'"
}

output "region" {
  description = "AWS region, for scripts."
  value       = var.region
}

output "cluster" {
  description = "ECS cluster, for scripts."
  value       = module.ecs.cluster_name
}

output "services" {
  description = "By name: the ECS service, its task definition, and its log group."
  value = { for name, service in module.service : name => {
    service         = service.name
    task_definition = module.task[name].task_definition_arn
    log_group       = module.task[name].log_group_name
  } }
}

output "repositories" {
  description = "Repository URLs to push images to, by service."
  value       = { for name, repository in module.ecr : name => repository.repository_url }
}

output "builds" {
  description = "Arguments of build_push_docker_image.sh to build each program's image for the architectures of its tasks from a pipeline. Add --tag."
  value       = { for name, repository in module.ecr : name => "${repository.repository_url} --service ${name} --platform ${local.platforms[name]}" }
}

output "one_off_tasks" {
  description = "Arguments of scripts/run_task.sh to run the migration or the load from a pipeline."
  value       = local.one_off_tasks
}

output "database_passwords" {
  description = "Arguments of scripts/database_password.sh to set the passwords of database users from a pipeline, by user. Contains no password."
  value       = module.rds.passwords
}

output "alarm_topic" {
  description = "SNS topic of alarms."
  value       = module.observability.topic_arn
}

output "dashboard_url" {
  description = "URL of the dashboard."
  value       = "https://${var.region}.console.aws.amazon.com/cloudwatch/home?region=${var.region}#dashboards/dashboard/${module.observability.dashboard_name}"
}

output "database" {
  description = "Identifier of the database in RDS, for snapshots and restores."
  value       = module.rds.identifiers
}

output "pipeline_roles" {
  description = "Roles of the workflows: plan and deploy. Null without the variable pipeline."
  value       = one(module.oidc[*].role_arns)
}

output "image_tag" {
  description = "Tag of the images that were deployed last, for the drift check."
  value       = var.image_tag
}

output "copy_vault" {
  description = "Vault with the copies of the database, in the region of backup_copies. Null without it."
  value       = one(module.backup[*].copy_vault)
}
