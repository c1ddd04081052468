#!/usr/bin/env bash
# Applies the configuration with an image tag, and checks that every service runs that tag.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: deploy.sh --var-file FILE --tag TAG [TERRAFORM ARGUMENT...]

Runs terraform apply, whose hooks build and push the images, migrate the database and load the dump. Then waits for the
deployment of every service, and fails if one fails or is rolled back.

  --var-file FILE   settings of the environment: environments/dev.tfvars
  --tag TAG         tag of the images

Further arguments go to terraform apply, for example -auto-approve. Run terraform init first; docs/aws.md has the command.
TEXT
}

die() {
  echo "deploy.sh: $*" >&2
  exit 1
}

var_file='' tag=''
while (($#)); do
  case $1 in
    -h | --help) usage && exit 0 ;;
    --var-file | --tag)
      (($# > 1)) || die "$1 needs a value (see --help)"
      if [[ $1 == --tag ]]; then tag=$2; else var_file=$2; fi
      shift 2
      ;;
    *) break ;;
  esac
done
[[ -n $var_file && -n $tag ]] || die "--var-file and --tag are both needed (see --help)"
[[ -r $var_file ]] || die "cannot read $var_file"
for program in terraform aws jq; do
  command -v "$program" >/dev/null || die "$program is not installed"
done
var_file=$(realpath "$var_file")
cd "$(dirname "$0")/.."

terraform apply -var-file="$var_file" -var="image_tag=$tag" "$@"

outputs=$(terraform output -json)
cluster=$(jq -r .cluster.value <<<"$outputs")
AWS_REGION=$(jq -r .region.value <<<"$outputs")
# The second for version 1 of the aws command, which does not know the first.
export AWS_REGION AWS_DEFAULT_REGION=$AWS_REGION
while IFS=$'\t' read -r service definition; do
  scripts/verify_rollout.sh --cluster "$cluster" --service "$service" --task-definition "$definition" </dev/null
done < <(jq -r '.services.value[] | [.service, .task_definition] | @tsv' <<<"$outputs")

# max_connections is in force only after a reboot, while the sizes of the pools count on it.
for instance in $(jq -r '.database.value | .replicas + [.writer // empty] | .[]' <<<"$outputs"); do
  pending=$(aws rds describe-db-instances --db-instance-identifier "$instance" --output json |
    jq -r '[.DBInstances[]?.DBParameterGroups[]? | select(.ParameterApplyStatus == "pending-reboot")] | length')
  ((pending == 0)) || echo "deploy.sh: settings of $instance wait for a reboot: aws rds reboot-db-instance --db-instance-identifier $instance" >&2
done

echo
jq -r '.curl.value' <<<"$outputs"
