# Settings for operators. Only environment, image_tag and, outside eu-west-1, region are required.

variable "environment" {
  description = "Name of the environment, for example dev, staging or prod. Part of every resource name. prod is protected by default; see protected."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z](-?[a-z0-9])*$", var.environment)) && length(var.environment) <= 12
    error_message = "environment must be 1 to 12 lower-case letters, digits and single hyphens, starting with a letter and not ending in a hyphen."
  }
}

variable "region" {
  description = "AWS region."
  type        = string
  default     = "eu-west-1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be a region's code, for example eu-west-1."
  }
}

variable "image_tag" {
  description = "Tag of the images to run: the commit. Tags cannot be overwritten, so a tag always names the same images."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.image_tag))
    error_message = "image_tag must be an image tag. A digest would be that of one program, and there are several."
  }

  validation {
    condition     = var.image_tag != "latest"
    error_message = "image_tag must not be latest: it does not say which version runs, and a rollback would need the previous tag."
  }
}

variable "run_hooks" {
  description = "Whether apply builds and pushes the images, migrates the database and loads the dump. Turn it off for a pipeline that runs these steps itself."
  type        = bool
  default     = true
  nullable    = false
}

variable "dump_file" {
  description = "Dump that the hooks load if the database has no prices. Relative to this directory; null loads nothing."
  type        = string
  default     = "../db/rates.sql"
}

variable "name" {
  description = "Prefix of every resource name. To run several instances of an environment in one account, give each another name."
  type        = string
  default     = "rates"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z](-?[a-z0-9])*$", var.name)) && length(var.name) <= 12
    error_message = "name must be 1 to 12 lower-case letters, digits and single hyphens, starting with a letter and not ending in a hyphen."
  }
}

variable "protected" {
  description = "If true, the database and the load balancer cannot be deleted, a final snapshot is taken, and changes to the database wait for the maintenance window. Default: true in prod, else false."
  type        = bool
  default     = null
}

variable "network" {
  description = "The network: its address range, the number of zones (2 or 3), how tasks reach AWS (\"endpoints\", \"nat\" or \"nat-per-zone\"; docs/aws.md has the prices), the days to keep flow logs (0 for none), and whether clients also connect by IPv6. With existing, these subnets of a VPC that you have are used instead; its private subnets need a way to ECR, S3, CloudWatch Logs and Secrets Manager."
  type = object({
    cidr          = optional(string, "10.0.0.0/16")
    zones         = optional(number, 2)
    egress        = optional(string, "endpoints")
    flow_log_days = optional(number, 30)
    ipv6          = optional(bool, false)
    existing = optional(object({
      vpc_id             = string
      public_subnet_ids  = optional(list(string), [])
      private_subnet_ids = list(string)
      data_subnet_ids    = list(string)
    }))
  })
  default  = {}
  nullable = false
}

variable "listener" {
  description = "What clients connect to. By default HTTP on port. With certificate_arn: HTTPS on 443, and 80 redirects to it. With domain and zone_id: the same, with a new certificate and a DNS record for the domain. internal puts the load balancer into the private subnets, where only the network reaches it. A protected environment refuses plain HTTP unless plain_http says that it is meant: keys of suppliers would be readable on the way."
  type = object({
    port            = optional(number, 3000)
    plain_http      = optional(bool, false)
    internal        = optional(bool, false)
    certificate_arn = optional(string)
    domain          = optional(string)
    zone_id         = optional(string)
    allowed_cidrs   = optional(set(string), ["0.0.0.0/0"])
  })
  default  = {}
  nullable = false

  validation {
    condition = (
      var.listener.certificate_arn != null || var.listener.domain != null || var.listener.plain_http
      || !coalesce(var.protected, var.environment == "prod")
    )
    error_message = "listener must have a domain with zone_id, or a certificate_arn, in a protected environment: over plain HTTP, suppliers' keys can be read on the way. If TLS ends elsewhere, set listener.plain_http = true."
  }

  validation {
    condition     = var.listener.internal || var.network.existing == null || length(coalesce(try(var.network.existing.public_subnet_ids, []), [])) >= 2
    error_message = "listener needs internal = true, or two subnets in network.existing.public_subnet_ids for the load balancer."
  }
}

variable "waf_rate_limit" {
  description = "Requests allowed per client address in five minutes. A value above 0 also turns on the web application firewall and AWS's managed rules."
  type        = number
  default     = 0
  nullable    = false
}

