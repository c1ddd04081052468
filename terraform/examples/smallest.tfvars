# The least that works: for a trial. About $84 a month at rest, of which a load balancer ($18) and a NAT gateway with its
# address ($39) are most. docs/aws.md has the unit prices.
environment = "trial"
protected   = false

network  = { egress = "nat", flow_log_days = 0 }
database = { backup_days = 1 }

services = { rates = { paths = ["/*"], scaling = { max = 1 }, spot = true } }

observability = { log_days = 1 }
