variable "name" {
  description = "Name of the task's family, roles, security group and log group."
  type        = string
  nullable    = false
}

variable "region" {
  description = "Region of the logs. Part of the names of the roles, which all regions share."
  type        = string
  nullable    = false
}

variable "account_id" {
  description = "Number of the account whose tasks may use the roles."
  type        = string
  nullable    = false
}

variable "vpc_id" {
  description = "VPC of the task's security group."
  type        = string
  nullable    = false
}

variable "image" {
  description = "Image with an immutable tag or a digest."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("(:[^:/]+|@sha256:[0-9a-f]{64})$", var.image)) && !endswith(var.image, ":latest")
    error_message = "image must end in a tag other than latest, or in @sha256: and a digest: what runs must be what was tested."
  }
}

variable "repository_arns" {
  description = "Repositories in this account that the task may pull from."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "command" {
  description = "Arguments of the image's entrypoint; empty for the default."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "port" {
  description = "Port the container listens on; null for a worker."
  type        = number
  default     = null
}

variable "health_command" {
  description = "Health check command, run in the container without a shell; exit code 0 means healthy. Empty for no check."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "size" {
  description = "CPU units (1024 are one vCPU) and memory in MiB, a combination that Fargate supports, and the architecture, X86_64 or ARM64."
  type = object({
    cpu          = optional(number, 256)
    memory       = optional(number, 512)
    architecture = optional(string, "X86_64")
  })
  default  = {}
  nullable = false

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096, 8192, 16384], var.size.cpu)
    error_message = "size.cpu must be one of 256, 512, 1024, 2048, 4096, 8192, 16384."
  }

  validation {
    condition = var.size.memory <= 8 * var.size.cpu && (
      var.size.cpu == 256 ? contains([512, 1024, 2048], var.size.memory) : var.size.memory >= 2 * var.size.cpu || (var.size.cpu == 512 && var.size.memory == 1024)
    ) && (var.size.cpu == 256 || var.size.memory % 1024 == 0)
    error_message = "size.memory must fit size.cpu: from 2 to 8 times as many MiB as CPU units, in whole GiB (256 also takes 512)."
  }

  validation {
    condition     = contains(["X86_64", "ARM64"], var.size.architecture)
    error_message = "size.architecture must be X86_64 or ARM64."
  }
}

variable "environment" {
  description = "Environment variables that are not secret."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "secrets" {
  description = "Environment variables with the secrets of their values: the ARN of a secret, or ARN:KEY:: for one key of a JSON secret. Read when a task starts; never in the state."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for arn in values(var.secrets) : can(regex("^arn:[^ ]+[^:]$|^arn:[^ ]+[^:]:[A-Za-z0-9_-]+::$", arn))])
    error_message = "secrets must be ARNs, or ARN:KEY:: for one key; put a plain value into environment, and a password into Secrets Manager."
  }
}

variable "reaches" {
  description = "What the task may connect to inside the network, besides HTTPS: by a descriptive name, the target's security group and port."
  type = map(object({
    security_group_id = string
    port              = number
  }))
  default  = {}
  nullable = false
}

variable "volume" {
  description = "A persistent directory on EFS: the path to mount it at, and the subnets of the tasks."
  type = object({
    path       = string
    subnet_ids = list(string)
  })
  default = null

  validation {
    condition     = var.volume == null || startswith(try(var.volume.path, ""), "/")
    error_message = "volume.path must be absolute."
  }
}

variable "stop_timeout_seconds" {
  description = "Seconds between SIGTERM and SIGKILL."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.stop_timeout_seconds >= 2 && var.stop_timeout_seconds <= 120
    error_message = "stop_timeout_seconds must be from 2 to 120, the limit of Fargate."
  }
}

variable "exec" {
  description = "Turns on ECS Exec, with its sessions logged to this log group; null keeps it off and the root file system read-only."
  type = object({
    log_group_arn = string
  })
  default = null
}

variable "collector" {
  description = "An OpenTelemetry collector in the same task: its image, and the CloudWatch namespace for the metrics it scrapes from metrics_port. Null for none."
  type = object({
    image        = string
    namespace    = string
    metrics_port = optional(number, 9464)
  })
  default = null
}

variable "log_days" {
  description = "Days to keep the logs."
  type        = number
  default     = 30
  nullable    = false
}
