# In a VPC that you have, for clients inside it: the load balancer has no public address. About $44 a month at rest: load
# balancer $18, a task $9, database $12, storage $3, secrets and alarms $2. The way out of the private subnets is yours,
# and so is its price.
environment = "inside"

network = {
  existing = {
    vpc_id             = "vpc-0123456789abcdef0"
    private_subnet_ids = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
    data_subnet_ids    = ["subnet-0123456789abcdef2", "subnet-0123456789abcdef3"]
  }
}

listener = { internal = true, allowed_cidrs = ["10.0.0.0/8"] }
