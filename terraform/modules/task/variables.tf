variable "name" {
  description = "Name of the task: its family, roles, group and log group."
  type        = string
  nullable    = false
}

variable "region" {
  description = "Region the logs go to."
  type        = string
  nullable    = false
}

variable "vpc_id" {
  description = "Network of the task's security group."
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
  description = "Arguments to the image's entrypoint; empty for its default."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "port" {
  description = "Port the container listens on; null for one that only works."
  type        = number
  default     = null
}

variable "health_command" {
  description = "Command that exits 0 while the container is well, run inside it without a shell; empty for no check."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "size" {
  description = "CPU units (1024 are one processor) and memory in MiB, as one of Fargate's pairs, and the processor's architecture, X86_64 or ARM64."
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
  description = "Environment variables that are no secret."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "secrets" {
  description = "Environment variable to where its value is kept: the ARN of a secret, or ARN:KEY:: for one key of a JSON secret. Read when a task starts; never in state."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for arn in values(var.secrets) : can(regex("^arn:[^ ]+[^:]$|^arn:[^ ]+[^:]:[A-Za-z0-9_-]+::$", arn))])
    error_message = "secrets must be ARNs, or ARN:KEY:: for one key; a plain value belongs in environment, and a password in neither."
  }
}

variable "reaches" {
  description = "What the task may connect to inside the network, besides HTTPS: a name for people, the other side's group and the port."
  type = map(object({
    security_group_id = string
    port              = number
  }))
  default  = {}
  nullable = false
}

variable "volume" {
  description = "A directory that outlives the task, on EFS: where it is mounted and the subnets to reach it from."
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
    error_message = "stop_timeout_seconds must be from 2 to 120, Fargate's most."
  }
}

variable "exec" {
  description = "Allows ECS Exec, with its sessions logged to this group; null keeps it off and the root file system read-only."
  type = object({
    log_group_arn = string
  })
  default = null
}

variable "collector" {
  description = "An OpenTelemetry collector beside the container: its image, and the CloudWatch namespace for the metrics it scrapes from metrics_port. Null for none."
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
