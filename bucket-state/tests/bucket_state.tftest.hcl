mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
}

run "the_bucket_is_named_by_account_and_region" {
  command = plan

  assert {
    condition     = aws_s3_bucket.state.bucket == "rates-state-123456789012-eu-west-1" && length(aws_s3_bucket.state.bucket) <= 63
    error_message = "expected a name that nobody else has"
  }
}

run "it_is_versioned_encrypted_and_private" {
  command = plan

  assert {
    condition     = aws_s3_bucket_versioning.state.versioning_configuration[0].status == "Enabled"
    error_message = "without versions a lost state cannot be had back"
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.state.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms"
    error_message = "expected encryption by KMS"
  }

  assert {
    condition     = aws_s3_bucket_public_access_block.state.block_public_acls && aws_s3_bucket_public_access_block.state.block_public_policy && aws_s3_bucket_public_access_block.state.ignore_public_acls && aws_s3_bucket_public_access_block.state.restrict_public_buckets
    error_message = "a state must never be public"
  }

  assert {
    condition     = one(aws_s3_bucket_lifecycle_configuration.state.rule).noncurrent_version_expiration[0].noncurrent_days == 90
    error_message = "expected old versions for 90 days"
  }
}

# Planned with an ARN said beforehand, since the policy names it, and what is applied here cannot be destroyed again.
run "it_is_reached_over_tls_and_not_deleted" {
  command = plan

  override_resource {
    target          = aws_s3_bucket.state
    override_during = plan
    values          = { id = "rates-state", arn = "arn:aws:s3:::rates-state" }
  }

  assert {
    condition     = [for s in jsondecode(aws_s3_bucket_policy.state.policy).Statement : "${s.Effect} ${s.Action}"] == ["Deny s3:*", "Deny s3:DeleteBucket"]
    error_message = "expected plain HTTP and deletion refused"
  }

  assert {
    condition     = strcontains(output.backend, "use_lockfile = true") && !strcontains(output.backend, "dynamodb_table")
    error_message = "locks must be S3's own by default"
  }

  assert {
    condition     = output.bucket == "rates-state-123456789012-eu-west-1"
    error_message = "expected the bucket's name"
  }
}

run "a_lock_table_for_older_terraform" {
  command = plan

  variables {
    lock_table = true
  }

  assert {
    condition     = aws_dynamodb_table.lock[0].hash_key == "LockID" && aws_dynamodb_table.lock[0].deletion_protection_enabled && strcontains(output.backend, "dynamodb_table = \"rates-state-lock\"")
    error_message = "expected the table, and its name in the settings"
  }
}

run "refuses_a_name_too_long" {
  command = plan

  variables {
    name = "a-name-of-twenty-chars"
  }

  expect_failures = [var.name]
}

run "refuses_a_region_that_is_none" {
  command = plan

  variables {
    region = "Ireland"
  }

  expect_failures = [var.region]
}

run "refuses_to_forget_over_the_weekend" {
  command = plan

  variables {
    old_version_days = 6
  }

  expect_failures = [var.old_version_days]
}
