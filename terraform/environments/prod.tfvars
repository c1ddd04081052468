# Survives the loss of a zone without losing a request or a price. prod is protected by default.
environment = "prod"

# Set listener.domain and zone_id; they are yours, so they are not here. Production refuses plain HTTP.

network = { zones = 3, egress = "endpoints", flow_log_days = 90 }

database = {
  instance_class  = "db.m7g.large"
  storage_gb      = 100
  max_storage_gb  = 1000
  multi_az        = true
  replicas        = 1
  max_connections = 400
  backup_days     = 30
}

services = {
  rates = {
    paths = ["/*"]
    size  = { cpu = 1024, memory = 2048 }
    # At least one in each zone.
    scaling = { min = 3, max = 12 }
  }
}

waf_rate_limit = 10000

observability = {
  log_days           = 90
  container_insights = "enabled"
  monthly_budget_usd = 1500
}
