# Production behind a domain of your own, with a firewall, a standby, a replica, and releases that begin with a tenth of
# the requests. About $698 a month at rest.
environment = "prod"

listener       = { domain = "rates.example.com", zone_id = "Z0123456789EXAMPLE" }
waf_rate_limit = 10000

network = { zones = 3, flow_log_days = 90 }

database = {
  instance_class  = "db.m7g.large"
  storage_gb      = 100
  max_storage_gb  = 1000
  multi_az        = true
  replicas        = 1
  max_connections = 400
  backup_days     = 30
}

# Each 100 GB of copies cost another ≈ $10 a month.
backup_copies = { region = "eu-central-1" }

services = {
  rates = {
    paths   = ["/*"]
    size    = { cpu = 1024, memory = 2048 }
    scaling = { min = 3, max = 12 }
    # A tenth of the requests for five minutes before all get the new release.
    deployment = { strategy = "canary" }
  }
}

observability = { log_days = 90, container_insights = "enabled", monthly_budget_usd = 1500 }
