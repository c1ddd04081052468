#!/usr/bin/env bash
# Writes backend.hcl for the state bucket, and moves the state of this directory into the bucket.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: migrate.sh [-backend-config=SETTING...]

Run it once, after the first terraform apply in bucket-state. It writes backend.hcl, which every terraform init uses, and
backend.tf for bucket-state itself. Then it copies bucket-state's terraform.tfstate into the bucket. Delete the local
terraform.tfstate files when `terraform plan` shows no changes. Running it again changes nothing.

Arguments go to terraform init.
TEXT
}

die() {
  echo "migrate.sh: $*" >&2
  exit 1
}

[[ ${1:-} != -h && ${1:-} != --help ]] || {
  usage
  exit 0
}
command -v terraform >/dev/null || die "terraform is not installed"
cd "$(dirname "$0")"

if [[ ! -e backend.tf ]]; then
  backend=$(terraform output -raw backend) || die "no output here: run terraform apply first"
  [[ $backend == *bucket* ]] || die "no bucket in this state: run terraform apply first"
  printf '%s\n' "$backend" >backend.hcl
  printf 'terraform {\n  backend "s3" {}\n}\n' >backend.tf
fi
terraform init -migrate-state -force-copy -input=false -backend-config=backend.hcl -backend-config=key=bucket-state.tfstate "$@"
