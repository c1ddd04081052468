# environments/staging.tfvars, planned: production's shape at the smallest size.

mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-west-1a", "eu-west-1b", "eu-west-1c"] }
  }
}

variables {
  image_tag = "abc123"
  run_hooks = false
}

run "staging_has_the_shape_of_production_unprotected" {
  command = plan

  assert {
    condition     = output.cluster == "rates-staging" && !local.protected
    error_message = "staging must be easy to destroy"
  }

  assert {
    condition     = var.database.multi_az && length(module.rds.identifiers.replicas) == 1 && local.has_readers
    error_message = "what works with a standby and a replica must show before production"
  }

  assert {
    condition     = var.services["rates"].scaling.min > 1 && !var.services["rates"].spot
    error_message = "a second task shows what one alone does not"
  }
}
