variable "name" {
  description = "Prefix of every name, for example rates-dev."
  type        = string
  nullable    = false
}

variable "region" {
  description = "Region, used to name the endpoint services."
  type        = string
  nullable    = false
}

variable "cidr" {
  description = "Private IPv4 range of the network. From /16 to /20, so that each of its twelve subnets has a useful size."
  type        = string
  default     = "10.0.0.0/16"
  nullable    = false

  validation {
    condition     = can(cidrnetmask(var.cidr)) && try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 20, false)
    error_message = "cidr must be an IPv4 range from /16 to /20, for example 10.0.0.0/16."
  }
}

variable "zones" {
  description = "Availability zones to spread over: 2 survives the loss of one, 3 survives it with two thirds of the capacity left."
  type        = number
  default     = 2
  nullable    = false

  validation {
    condition     = contains([2, 3], var.zones)
    error_message = "zones must be 2 or 3: the load balancer and the database subnet group need at least two."
  }
}

variable "exclude_zone_ids" {
  description = "Zones not to use, by their ids, which are the same in every account. By default those in which AWS offers no Fargate."
  type        = set(string)
  default     = ["apne1-az3", "cac1-az3", "cac1-az4", "use1-az3", "usw1-az2"]
  nullable    = false

  validation {
    condition     = alltrue([for id in var.exclude_zone_ids : can(regex("^[a-z]+[0-9]+-az[0-9]+$", id))])
    error_message = "exclude_zone_ids must be ids such as use1-az3, not names such as us-east-1a, which differ between accounts."
  }
}

variable "account_id" {
  description = "Number of the account: endpoints serve only it, and only its flow logs use the role."
  type        = string
  nullable    = false
}

variable "partition" {
  description = "Partition of the account: aws, aws-cn or aws-us-gov."
  type        = string
  default     = "aws"
  nullable    = false
}

variable "egress" {
  description = "How tasks reach AWS: \"endpoints\" (interface endpoints, no access to the internet), \"nat\" (one NAT gateway, which also gives access to the internet), or \"nat-per-zone\" (one gateway per zone, so that the loss of a zone does not cut off the others)."
  type        = string
  default     = "endpoints"
  nullable    = false

  validation {
    condition     = contains(["endpoints", "nat", "nat-per-zone"], var.egress)
    error_message = "egress must be endpoints, nat or nat-per-zone."
  }
}

variable "endpoints" {
  description = "AWS services to reach through interface endpoints when egress is \"endpoints\". Each costs money per zone and hour, so list only what tasks call."
  type        = set(string)
  default     = ["ecr.api", "ecr.dkr", "logs", "secretsmanager"]
  nullable    = false
}

variable "ipv6" {
  description = "Whether the public subnets, where the load balancer is, also have IPv6. Tasks and databases have none."
  type        = bool
  default     = false
  nullable    = false
}

variable "flow_log_days" {
  description = "Days to keep the network's flow logs; 0 turns them off."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains([0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.flow_log_days)
    error_message = "flow_log_days must be 0 or a retention that CloudWatch supports: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731."
  }
}
