# The state is in the bucket that ../bucket-state creates. Bucket, key and region are given at init, so that all
# environments share this directory:
#
#   terraform init -backend-config=../bucket-state/backend.hcl -backend-config=key=rates/dev.tfstate
terraform {
  backend "s3" {
    # Not encrypt: it would ask for AES256, and the bucket encrypts with KMS by itself.
    use_lockfile = true
  }
}
