variable "name" {
  description = "Identifier of the database, and prefix of everything around it."
  type        = string
  nullable    = false
}

variable "vpc_id" {
  description = "VPC of the database's security group."
  type        = string
  nullable    = false
}

variable "subnet_ids" {
  description = "Data subnets, in at least two zones."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids must name at least two subnets: RDS needs two zones."
  }
}

variable "clients" {
  description = "Security groups that may connect, by a descriptive name."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "database" {
  description = "The database: engine \"postgres\" (one instance, and a number of replicas) or \"aurora-postgresql\" (Serverless v2, sized in capacity units of 2 GiB). max_connections must exceed the pool size times the number of tasks. major_upgrade allows a change of the major version."
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

  validation {
    condition     = contains(["postgres", "aurora-postgresql"], var.database.engine)
    error_message = "database.engine must be postgres or aurora-postgresql."
  }

  validation {
    condition     = can(regex("^(1[7-9]|[2-9][0-9])(\\.[0-9]+)?$", var.database.engine_version))
    error_message = "database.engine_version must be 17 or later: earlier Aurora versions do not force TLS by default."
  }

  validation {
    condition     = startswith(var.database.instance_class, "db.")
    error_message = "database.instance_class must be an RDS class such as db.t4g.micro."
  }

  validation {
    condition     = var.database.storage_gb >= 20 && var.database.max_storage_gb >= 1.1 * var.database.storage_gb
    error_message = "database.storage_gb must be at least 20, the minimum of gp3, and max_storage_gb at least a tenth more, as RDS demands, so that storage can grow."
  }

  validation {
    condition     = var.database.replicas >= 0 && var.database.replicas <= 15
    error_message = "database.replicas must be from 0 to 15."
  }

  validation {
    condition     = var.database.max_connections >= 20
    error_message = "database.max_connections must be at least 20: RDS itself uses several."
  }

  validation {
    condition     = var.database.backup_days >= 1 && var.database.backup_days <= 35
    error_message = "database.backup_days must be from 1 to 35: 0 would turn off point-in-time recovery and replicas."
  }

  validation {
    condition     = var.database.min_acu >= 0 && var.database.max_acu >= 1 && var.database.max_acu <= 256 && var.database.min_acu <= var.database.max_acu
    error_message = "database.min_acu must be 0 or more, max_acu from 1 to 256 and not below min_acu."
  }
}

variable "protected" {
  description = "Whether the database is protected against deletion, and a final snapshot is taken when it is deleted."
  type        = bool
  default     = true
  nullable    = false
}

variable "log_days" {
  description = "Days to keep PostgreSQL's log."
  type        = number
  default     = 30
  nullable    = false
}
