# The bucket that keeps the state of everything else. A root of its own, since it must be there before any backend can
# be; migrate.sh then moves its own state into the bucket it made.

data "aws_caller_identity" "this" {}

locals {
  # Bucket names are shared by the whole world.
  bucket = "${var.name}-state-${data.aws_caller_identity.this.account_id}-${var.region}"
}

resource "aws_s3_bucket" "state" {
  bucket = local.bucket

  # Without its state Terraform no longer knows what it made. To delete the bucket all the same, first destroy all that
  # is in it, then remove this block.
  lifecycle {
    prevent_destroy = true
  }
}

# An earlier version is the only way back from a state that was overwritten or cut short.
resource "aws_s3_bucket_versioning" "state" {
  bucket = aws_s3_bucket.state.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "state" {
  bucket = aws_s3_bucket.state.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "aws:kms"
    }

    # One key for the bucket and not one call to KMS for every object.
    bucket_key_enabled = true
  }
}

resource "aws_s3_bucket_public_access_block" "state" {
  bucket = aws_s3_bucket.state.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "state" {
  bucket = aws_s3_bucket.state.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "state" {
  bucket = aws_s3_bucket.state.id

  rule {
    id     = "old-versions"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = var.old_version_days
      # However old: the last ten stay.
      newer_noncurrent_versions = 10
    }

    # A lock that was taken and given back leaves a marker behind each time.
    expiration {
      expired_object_delete_marker = true
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  # The rule speaks of versions, of which there are none before.
  depends_on = [aws_s3_bucket_versioning.state]
}

resource "aws_s3_bucket_policy" "state" {
  bucket = aws_s3_bucket.state.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [aws_s3_bucket.state.arn, "${aws_s3_bucket.state.arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        # prevent_destroy stops Terraform; this stops the console and the command line.
        Sid       = "NoDeletion"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:DeleteBucket"
        Resource  = aws_s3_bucket.state.arn
      },
    ]
  })

  # Both calls change who may read the bucket, and S3 refuses them at the same moment.
  depends_on = [aws_s3_bucket_public_access_block.state]
}

# Superseded by S3's own locks (use_lockfile); for teams that are not there yet.
resource "aws_dynamodb_table" "lock" {
  count = var.lock_table ? 1 : 0

  name         = "${var.name}-state-lock"
  billing_mode = "PAY_PER_REQUEST"
  # The name is Terraform's.
  hash_key                    = "LockID"
  deletion_protection_enabled = true

  attribute {
    name = "LockID"
    type = "S"
  }

  server_side_encryption {
    enabled = true
  }

  point_in_time_recovery {
    enabled = true
  }
}