variable "database" {
  description = "The database: engine \"postgres\" (one instance, a standby with multi_az, and a number of replicas) or \"aurora-postgresql\" (Serverless v2, from min_acu to max_acu units of 2 GiB). A change of max_connections needs a reboot, and one of the major engine_version needs major_upgrade = true; docs/aws.md has the steps of both."
  type = object({
    engine          = optional(string, "postgres")
    engine_version  = optional(string, "17")
    instance_class  = optional(string, "db.t4g.micro")
    storage_gb      = optional(number, 20)
    max_storage_gb  = optional(number, 100)
    multi_az        = optional(bool, false)
    replicas        = optional(number, 0)
    max_connections = optional(number, 100)
    backup_days     = optional(number, 7)
    min_acu         = optional(number, 0.5)
    max_acu         = optional(number, 4)
    major_upgrade   = optional(bool, false)
  })
  default  = {}
  nullable = false
}

variable "services" {
  description = <<-EOT
    The services to run, by name. `repository` names the program of this project to run at image_tag (default: the service's
    name); `image` runs another image instead. The load balancer sends a service the requests for its `paths` or `hosts`; if
    several services match, the lowest `priority` gets them. A service with neither is a worker. `database` and `redis` give
    access to these (`database` is on for rates and multivac by default), and `volume` is the path of a persistent directory.
    `deployment` is rolling, or blue_green or canary, with the alarms as judge.
    What a program of this project needs besides is in programs.tf. `secrets` maps environment variables to ARNs in Secrets
    Manager.
  EOT
  type = map(object({
    image       = optional(string)
    repository  = optional(string)
    command     = optional(list(string), [])
    port        = optional(number, 3000)
    paths       = optional(set(string), [])
    hosts       = optional(set(string), [])
    priority    = optional(number, 1000)
    health_path = optional(string, "/healthz")
    size = optional(object({
      cpu          = optional(number, 256)
      memory       = optional(number, 512)
      architecture = optional(string)
    }), {})
    scaling = optional(object({
      min                 = optional(number, 1)
      max                 = optional(number, 4)
      requests_per_minute = optional(number, 60000)
      cpu_percent         = optional(number, 60)
    }), {})
    deployment = optional(object({
      strategy       = optional(string, "rolling")
      bake_minutes   = optional(number, 5)
      canary_percent = optional(number, 10)
      canary_minutes = optional(number, 5)
    }), {})
    spot        = optional(bool, false)
    database    = optional(bool)
    pool_size   = optional(number, 5)
    redis       = optional(bool, false)
    volume      = optional(string)
    environment = optional(map(string), {})
    secrets     = optional(map(string), {})
  }))
  default  = { rates = { paths = ["/*"] } }
  nullable = false

  validation {
    condition     = alltrue([for name in keys(var.services) : can(regex("^[a-z](-?[a-z0-9])*$", name)) && length(name) <= 12])
    error_message = "services must be named by 1 to 12 lower-case letters, digits and single hyphens, starting with a letter and not ending in a hyphen."
  }

  validation {
    condition     = !contains(keys(var.services), "migrate") && !contains(keys(var.services), "load")
    error_message = "services cannot be named migrate or load: the one-off tasks have these names."
  }

  validation {
    condition = length(distinct([
      for service in values(var.services) : service.priority if length(service.paths) + length(service.hosts) > 0
    ])) == length([for service in values(var.services) : service if length(service.paths) + length(service.hosts) > 0])
    error_message = "services with paths or hosts need different priorities: the load balancer takes the lowest that matches, and rejects duplicates."
  }

  validation {
    condition     = alltrue([for service in values(var.services) : service.image == null || var.network.egress != "endpoints" || var.network.existing != null || can(regex("\\.dkr\\.ecr\\.", service.image))])
    error_message = "services with an image outside ECR need network.egress = \"nat\": without it no other registry can be reached."
  }

  validation {
    condition     = alltrue(flatten([for service in values(var.services) : [for arn in values(service.secrets) : can(regex("^arn:[a-z-]+:secretsmanager:", arn))]]))
    error_message = "services' secrets must be ARNs in Secrets Manager (arn:aws:secretsmanager:…), not the secrets themselves."
  }

  validation {
    condition     = alltrue([for name, service in var.services : service.image != null || contains(keys(local.programs), coalesce(service.repository, name))])
    error_message = "services without an image must be a program of this project, by their name or by repository: ${join(", ", compact(keys(local.programs)))}."
  }

  validation {
    condition = alltrue([for name, service in var.services : [for program in [lookup(local.programs, service.image != null ? "" : coalesce(service.repository, name), local.programs[""])] : length(program.needs) == 0 || anytrue([
      coalesce(service.database, program.database) && contains(program.needs, "database"),
      service.redis && contains(program.needs, "redis"),
      service.volume != null && contains(program.needs, "volume"),
    ])][0]])
    error_message = "services need a place for their data: rates the database, messages redis = true or a volume, transfer a volume, multivac the database or a volume."
  }

  validation {
    condition = alltrue(flatten([for name, service in var.services : [
      for secret in lookup(local.programs, service.image != null ? "" : coalesce(service.repository, name), local.programs[""]).secrets : contains(keys(merge(service.environment, service.secrets)), secret)
    ] if length(service.paths) + length(service.hosts) > 0]))
    error_message = "services of transfer need TRANSFER__RECEIVE__KEY in their secrets, and those of multivac that answer requests AUTH_USERS."
  }

  validation {
    condition = alltrue([for name, service in var.services :
      service.scaling.max <= 1 if service.volume != null && lookup(local.programs, service.image != null ? "" : coalesce(service.repository, name), local.programs[""]).exclusive
    ])
    error_message = "services of messages and multivac with a volume need scaling = { max = 1 }: only one process can use their file."
  }

  validation {
    condition     = alltrue([for service in values(var.services) : !service.redis || var.redis != null])
    error_message = "services with redis = true need the variable redis, which creates the store."
  }

  # During a deployment there are twice as many tasks. Each has its pool, and the connections of its program besides. Ten
  # connections are left for RDS and psql.
  validation {
    condition = (
      sum(concat([0], [
        for name, service in var.services : [for program in [lookup(local.programs, service.image != null ? "" : coalesce(service.repository, name), local.programs[""])] :
          coalesce(service.database, program.database) ? 2 * service.scaling.max * (service.pool_size + program.connections) : 0
        ][0]
      ])) <= var.database.max_connections - 10
    )
    error_message = "services could take more connections than the database has: 2 × scaling.max × (pool_size + those of the program, 6 for rates and 2 for multivac), summed over services, must stay 10 below database.max_connections."
  }
}

