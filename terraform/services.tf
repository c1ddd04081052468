# Each entry of var.services as a task and the service that keeps it running, and the one-off tasks, which use the same
# images with other arguments and the login of the schema's owner.

locals {
  # Every service, complete: what it does not say itself comes from its program.
  services = { for name, service in var.services : name => merge(service, {
    repository = coalesce(service.repository, name)
    called     = length(service.paths) + length(service.hosts) > 0
    program    = local.service_programs[name]
    command    = length(service.command) > 0 ? service.command : local.service_programs[name].command
    database   = local.uses_database[name]
    exclusive  = local.service_programs[name].exclusive && service.volume != null
    # Each program's settings have its own prefix, for example RATES__SERVER__PORT.
    prefix = upper(replace(coalesce(service.repository, name), "-", "_"))
  }) }
  service_programs = { for name, service in var.services : name => local.programs[service.image != null ? "" : coalesce(service.repository, name)] }
  uses_database    = { for name, service in var.services : name => coalesce(service.database, local.service_programs[name].database) }

  repositories = toset(concat(["rates"], [for service in local.services : service.repository if service.image == null]))
  # Programs with migrations of their own, beside rates.
  migrating = toset([for service in local.services : service.repository if service.database && service.program.migrates])

  images = { for repository in local.repositories : repository => "${module.ecr[repository].repository_url}:${var.image_tag}" }
  # An image runs on every architecture that a task of it has; the one-off tasks have that of the variable.
  platform_names = { X86_64 = "linux/amd64", ARM64 = "linux/arm64" }
  platforms = { for repository in local.repositories : repository => join(",", sort(distinct(concat(
    repository == "rates" || contains(local.migrating, repository) ? [local.platform_names[var.architecture]] : [],
    [
      for service in local.services : local.platform_names[coalesce(service.size.architecture, var.architecture)]
      if service.image == null && service.repository == repository
    ],
  )))) }

  # Images from other ECR repositories also need permission to be pulled.
  outside = "^([0-9]+)\\.dkr\\.ecr\\.([a-z0-9-]+)\\.amazonaws\\.com(?:\\.cn)?/([^:@]+)"

  # verify-full checks the database's certificate against the authorities in the image.
  database_environment = {
    DB_HOST = module.rds.host
    DB_PORT = tostring(module.rds.port)
    DB_NAME = module.rds.database_name
  }
  trust = { for repository in local.repositories : repository => {
    "${upper(replace(repository, "-", "_"))}__DATABASE__TLS_MODE"    = "verify-full"
    "${upper(replace(repository, "-", "_"))}__DATABASE__TLS_CA_FILE" = "/etc/ssl/certs/rds-global-bundle.pem"
  } }

  # The environment of each service.
  environment = { for name, service in local.services : name => merge(
    { APP_ENV = var.environment },
    service.image != null ? {} : merge(
      service.program.environment,
      { for variable, below in service.program.volume : variable => "${trimsuffix(service.volume, "/")}${below}" if service.volume != null },
      {
        "${service.prefix}__SERVER__PORT"                    = tostring(service.port)
        "${service.prefix}__SERVER__METRICS_PORT"            = tostring(service.program.metrics_port)
        "${service.prefix}__SERVER__REQUEST_TIMEOUT_SECONDS" = tostring(local.request_timeout)
        "${service.prefix}__SERVER__DRAIN_SECONDS"           = tostring(local.drain)
        # The load balancer sends nothing more when SIGTERM comes.
        "${service.prefix}__SERVER__LAME_DUCK_SECONDS" = "0"
        # Trust the client address from the load balancer, and nothing before it.
        "${service.prefix}__SERVER__TRUSTED_PROXIES" = "1"
      },
    ),
    service.database ? merge(local.database_environment, { DB_USER = module.rds.app_username }) : {},
    service.database && service.image == null ? merge(local.trust[service.repository], {
      "${service.prefix}__DATABASE__POOL_SIZE" = tostring(service.pool_size)
    }) : {},
    # Reads go to the replicas if there are any, else to the writer.
    service.database && local.has_readers ? { DB_READ_HOSTS = join(",", module.rds.read_hosts) } : {},
    !service.redis ? {} : service.repository == "messages" && service.image == null ? {
      MESSAGES_REDIS_HOST = module.redis[0].host
      MESSAGES_REDIS_PORT = tostring(module.redis[0].port)
      MESSAGES_REDIS_TLS  = "true"
    } : { REDIS_URL = "rediss://${module.redis[0].host}:${module.redis[0].port}" },
    var.observability.collector_image != null ? { OTEL_EXPORTER_OTLP_ENDPOINT = "http://127.0.0.1:4318" } : {},
  ) }
  # The second Aurora instance serves reads, too.
  has_readers = var.database.replicas > 0 || (var.database.engine == "aurora-postgresql" && var.database.multi_az)
}

module "task" {
  source   = "./modules/task"
  for_each = local.services

