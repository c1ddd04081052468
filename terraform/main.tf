# The modules, from the outside in: network, load balancer, images, database, cache, and monitoring. Services are in
# services.tf, the hooks of apply (build, migrate, load) in hooks.tf.

locals {
  name      = "${var.name}-${var.environment}"
  protected = coalesce(var.protected, var.environment == "prod")

  # Timeouts for stopping a task. ECS takes the task off the load balancer, which waits as long as the slowest request
  # may take, and sends SIGTERM: the service stops accepting requests and completes those in flight. Then ECS sends
  # SIGKILL. So: request < deregistration, request < drain < stop.
  request_timeout      = var.request_timeout_seconds
  deregistration_delay = local.request_timeout + 5
  drain                = local.request_timeout + 10
  stop_timeout         = local.drain + 10
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  # Our own network, or the one that is there.
  network = coalesce(var.network.existing, one(module.vpc))
}

module "vpc" {
  source = "./modules/vpc"
  count  = var.network.existing == null ? 1 : 0

  name          = local.name
  region        = var.region
  account_id    = data.aws_caller_identity.current.account_id
  partition     = data.aws_partition.current.partition
  cidr          = var.network.cidr
  zones         = var.network.zones
  egress        = var.network.egress
  ipv6          = var.network.ipv6
  flow_log_days = var.network.flow_log_days
  # The first four are needed by every task.
  endpoints = toset(concat(
    ["ecr.api", "ecr.dkr", "logs", "secretsmanager"],
    var.exec ? ["ssmmessages"] : [],
    var.observability.collector_image != null ? ["xray"] : [],
  ))
}

module "alb" {
  source = "./modules/alb"

  name           = local.name
  vpc_id         = local.network.vpc_id
  subnet_ids     = var.listener.internal ? local.network.private_subnet_ids : local.network.public_subnet_ids
  listener       = var.listener
  ipv6           = var.network.ipv6
  waf_rate_limit = var.waf_rate_limit
  protected      = local.protected
}

# One repository per image that this project builds. The one of `rates` always exists, because migrations use it.
module "ecr" {
  source   = "./modules/ecr"
  for_each = local.repositories

  name         = "${local.name}/${each.key}"
  force_delete = !local.protected
}

module "rds" {
  source = "./modules/rds"

  name       = local.name
  vpc_id     = local.network.vpc_id
  subnet_ids = local.network.data_subnet_ids
  database   = var.database
  protected  = local.protected
  log_days   = var.observability.log_days
  clients = merge(
    { for name, service in local.services : name => module.task[name].security_group_id if service.database },
    { for name, task in module.admin : name => task.security_group_id },
  )
}

module "redis" {
  source = "./modules/redis"
  count  = var.redis == null ? 0 : 1

  name       = local.name
  vpc_id     = local.network.vpc_id
  subnet_ids = local.network.data_subnet_ids
  redis      = var.redis
  protected  = local.protected
  clients    = { for name, service in var.services : name => module.task[name].security_group_id if service.redis }
}

module "ecs" {
  source = "./modules/ecs"

  name               = local.name
  container_insights = var.observability.container_insights
  log_days           = var.observability.log_days
}

module "observability" {
  source = "./modules/observability"

  name          = local.name
  region        = var.region
  emails        = var.observability.emails
  load_balancer = module.alb.arn_suffix
  cluster_name  = module.ecs.cluster_name
  services = { for name, service in module.service : name => {
    name          = service.name
    target_groups = service.target_group_arn_suffixes
    alarm_arns    = service.alarm_arns
    log_group     = module.task[name].log_group_name
  } }
  database = merge(module.rds.identifiers, {
    max_connections = var.database.max_connections
    burstable       = startswith(var.database.instance_class, "db.t")
  })
  thresholds         = { stale_data_hours = var.observability.stale_data_hours }
  service_metrics    = var.observability.collector_image != null
  monthly_budget_usd = var.observability.monthly_budget_usd
}

module "backup" {
  source = "./modules/backup"
  count  = var.backup_copies == null ? 0 : 1

  name        = local.name
  region      = var.region
  copy_region = var.backup_copies.region
  keep_days   = var.backup_copies.keep_days
  arns        = concat([module.rds.arn], [for name, service in var.services : module.task[name].volume_arn if service.volume != null])
  account_id  = data.aws_caller_identity.current.account_id
  partition   = data.aws_partition.current.partition
  protected   = local.protected
}

module "oidc" {
  source = "./modules/oidc"
  count  = var.pipeline == null ? 0 : 1

  name        = var.name
  environment = var.environment
  repository  = var.pipeline.repository
  state       = { bucket = var.pipeline.state_bucket, key = coalesce(var.pipeline.state_key, "${var.name}/${var.environment}.tfstate") }
  region      = var.region
  account_id  = data.aws_caller_identity.current.account_id
  partition   = data.aws_partition.current.partition
}