variable "architecture" {
  description = "Architecture of images and tasks: X86_64, or ARM64, which costs a fifth less."
  type        = string
  default     = "X86_64"
  nullable    = false

  validation {
    condition     = contains(["X86_64", "ARM64"], var.architecture)
    error_message = "architecture must be X86_64 or ARM64."
  }
}

variable "redis" {
  description = "The Redis-compatible store for services with redis = true: node type, number of replicas, and days to keep snapshots. Null creates none."
  type = object({
    node_type     = optional(string, "cache.t4g.micro")
    replicas      = optional(number, 0)
    snapshot_days = optional(number, 1)
  })
  default = null
}

variable "request_timeout_seconds" {
  description = "Maximum duration of a request. The timeouts for draining, stopping and deregistration are derived from it."
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = var.request_timeout_seconds >= 1 && var.request_timeout_seconds <= 50
    error_message = "request_timeout_seconds must be from 1 to 50: the load balancer times out at 60."
  }
}

variable "exec" {
  description = "Whether ECS Exec is allowed in containers. It makes the root file system writable, so turn it on only for troubleshooting."
  type        = bool
  default     = false
  nullable    = false
}

variable "observability" {
  description = "E-mail addresses that get alarms; thresholds of alarms; days to keep logs; Container Insights; the image of an OpenTelemetry collector, without which there are no traces, no metrics from the services themselves and no alarms on stale data and failed batches; and the account's monthly budget in dollars (0 for none)."
  type = object({
    emails             = optional(set(string), [])
    p99_seconds        = optional(number, 1)
    error_percent      = optional(number, 1)
    stale_data_hours   = optional(number, 72)
    log_days           = optional(number, 30)
    container_insights = optional(string, "disabled")
    collector_image    = optional(string)
    monthly_budget_usd = optional(number, 0)
  })
  default  = {}
  nullable = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.observability.log_days)
    error_message = "observability.log_days must be a retention that CloudWatch supports: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731."
  }

  validation {
    condition     = var.observability.collector_image == null || var.network.egress != "endpoints" || var.network.existing != null || can(regex("\\.dkr\\.ecr\\.", var.observability.collector_image))
    error_message = "observability.collector_image outside ECR needs network.egress = \"nat\": without it no other registry can be reached."
  }
}

variable "pipeline" {
  description = "Roles for the workflows of a repository on GitHub (OWNER/NAME), which release and check for drift without a stored key: needs the bucket of the state, and its key if it is not NAME/ENVIRONMENT.tfstate. Null makes none."
  type = object({
    repository   = string
    state_bucket = string
    state_key    = optional(string)
  })
  default = null
}

variable "backup_copies" {
  description = "Daily copies of the database and of volumes in another region, by AWS Backup, and the days to keep them. Null makes none."
  type = object({
    region    = string
    keep_days = optional(number, 30)
  })
  default = null
}
