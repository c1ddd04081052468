variable "name" {
  description = "Name of the vaults, the plan and the role."
  type        = string
  nullable    = false
}

variable "region" {
  description = "Region of the database."
  type        = string
  nullable    = false
}

variable "copy_region" {
  description = "Region of the copies."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.copy_region)) && var.copy_region != var.region
    error_message = "copy_region must be the code of another region, for example eu-central-1: a copy in the same one is lost with it."
  }
}

variable "keep_days" {
  description = "Days to keep copies."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.keep_days >= 1
    error_message = "keep_days must be at least 1."
  }
}

variable "arns" {
  description = "What to back up: the database's instance or cluster, and file systems."
  type        = list(string)
  nullable    = false
}

variable "account_id" {
  description = "Number of the account."
  type        = string
  nullable    = false
}

variable "partition" {
  description = "Partition of the account: aws, aws-cn or aws-us-gov."
  type        = string
  default     = "aws"
  nullable    = false
}

variable "protected" {
  description = "Whether a vault with backups cannot be destroyed."
  type        = bool
  default     = true
  nullable    = false
}