  name       = "${local.name}-${each.key}"
  region     = var.region
  vpc_id     = local.network.vpc_id
  account_id = data.aws_caller_identity.current.account_id
  image      = each.value.image != null ? each.value.image : local.images[each.value.repository]
  repository_arns = concat(
    each.value.image == null ? [module.ecr[each.value.repository].repository_arn] : [],
    [
      for image in [each.value.image, var.observability.collector_image] :
      format("arn:${data.aws_partition.current.partition}:ecr:%[2]s:%[1]s:repository/%[3]s", regex(local.outside, image)...)
      if image != null && can(regex(local.outside, image))
    ],
  )
  command = each.value.command
  port    = each.value.called ? each.value.port : null
  health_command = each.value.image != null ? [] : (
    each.value.called ? ["/usr/local/bin/service", "healthcheck"]
    : each.value.command == tolist(["work"]) ? ["/usr/local/bin/service", "healthcheck", "--work"]
    : []
  )
  size        = merge(each.value.size, { architecture = coalesce(each.value.size.architecture, var.architecture) })
  environment = merge(local.environment[each.key], each.value.environment)
  secrets = merge(
    each.value.database ? { DB_PASSWORD = "${module.rds.app_secret_arn}:password::" } : {},
    each.value.secrets,
  )
  reaches = merge(
    each.value.database ? { database = { security_group_id = module.rds.security_group_id, port = module.rds.port } } : {},
    each.value.redis ? { cache = { security_group_id = module.redis[0].security_group_id, port = 6379 } } : {},
  )
  volume               = each.value.volume == null ? null : { path = each.value.volume, subnet_ids = local.network.private_subnet_ids }
  stop_timeout_seconds = local.stop_timeout
  exec                 = var.exec ? { log_group_arn = module.ecs.exec_log_group_arn } : null
  collector = var.observability.collector_image == null ? null : {
    image        = var.observability.collector_image
    namespace    = local.name
    metrics_port = each.value.program.metrics_port
  }
  log_days = var.observability.log_days
}

module "service" {
  source   = "./modules/service"
  for_each = local.services

  name       = "${local.name}-${each.key}"
  region     = var.region
  cluster    = { name = module.ecs.cluster_name, arn = module.ecs.cluster_arn }
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  vpc_id     = local.network.vpc_id
  subnet_ids = local.network.private_subnet_ids
  task = {
    definition_arn    = module.task[each.key].task_definition_arn
    container         = module.task[each.key].container
    security_group_id = module.task[each.key].security_group_id
  }
  route = !each.value.called ? null : {
    listener_arn                 = module.alb.listener_arn
    load_balancer_arn_suffix     = module.alb.arn_suffix
    load_balancer_group_id       = module.alb.security_group_id
    port                         = each.value.port
    priority                     = each.value.priority
    paths                        = each.value.paths
    hosts                        = each.value.hosts
    health_path                  = each.value.health_path
    deregistration_delay_seconds = local.deregistration_delay
  }
  scaling    = each.value.scaling
  deployment = each.value.deployment
  spot       = each.value.spot
  exclusive  = each.value.exclusive
  exec       = var.exec
  # Without the hooks, the image may not exist yet and the database not be migrated. Then the pipeline waits instead.
  wait = var.run_hooks
  alarms = {
    topic_arn     = module.observability.topic_arn
    p99_seconds   = var.observability.p99_seconds
    error_percent = var.observability.error_percent
  }

  # The service refuses to start while migrations are pending, so they run first. A module with depends_on must not read
  # data sources: every plan would defer them and show changes. This module reads none.
  depends_on = [terraform_data.migrate, terraform_data.migrate_service, terraform_data.load]
}

locals {
  # The tag is the dump's digest: another dump is another image, and the same dump is not loaded again. With the hooks
  # off the file is not read, so it need not exist.
  dump_tag = var.run_hooks && var.dump_file != null ? "data-${substr(filesha256(var.dump_file), 0, 12)}" : null

  # The one-off tasks: what they run, from which image.
  admin = merge(
    { migrate = { repository = "rates", image = local.images["rates"], command = ["migrate"] } },
    { for repository in local.migrating : "migrate-${repository}" => {
      repository = repository, image = local.images[repository], command = ["migrate"]
    } },
    local.dump_tag == null ? {} : {
      load = { repository = "rates", image = "${module.ecr["rates"].repository_url}:${coalesce(local.dump_tag, "none")}", command = ["load", "--if-empty", "/dump.sql"] }
    },
  )
}

# They log in as the schema's owner, with its current password, and set the password of the service's user.
module "admin" {
  source   = "./modules/task"
  for_each = local.admin

  name            = "${local.name}-${each.key}"
  region          = var.region
  account_id      = data.aws_caller_identity.current.account_id
  vpc_id          = local.network.vpc_id
  image           = each.value.image
  repository_arns = [module.ecr[each.value.repository].repository_arn]
  command         = each.value.command
  # More than a service needs, because loading runs only once and somebody waits for it.
  size = { cpu = 512, memory = 1024, architecture = var.architecture }
  environment = merge(local.database_environment, local.trust[each.value.repository], {
    APP_ENV     = var.environment
    DB_APP_USER = module.rds.app_username
  })
  secrets = {
    DB_USER         = "${module.rds.master_secret_arn}:username::"
    DB_PASSWORD     = "${module.rds.master_secret_arn}:password::"
    DB_APP_PASSWORD = "${module.rds.app_secret_arn}:password::"
  }
  reaches              = { database = { security_group_id = module.rds.security_group_id, port = module.rds.port } }
  stop_timeout_seconds = local.stop_timeout
  log_days             = var.observability.log_days
}
