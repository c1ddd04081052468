# The plan of environments/prod.tfvars: survives the loss of a zone, and is protected.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  image_tag = "abc123"
  run_hooks = false
  # As an operator must: prod.tfvars has no domain, and production refuses plain HTTP.
  listener = { domain = "rates.example.com", zone_id = "Z1" }
}

run "prod_is_protected_and_survives_the_loss_of_a_zone" {
  command = plan

  assert {
    condition     = output.cluster == "rates-prod" && local.protected
    error_message = "production must be protected"
  }

  assert {
    condition     = length(local.network.private_subnet_ids) == 3
    error_message = "production must be in three zones"
  }

  assert {
    condition     = var.services["rates"].scaling.min >= 3 && !var.services["rates"].spot
    error_message = "production needs a task in each zone, and none on Spot"
  }

  assert {
    condition     = var.database.multi_az && length(module.rds.identifiers.replicas) == 1
    error_message = "production needs a standby and a replica"
  }
}
