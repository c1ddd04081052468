# What each program of this project needs in order to run here. A new program gets an entry. Values are fixed, so that
# the validations of var.services can use them.
#
#   command      arguments of a service that names none
#   metrics_port where the collector scrapes
#   needs        one of these must be on: the program keeps its data there
#   database     whether its services use the database unless they say otherwise
#   migrates     whether it has migrations of its own, which run after those of rates
#   connections  connections of a task besides its pool
#   volume       variables with a path on the service's volume: what follows the volume's own path
#   exclusive    whether only one process at a time can use the volume
#   secrets      variables without which a server is of no use: in `secrets`, or in `environment`
#   environment  fixed settings
locals {
  program_settings = {
    # An image from outside this project: only what its service says.
    "" = {}
    rates = {
      metrics_port = 9464
      needs        = ["database"]
      database     = true
      connections  = 6 # four for batches, one for messages of webhooks, one that listens
    }
    messages = {
      metrics_port = 9465
      needs        = ["redis", "volume"]
      volume       = { MESSAGES_FILE = "/messages.redb" }
      exclusive    = true
      # The load balancer ends TLS. There is no folder for logs: the root is read-only, and CloudWatch has them.
      environment = { MESSAGES__TLS__ENABLED = "false", MESSAGES_LOG_DIR = "" }
    }
    transfer = {
      command      = ["receive"]
      metrics_port = 9466
      needs        = ["volume"]
      volume       = { OUTPUT_DIR = "" }
      secrets      = ["TRANSFER__RECEIVE__KEY"]
    }
    multivac = {
      metrics_port = 9467
      needs        = ["database", "volume"]
      database     = true
      migrates     = true
      connections  = 2 # for the queue, where it is in PostgreSQL
      volume       = { MULTIVAC_FILE = "/multivac.redb" }
      exclusive    = true
      secrets      = ["AUTH_USERS"]
      environment  = { MULTIVAC__SERVER__HOST = "0.0.0.0", MULTIVAC_LOG_DIR = "" }
    }
  }

  # The same with every field.
  programs = { for name, program in local.program_settings : name => {
    command      = tolist(try(program.command, []))
    metrics_port = try(program.metrics_port, 9464)
    needs        = tolist(try(program.needs, []))
    database     = try(program.database, false)
    migrates     = try(program.migrates, false)
    connections  = try(program.connections, 0)
    volume       = tomap(try(program.volume, {}))
    exclusive    = try(program.exclusive, false)
    secrets      = tolist(try(program.secrets, []))
    environment  = tomap(try(program.environment, {}))
  } }
}
