# The plan of environments/dev.tfvars: cheap, and easy to delete.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  image_tag = "abc123"
  run_hooks = false
}

run "dev_can_be_destroyed_and_is_on_spot" {
  command = plan

  assert {
    condition     = output.cluster == "rates-dev" && !local.protected
    error_message = "dev must not be protected against deletion"
  }

  assert {
    condition     = alltrue([for service in values(var.services) : service.spot])
    error_message = "dev must run on Spot"
  }

  assert {
    condition     = length(local.network.private_subnet_ids) == 2
    error_message = "dev must be in two zones, the minimum"
  }

  assert {
    condition     = !var.database.multi_az && length(module.rds.identifiers.replicas) == 0
    error_message = "dev must have one database instance"
  }
}
