# Aurora Serverless v2: a writer, and in a second zone a standby that serves reads and takes over. About $229 a month at
# rest, before Aurora's storage and I/O: two instances at 0.5 units $102, endpoints $64, two tasks $36, load balancer $18,
# its addresses $7, alarms and secrets $2.
environment = "aurora"

database = {
  engine          = "aurora-postgresql"
  multi_az        = true
  min_acu         = 0.5
  max_acu         = 8
  max_connections = 150
}

services = {
  rates = {
    paths   = ["/*"]
    size    = { cpu = 512, memory = 1024 }
    scaling = { min = 2, max = 4 }
  }
}
