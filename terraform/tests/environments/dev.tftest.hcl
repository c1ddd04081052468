# environments/dev.tfvars, planned: cheap, and easy to throw away.

mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-west-1a", "eu-west-1b", "eu-west-1c"] }
  }
}

variables {
  image_tag = "abc123"
  run_hooks = false
}

run "dev_can_be_destroyed_and_is_on_spot" {
  command = plan

  assert {
    condition     = output.cluster == "rates-dev" && !local.protected
    error_message = "dev must be easy to destroy"
  }

  assert {
    condition     = alltrue([for service in values(var.services) : service.spot])
    error_message = "dev must run on Spot"
  }

  assert {
    condition     = length(module.vpc.private_subnet_ids) == 2
    error_message = "dev must be in two zones, the fewest there can be"
  }

  assert {
    condition     = !var.database.multi_az && length(module.rds.identifiers.replicas) == 0
    error_message = "dev must have one database machine"
  }
}
