#!/usr/bin/env bash
# Deletes an environment: takes a last snapshot of its database, turns the protection off, and destroys everything.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: destroy.sh --var-file FILE --yes NAME [--no-snapshot] [TERRAFORM ARGUMENT...]

Takes a snapshot of the database, turns the protection against deletion off, and deletes the environment with its data.

  --var-file FILE   settings of the environment: environments/dev.tfvars
  --yes NAME        full name of the environment, such as rates-dev. It must be the name in the state, so that nobody
                    deletes another environment by mistake
  --no-snapshot     take no snapshot. Otherwise it is named NAME-last-DATE, and stays until you delete it

Further arguments go to both terraform apply (which turns the protection off) and terraform destroy.
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

outputs=$(terraform output -json)
found=$(jq -r '.cluster.value // empty' <<<"$outputs")
[[ $found == "$name" ]] || die "the state here is of ${found:-nothing}, not of $name: check the backend's key"
AWS_REGION=$(jq -r .region.value <<<"$outputs")
# The second for version 1 of the aws command, which does not know the first.
export AWS_REGION AWS_DEFAULT_REGION=$AWS_REGION

if [[ $snapshot == true ]]; then
  last=$name-last-$(date -u +%Y%m%d%H%M%S)
  cluster=$(jq -r '.database.value.cluster // empty' <<<"$outputs")
  if [[ -n $cluster ]]; then
    aws rds create-db-cluster-snapshot --db-cluster-identifier "$cluster" --db-cluster-snapshot-identifier "$last" >/dev/null
    aws rds wait db-cluster-snapshot-available --db-cluster-snapshot-identifier "$last"
  else
    aws rds create-db-snapshot --db-instance-identifier "$(jq -r .database.value.writer <<<"$outputs")" --db-snapshot-identifier "$last" >/dev/null
    aws rds wait db-snapshot-available --db-snapshot-identifier "$last"
  fi
  echo "destroy.sh: the database is kept as snapshot $last" >&2
fi

# The tag is only asked for because it has no default; nothing is built with the hooks off.
settings=(-var-file="$var_file" -var=protected=false -var=run_hooks=false -var=image_tag=none)
# Only what refuses to be deleted is changed first, and no service is deployed on the way out.
terraform apply "${settings[@]}" -target=module.rds -target=module.alb -target=module.ecr "$@"
terraform destroy "${settings[@]}" "$@"
