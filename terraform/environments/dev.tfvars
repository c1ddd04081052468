# For a developer or a pull request: everything works, nothing is kept, and Spot may stop tasks at any time.
environment = "dev"

# Restrict this to your office or a VPN.
listener = { allowed_cidrs = ["0.0.0.0/0"] }

# One NAT gateway costs less than four endpoints in two zones, and lets a developer try images from anywhere.
network = { egress = "nat", flow_log_days = 0 }

database = { backup_days = 1 }

services = {
  rates = {
    paths = ["/*"]
    # The smallest size, and one task at rest. To park it overnight: min = 0, max = 0.
    scaling = { min = 1, max = 2 }
    spot    = true
  }
}

observability = { log_days = 7, monthly_budget_usd = 150 }
