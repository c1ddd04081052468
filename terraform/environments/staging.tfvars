# The same setup as production at the smallest size, so that what works here works there.
environment = "staging"

network = { zones = 2 }

database = {
  instance_class  = "db.t4g.small"
  max_connections = 150
  multi_az        = true
  replicas        = 1
}

services = {
  rates = {
    paths   = ["/*"]
    size    = { cpu = 512, memory = 1024 }
    scaling = { min = 2, max = 4 }
  }
}

waf_rate_limit = 10000

observability = { log_days = 30, monthly_budget_usd = 400 }
