#!/usr/bin/env bash
# Deletes an environment: takes a last snapshot of its database, turns the protection off, and destroys everything.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: destroy.sh --var-file FILE --yes NAME [--no-snapshot] [TERRAFORM ARGUMENT...]

Takes a snapshot of the database, turns the protection against deletion off, and deletes the environment with its data.
If it fails half-way, run it again: it goes on with what is left, and creates nothing.

  --var-file FILE   settings of the environment: environments/dev.tfvars
  --yes NAME        full name of the environment, such as rates-dev. It must be the name in the state, so that nobody
                    deletes another environment by mistake
  --no-snapshot     take no snapshot. Otherwise it is named NAME-last-DATE, and stays until you delete it

Further arguments go to both terraform plan (of turning the protection off) and terraform destroy, except -auto-approve,
which is for the latter alone.
TEXT
}

die() {
  echo "destroy.sh: $*" >&2
  exit 1
}

var_file='' name='' snapshot=true
while (($#)); do
  case $1 in
    -h | --help) usage && exit 0 ;;
    --no-snapshot) snapshot=false && shift ;;
    --var-file | --yes)
      (($# > 1)) || die "$1 needs a value (see --help)"
      if [[ $1 == --yes ]]; then name=$2; else var_file=$2; fi
      shift 2
      ;;
    *) break ;;
  esac
done
[[ -n $var_file && -n $name ]] || die "--var-file and --yes are both needed (see --help)"
[[ -r $var_file ]] || die "cannot read $var_file"
for program in terraform aws jq; do
  command -v "$program" >/dev/null || die "$program is not installed"
done
var_file=$(realpath "$var_file")
cd "$(dirname "$0")/.."

# Everything comes from the resources in the state and nothing from the outputs, which are the first to go: a destroy that
# failed half-way can be run again.
state=$(terraform state pull)
# Each attribute of that name, of the resources whose type and name match.
attributes() { # NAME [TYPE.NAME]
  jq -r --arg attribute "$1" --arg which "${2:-.}" '
    .resources[]? | select(.mode == "managed" and ("\(.type).\(.name)" | test($which))) |
    .instances[].attributes[$attribute] // empty' <<<"$state"
}
found=$(attributes tags_all | jq -r -s '[.[] | select(.Environment) | "\(.Project)-\(.Environment)"] | unique | .[]')
[[ $found == "$name" ]] || die "the state here is of ${found:-nothing}, not of $name: check the backend's key"
# The region of most resources; the billing alarm is always in us-east-1.
AWS_REGION=$(attributes region | sort | uniq -c | sort -n | awk 'END { print $2 }')
# The second for version 1 of the aws command, which does not know the first.
export AWS_REGION AWS_DEFAULT_REGION=$AWS_REGION

cluster=$(attributes cluster_identifier '^aws_rds_cluster.this$')
instance=$(attributes identifier '^aws_db_instance.this$')
if [[ $snapshot == true && -n $cluster$instance ]]; then
  last=$name-last-$(date -u +%Y%m%d%H%M%S)
  if [[ -n $cluster ]]; then
    aws rds create-db-cluster-snapshot --db-cluster-identifier "$cluster" --db-cluster-snapshot-identifier "$last" >/dev/null
    aws rds wait db-cluster-snapshot-available --db-cluster-snapshot-identifier "$last"
  else
    aws rds create-db-snapshot --db-instance-identifier "$instance" --db-snapshot-identifier "$last" >/dev/null
    aws rds wait db-snapshot-available --db-snapshot-identifier "$last"
  fi
  echo "destroy.sh: the database is kept as snapshot $last" >&2
fi

# The tag is only asked for because it has no default; nothing is built with the hooks off.
settings=(-var-file="$var_file" -var=protected=false -var=run_hooks=false -var=image_tag=none)
# Only what refuses to be deleted is changed first, if it is still there, and no service is deployed on the way out.
targets=()
while read -r address; do targets+=(-target="$address"); done < <(jq -r '
  .resources[]? | select(.type | IN("aws_db_instance", "aws_rds_cluster", "aws_lb", "aws_s3_bucket", "aws_ecr_repository",
    "aws_secretsmanager_secret", "aws_elasticache_replication_group")) |
  .module as $module | "\(.type).\(.name)" as $name | .instances[] |
  "\($module).\($name)\(if has("index_key") then "[\(.index_key | tojson)]" else "" end)"' <<<"$state")
if ((${#targets[@]} > 0)); then
  plan=$(mktemp)
  trap 'rm -f "$plan"' EXIT
  further=()
  for argument in "$@"; do [[ $argument == -auto-approve ]] || further+=("$argument"); done
  terraform plan "${settings[@]}" "${targets[@]}" "${further[@]}" -out="$plan"
  created=$(terraform show -json "$plan" | jq -r '.resource_changes[]? | select(.change.actions | index("create")) | .address')
  [[ -z $created ]] || die "turning the protection off would create what is gone: $created. Turn it off by hand in the console, then run terraform destroy."
  terraform apply "$plan"
fi
terraform destroy "${settings[@]}" "$@"
