variable "name" {
  description = "Prefix of the bucket's name; the account's number and the region follow it."
  type        = string
  default     = "rates"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,18}$", var.name))
    error_message = "name must be 1 to 19 lower-case letters, digits and hyphens, starting with a letter: a bucket's name has 63 characters at the most."
  }
}

variable "region" {
  description = "AWS region of the bucket."
  type        = string
  default     = "eu-west-1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be a region's code, for example eu-west-1."
  }
}

variable "old_version_days" {
  description = "Days to keep earlier versions of a state. Within this time a mistake can be undone."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = var.old_version_days >= 7
    error_message = "old_version_days must be at least 7: a mistake on Friday is found on Monday."
  }
}

variable "lock_table" {
  description = "Whether to create a DynamoDB table for locks, which Terraform before 1.11 needs. During an upgrade a backend can use both locks, S3's and the table."
  type        = bool
  default     = false
  nullable    = false
}
