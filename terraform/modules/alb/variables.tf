variable "name" {
  description = "Prefix of every name. At most 32 characters, the limit for a load balancer's name."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,31}$", var.name))
    error_message = "name must be 1 to 32 lower-case letters, digits and hyphens, starting with a letter."
  }
}

variable "vpc_id" {
  description = "VPC of the load balancer."
  type        = string
  nullable    = false
}

variable "subnet_ids" {
  description = "Subnets, one in each of at least two zones: public ones, or private ones if it is internal."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids must name at least two subnets: a load balancer needs two zones."
  }
}

variable "listener" {
  description = "What clients connect to. By default HTTP on port. With certificate_arn: HTTPS on 443, and 80 redirects to it. With domain and zone_id: the same, with a new certificate and a DNS record for the domain. Together with certificate_arn, domain only names the domain of the certificate. internal: only the network reaches it."
  type = object({
    port            = optional(number, 3000)
    internal        = optional(bool, false)
    certificate_arn = optional(string)
    domain          = optional(string)
    zone_id         = optional(string)
    allowed_cidrs   = optional(set(string), ["0.0.0.0/0"])
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.listener.port > 0 && var.listener.port < 65536
    error_message = "listener.port must be from 1 to 65535."
  }

  validation {
    condition     = var.listener.certificate_arn == null || can(regex("^arn:[a-z-]+:acm:", var.listener.certificate_arn))
    error_message = "listener.certificate_arn must be the ARN of a certificate in ACM (arn:aws:acm:…)."
  }

  validation {
    condition     = var.listener.zone_id == null || var.listener.domain != null
    error_message = "listener.zone_id needs listener.domain: the name to make in that zone."
  }

  validation {
    condition     = var.listener.domain == null || var.listener.certificate_arn != null || var.listener.zone_id != null
    error_message = "listener.domain needs listener.zone_id (to make a certificate) or listener.certificate_arn (to use one)."
  }

  validation {
    condition     = alltrue([for cidr in var.listener.allowed_cidrs : can(cidrhost(cidr, 0))])
    error_message = "listener.allowed_cidrs must be ranges of addresses, for example 0.0.0.0/0, 203.0.113.7/32 or ::/0."
  }
}

variable "ipv6" {
  description = "Whether clients also connect by IPv6; the subnets need IPv6 ranges then."
  type        = bool
  default     = false
  nullable    = false
}

variable "waf_rate_limit" {
  description = "Requests allowed per client address in five minutes. A value above 0 also turns on the web application firewall and AWS's managed rules."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.waf_rate_limit == 0 || (var.waf_rate_limit >= 10 && var.waf_rate_limit <= 2000000000)
    error_message = "waf_rate_limit must be 0 (no firewall) or from 10 up, the minimum of AWS WAF."
  }
}

variable "access_log_days" {
  description = "Days to keep access logs in their bucket."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = var.access_log_days >= 1
    error_message = "access_log_days must be at least 1."
  }
}

variable "protected" {
  description = "Whether the load balancer and its logs are protected against deletion."
  type        = bool
  default     = false
  nullable    = false
}
