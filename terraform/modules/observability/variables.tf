variable "name" {
  description = "Prefix of every name, and the namespace of the services' own metrics."
  type        = string
  nullable    = false
}

variable "region" {
  description = "Region the dashboard shows."
  type        = string
  nullable    = false
}

variable "emails" {
  description = "Addresses that alarms go to. Each must confirm once, by the link AWS sends."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for email in var.emails : can(regex("^[^@ ]+@[^@ ]+$", email))])
    error_message = "emails must be e-mail addresses."
  }
}

variable "load_balancer" {
  description = "ARN suffix of the load balancer, by which CloudWatch identifies it."
  type        = string
  nullable    = false
}

variable "cluster_name" {
  description = "Cluster the services run in."
  type        = string
  nullable    = false
}

variable "services" {
  description = "Services on the dashboard: the name in ECS, the ARN suffixes of its target groups (none for a worker), the alarms, and the log group to query."
  type = map(object({
    name          = string
    target_groups = optional(list(string), [])
    alarm_arns    = optional(list(string), [])
    log_group     = optional(string)
  }))
  default  = {}
  nullable = false
}

variable "database" {
  description = "The database: the identifier of the Aurora cluster, or of the instance that takes writes and of its replicas; the most connections it allows; and whether its instance class has CPU credits."
  type = object({
    cluster         = optional(string)
    writer          = optional(string)
    replicas        = optional(list(string), [])
    max_connections = number
    burstable       = optional(bool, false)
  })
  nullable = false

  validation {
    condition     = (var.database.cluster == null) != (var.database.writer == null)
    error_message = "database needs either cluster or writer, and not both."
  }
}

variable "thresholds" {
  description = "Thresholds of the alarms on the database and on the data."
  type = object({
    cpu_percent         = optional(number, 80)
    connections_percent = optional(number, 80)
    free_storage_gb     = optional(number, 5)
    replica_lag_seconds = optional(number, 30)
    stale_data_hours    = optional(number, 72)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.thresholds.cpu_percent > 0 && var.thresholds.cpu_percent < 100 && var.thresholds.connections_percent > 0 && var.thresholds.connections_percent < 100
    error_message = "thresholds in per cent must be between 0 and 100, both excluded, or they never fire."
  }

  validation {
    condition     = var.thresholds.free_storage_gb > 0 && var.thresholds.replica_lag_seconds > 0 && var.thresholds.stale_data_hours > 0
    error_message = "thresholds.free_storage_gb, replica_lag_seconds and stale_data_hours must be above 0."
  }
}

variable "service_metrics" {
  description = "Whether a collector sends the services' own metrics to CloudWatch. The alarms on stale data and failed batches need them."
  type        = bool
  default     = false
  nullable    = false
}

variable "monthly_budget_usd" {
  description = "An alarm fires if the account's bill of a month exceeds this, in dollars; 0 for no alarm. Needs \"Receive CloudWatch billing alerts\" turned on in the account's billing preferences."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.monthly_budget_usd >= 0
    error_message = "monthly_budget_usd must be 0 or more."
  }
}
