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
  description = "The load balancer as CloudWatch names it."
  type        = string
  nullable    = false
}

variable "cluster_name" {
  description = "Cluster the services run in."
  type        = string
  nullable    = false
}

variable "services" {
  description = "Services on the dashboard: their ECS name, their target group as CloudWatch names it (null for a worker), their alarms and the log group that the dashboard queries."
  type = map(object({
    name         = string
    target_group = optional(string)
    alarm_arns   = optional(list(string), [])
    log_group    = optional(string)
  }))
  default  = {}
  nullable = false
}

variable "database" {
  description = "The database to watch: what CloudWatch knows it by, how many connections it takes and whether its machine has CPU credits to run out of."
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
    error_message = "database needs either a cluster or a writer to watch."
  }
}

variable "thresholds" {
  description = "When database and data alarms fire."
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
  description = "Whether the services' own metrics reach CloudWatch (they do with a collector), and alarms on stale data and failed batches make sense."
  type        = bool
  default     = false
  nullable    = false
}

variable "monthly_budget_usd" {
  description = "Dollars a month for the whole account, above which an alarm fires; 0 for none. Needs \"Receive CloudWatch billing alerts\" turned on in the account's billing preferences."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.monthly_budget_usd >= 0
    error_message = "monthly_budget_usd must be 0 or more."
  }
}
