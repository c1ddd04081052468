variable "name" {
  description = "Name of the cluster."
  type        = string
  nullable    = false
}

variable "container_insights" {
  description = "Container Insights: \"disabled\" (the free metrics only), \"enabled\" (per service), or \"enhanced\" (per task and container, the most expensive)."
  type        = string
  default     = "disabled"
  nullable    = false

  validation {
    condition     = contains(["disabled", "enabled", "enhanced"], var.container_insights)
    error_message = "container_insights must be disabled, enabled or enhanced."
  }
}

variable "log_days" {
  description = "Days to keep what was typed and printed in ECS Exec sessions."
  type        = number
  default     = 30
  nullable    = false
}
