variable "name" {
  description = "Prefix of the environment's resources."
  type        = string
  nullable    = false
}

variable "environment" {
  description = "The environment, in Terraform and in the settings of the repository on GitHub."
  type        = string
  nullable    = false
}

variable "repository" {
  description = "Repository on GitHub whose workflows may use the roles: OWNER/NAME."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$", var.repository))
    error_message = "repository must be OWNER/NAME, without a wildcard: whoever matches it can deploy."
  }
}

variable "state" {
  description = "Where this environment's state is: bucket and key."
  type = object({
    bucket = string
    key    = string
  })
  nullable = false
}

variable "region" {
  description = "Region of the environment."
  type        = string
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
