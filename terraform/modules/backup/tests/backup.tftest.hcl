mock_provider "aws" {}

variables {
  name        = "rates-test"
  region      = "eu-west-1"
  copy_region = "eu-central-1"
  arns        = ["arn:aws:rds:eu-west-1:123456789012:db:rates-test"]
  account_id  = "123456789012"
}

run "every_day_a_copy_goes_to_the_other_region" {
  command = apply

  assert {
    condition     = aws_backup_vault.copy.region == "eu-central-1" && one(one(aws_backup_plan.this.rule).copy_action).destination_vault_arn == aws_backup_vault.copy.arn
    error_message = "the copy must be in the other region"
  }

  assert {
    condition     = one(one(one(aws_backup_plan.this.rule).copy_action).lifecycle).delete_after == 30
    error_message = "copies must be kept their days"
  }

  assert {
    condition     = aws_backup_selection.this.resources == toset(["arn:aws:rds:eu-west-1:123456789012:db:rates-test"])
    error_message = "only this database is backed up"
  }

  assert {
    condition     = !aws_backup_vault.copy.force_destroy
    error_message = "protected, copies must outlive the environment"
  }
}

run "refuses_a_copy_beside_the_database" {
  command = plan

  variables {
    copy_region = "eu-west-1"
  }

  expect_failures = [var.copy_region]
}

run "refuses_to_keep_copies_no_day" {
  command = plan

  variables {
    keep_days = 0
  }

  expect_failures = [var.keep_days]
}
