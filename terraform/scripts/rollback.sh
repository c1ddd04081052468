#!/usr/bin/env bash
# Returns a service to its previous task definition, at once and without Terraform.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: rollback.sh --cluster NAME --service NAME [--to REVISION] [--timeout SECONDS] [--poll SECONDS]

Deploys the task definition that was last deployed successfully, other than the current one, waits for the deployment, and
prints the image that now runs. No image is built and no migration is undone: a service accepts a database with newer
migrations than its own. Use the printed tag as image_tag in the next terraform apply, or that will deploy the bad image
again.

  --to REVISION     deploy this revision instead, as FAMILY:NUMBER or ARN
  --timeout SECONDS fail if the deployment takes longer (default: 1800)
  --poll SECONDS    time between two looks at the deployment (default: 10)
TEXT
}

die() {
  echo "rollback.sh: $*" >&2
  exit 1
}

cluster='' service='' to='' following=()
while (($#)); do
  case $1 in
    -h | --help) usage && exit 0 ;;
    --cluster | --service | --to | --timeout | --poll)
      (($# > 1)) || die "$1 needs a value (see --help)"
      case $1 in
        --cluster) cluster=$2 ;;
        --service) service=$2 ;;
        --to) to=$2 ;;
        *) following+=("$1" "$2") ;;
      esac
      shift 2
      ;;
    *) die "unknown argument: $1 (see --help)" ;;
  esac
done
[[ -n $cluster && -n $service ]] || die "--cluster and --service are both needed (see --help)"
for program in aws jq; do
  command -v "$program" >/dev/null || die "$program is not installed"
done

current=$(aws ecs describe-services --cluster "$cluster" --services "$service" --output json | jq -r '.services[0].taskDefinition // empty')
[[ -n $current ]] || die "there is no service $service in $cluster"
# Newest first, each with its status and revision.
deployments=$(aws ecs list-service-deployments --cluster "$cluster" --service "$service" --output json |
  jq -c '[.serviceDeployments[]?] | sort_by(.createdAt) | reverse')
if [[ -z $to ]]; then
  # What ran well before. An older revision may be one that was itself rolled back.
  mapfile -t revisions < <(jq -r '.[] | select(.status == "SUCCESSFUL") | .targetServiceRevisionArn' <<<"$deployments")
  for revision in "${revisions[@]}"; do
    to=$(aws ecs describe-service-revisions --service-revision-arns "$revision" --output json | jq -r '.serviceRevisions[0].taskDefinition')
    [[ $to == "$current" ]] || break
    to=''
  done
  [[ -n $to ]] || die "$service has no successful deployment of another revision than ${current##*/} in the last 90 days: there is nothing to go back to"
fi
definition=$(aws ecs describe-task-definition --task-definition "$to" --output json)
to=$(jq -r .taskDefinition.taskDefinitionArn <<<"$definition")
image=$(jq -r '.taskDefinition.containerDefinitions[] | select(.name == "app") | .image' <<<"$definition")

echo "rollback.sh: $service goes from ${current##*/} to ${to##*/}, $image" >&2
aws ecs update-service --cluster "$cluster" --service "$service" --task-definition "$to" --output json >/dev/null
newest=$(jq -r '.[0].serviceDeploymentArn // "none"' <<<"$deployments")
"$(dirname "$0")/verify_rollout.sh" --cluster "$cluster" --service "$service" --after "$newest" --task-definition "$to" "${following[@]}"
echo "$image"
