#!/usr/bin/env bash
# Writes backend.hcl for the bucket that this root made, and moves this root's own state into it.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: migrate.sh [-backend-config=SETTING...]

Run once, after the first terraform apply here. Writes backend.hcl (for this and every other root) and backend.tf (so
that this root uses it), then copies terraform.tfstate into the bucket as bucket-state.tfstate. The copies left here
can be deleted once `terraform plan` shows no changes. Running it again changes nothing.
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
