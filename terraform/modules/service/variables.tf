variable "name" {
  description = "Name of the service."
  type        = string
  nullable    = false
}

variable "cluster" {
  description = "Cluster to run in: its name and ARN."
  type = object({
    name = string
    arn  = string
  })
  nullable = false
}

variable "task" {
  description = "What to keep running: the task definition, its container and its security group."
  type = object({
    definition_arn    = string
    container         = string
    security_group_id = string
  })
  nullable = false
}

variable "region" {
  description = "Region, part of the name of the role with which ECS moves requests, which all regions share."
  type        = string
  nullable    = false
}

variable "account_id" {
  description = "The account, for the role with which ECS moves requests."
  type        = string
  nullable    = false
}

variable "partition" {
  description = "Partition of the account: aws, or that of China or of the US government."
  type        = string
  nullable    = false
}

variable "vpc_id" {
  description = "VPC of the target group."
  type        = string
  nullable    = false
}

variable "subnet_ids" {
  description = "Private subnets to run in."
  type        = list(string)
  nullable    = false
}

variable "scaling" {
  description = "Number of tasks, and the targets of autoscaling: requests per task and minute, and CPU in per cent. min = max = 0 parks the service."
  type = object({
    min                 = optional(number, 1)
    max                 = optional(number, 4)
    requests_per_minute = optional(number, 60000)
    cpu_percent         = optional(number, 60)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.scaling.min >= 0 && var.scaling.max >= var.scaling.min
    error_message = "scaling.min must be 0 or more, and scaling.max at least as much."
  }

  validation {
    condition     = var.scaling.cpu_percent > 0 && var.scaling.cpu_percent <= 90
    error_message = "scaling.cpu_percent must be above 0 and at most 90: above that, new tasks start too late."
  }

  validation {
    condition     = var.scaling.requests_per_minute > 0
    error_message = "scaling.requests_per_minute must be above 0."
  }
}

variable "spot" {
  description = "Whether to run on Fargate Spot: some 70 per cent cheaper, but AWS may reclaim tasks at two minutes' notice."
  type        = bool
  default     = false
  nullable    = false
}

variable "exclusive" {
  description = "Whether only one task may run at a time, because its volume takes only one process: a deployment stops the old task before it starts the new one."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !var.exclusive || var.scaling.max <= 1
    error_message = "exclusive needs scaling.max = 1: a second task could not start."
  }
}

variable "deployment" {
  description = "How a new task definition takes over. `rolling`: new tasks join the old ones, which then leave. `blue_green`: all requests move at once to a second set of tasks; the first stays for bake_minutes. `canary`: first canary_percent of the requests for canary_minutes, then as blue_green. An alarm meanwhile moves them back."
  type = object({
    strategy       = optional(string, "rolling")
    bake_minutes   = optional(number, 5)
    canary_percent = optional(number, 10)
    canary_minutes = optional(number, 5)
  })
  default  = {}
  nullable = false

  validation {
    condition     = contains(["rolling", "blue_green", "canary"], var.deployment.strategy)
    error_message = "deployment.strategy must be rolling, blue_green or canary."
  }

  validation {
    condition     = var.deployment.strategy == "rolling" || (var.route != null && !var.exclusive)
    error_message = "deployment.strategy blue_green and canary need a route, since they move requests, and a service that may have two tasks."
  }

  # The alarms look at one minute after the other, and need up to three that are bad.
  validation {
    condition     = alltrue([for minutes in [var.deployment.bake_minutes, var.deployment.canary_minutes] : minutes >= 5 && minutes <= 1440])
    error_message = "deployment.bake_minutes and canary_minutes must be from 5 to 1440: in less the alarms cannot judge."
  }

  validation {
    condition     = var.deployment.canary_percent >= 1 && var.deployment.canary_percent <= 99
    error_message = "deployment.canary_percent must be from 1 to 99."
  }
}

variable "route" {
  description = "Which requests go to this service, and the load balancer's health check. Null for a worker without requests."
  type = object({
    listener_arn                 = string
    load_balancer_arn_suffix     = string
    load_balancer_group_id       = string
    port                         = number
    priority                     = number
    paths                        = optional(set(string), [])
    hosts                        = optional(set(string), [])
    health_path                  = optional(string, "/healthz")
    deregistration_delay_seconds = optional(number, 15)
  })
  default = null

  validation {
    condition     = var.route == null || try(length(var.route.paths) + length(var.route.hosts) > 0, false)
    error_message = "route needs paths or hosts: a rule must have a condition."
  }

  validation {
    condition     = var.route == null || try(length(var.route.paths) + length(var.route.hosts) <= 5, false)
    error_message = "route takes at most 5 paths and hosts together, the limit of a load balancer's rule."
  }

  validation {
    condition     = var.route == null || try(var.route.priority >= 1 && var.route.priority <= 50000, false)
    error_message = "route.priority must be from 1 to 50000."
  }

  validation {
    condition     = var.route == null || try(startswith(var.route.health_path, "/"), false)
    error_message = "route.health_path must start with a slash."
  }
}

variable "wait" {
  description = "Whether apply waits for the new tasks to take over, and fails if they do not."
  type        = bool
  default     = true
  nullable    = false
}

variable "exec" {
  description = "Whether ECS Exec is allowed in the containers."
  type        = bool
  default     = false
  nullable    = false
}

variable "alarms" {
  description = "The SNS topic of alarms, and their thresholds: p99 in seconds, share of 5xx answers in per cent."
  type = object({
    topic_arn      = string
    p99_seconds    = optional(number, 1)
    error_percent  = optional(number, 1)
    cpu_percent    = optional(number, 85)
    memory_percent = optional(number, 85)
  })
  nullable = false
}
