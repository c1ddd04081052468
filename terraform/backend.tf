# Where the state lives: the bucket that ../bucket-state made. Which bucket, key and region is said at init, so that one
# tree serves every environment:
#
#   terraform init -backend-config=../bucket-state/backend.hcl -backend-config=key=rates/dev.tfstate
terraform {
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}
