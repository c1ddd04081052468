variable "name" {
  description = "Name of the store."
  type        = string
  nullable    = false
}

variable "vpc_id" {
  description = "VPC of the store's security group."
  type        = string
  nullable    = false
}

variable "subnet_ids" {
  description = "Data subnets, one per zone."
  type        = list(string)
  nullable    = false
}

variable "clients" {
  description = "Security groups that may connect, by a descriptive name."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "redis" {
  description = "Node type, number of replicas (0 to 5; with one or more, failover is automatic), and days to keep snapshots (0 for none)."
  type = object({
    node_type     = optional(string, "cache.t4g.micro")
    replicas      = optional(number, 0)
    snapshot_days = optional(number, 1)
  })
  default  = {}
  nullable = false

  validation {
    condition     = startswith(var.redis.node_type, "cache.")
    error_message = "redis.node_type must be an ElastiCache type such as cache.t4g.micro."
  }

  validation {
    condition     = var.redis.replicas >= 0 && var.redis.replicas <= 5
    error_message = "redis.replicas must be from 0 to 5."
  }

  validation {
    condition     = var.redis.snapshot_days >= 0 && var.redis.snapshot_days <= 35
    error_message = "redis.snapshot_days must be from 0 to 35."
  }
}

variable "protected" {
  description = "Whether changes wait for the maintenance window, and a final snapshot is taken on deletion."
  type        = bool
  default     = false
  nullable    = false
}
