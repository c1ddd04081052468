# The plan of environments/staging.tfvars: the same parts as production, at the smallest size.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  image_tag = "abc123"
  run_hooks = false
}

run "staging_has_the_shape_of_production_unprotected" {
  command = plan

  assert {
    condition     = output.cluster == "rates-staging" && !local.protected
    error_message = "staging must not be protected against deletion"
  }

  assert {
    condition     = var.database.multi_az && length(module.rds.identifiers.replicas) == 1 && local.has_readers
    error_message = "staging must have a standby and a replica like production, to find errors before production"
  }

  assert {
    condition     = var.services["rates"].scaling.min > 1 && !var.services["rates"].spot
    error_message = "staging needs two tasks, to find errors that one task alone does not show"
  }
}
