variable "name" {
  description = "Name of the repository, for example rates-dev/rates."
  type        = string
  nullable    = false
}

variable "keep_images" {
  description = "Images to keep. Older ones go, so this is also how far back a rollback can reach."
  type        = number
  default     = 50
  nullable    = false

  validation {
    condition     = var.keep_images >= 5 && var.keep_images <= 1000
    error_message = "keep_images must be from 5 to 1000: fewer than 5 would leave nothing to roll back to."
  }
}

variable "force_delete" {
  description = "Whether destroying the repository may take its images along."
  type        = bool
  default     = false
  nullable    = false
}
