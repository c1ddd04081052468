mock_provider "aws" {}

variables {
  name = "rates-test/rates"
}

run "tags_are_written_once_and_scanned" {
  command = plan

  assert {
    condition     = aws_ecr_repository.this.image_tag_mutability == "IMMUTABLE"
    error_message = "a tag must mean the same bytes for ever"
  }

  assert {
    condition     = one(aws_ecr_repository.this.image_scanning_configuration).scan_on_push
    error_message = "images must be scanned"
  }

  assert {
    condition     = aws_ecr_repository.this.force_delete == false
    error_message = "images must not go along with the repository unasked"
  }
}

run "the_newest_fifty_stay" {
  command = plan

  assert {
    condition     = jsondecode(aws_ecr_lifecycle_policy.this.policy).rules[2].selection.countNumber == 50
    error_message = "expected the newest fifty to stay"
  }

  assert {
    condition     = jsondecode(aws_ecr_lifecycle_policy.this.policy).rules[0].selection.tagPrefixList == ["data-"]
    error_message = "dumps must be counted apart, or they would push out the service's images"
  }
}

run "refuses_to_keep_too_few_to_roll_back" {
  command = plan

  variables {
    keep_images = 4
  }

  expect_failures = [var.keep_images]
}

run "refuses_to_keep_more_than_ecr_counts" {
  command = plan

  variables {
    keep_images = 1001
  }

  expect_failures = [var.keep_images]
}
