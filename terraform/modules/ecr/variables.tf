variable "name" {
  description = "Name of the repository, for example rates-dev/rates."
  type        = string
  nullable    = false
}

variable "keep_images" {
  description = "Number of images to keep. Older ones are deleted, so this limits how far you can roll back."
  type        = number
  default     = 50
  nullable    = false

  validation {
    condition     = var.keep_images >= 5 && var.keep_images <= 1000
    error_message = "keep_images must be from 5 to 1000: fewer than 5 would leave nothing to roll back to."
  }
}

variable "force_delete" {
  description = "Whether the repository can be destroyed while it contains images."
  type        = bool
  default     = false
  nullable    = false
}
