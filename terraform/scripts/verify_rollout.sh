#!/usr/bin/env bash
# Waits until a deployment of an ECS service is complete or has failed.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: verify_rollout.sh --cluster NAME --service NAME [--task-definition ARN] [--deployment ID] [--timeout SECONDS] [--poll SECONDS]

Waits for one deployment, and succeeds when it is complete and all its tasks run. Fails if the deployment fails, if
another replaces it (as a rollback does), if it has another task definition than the given one, or after the timeout. ECS
also calls a service "stable" after a rollback, so waiting for that is not enough.

  --deployment ID   deployment to wait for (default: the one that is primary at the start)
  --task-definition ARN
                    task definition that the deployment must have
  --timeout SECONDS fail after this time (default: 900)
  --poll SECONDS    time between two looks at the service (default: 10)
TEXT
}

die() {
  echo "verify_rollout.sh: $*" >&2
  exit 1
}

cluster='' service='' definition='' deployment='' timeout=900 poll=10
while (($#)); do
  case $1 in
    -h | --help) usage && exit 0 ;;
    --cluster | --service | --task-definition | --deployment | --timeout | --poll)
      (($# > 1)) || die "$1 needs a value (see --help)"
      case $1 in
        --cluster) cluster=$2 ;;
        --service) service=$2 ;;
        --task-definition) definition=$2 ;;
        --deployment) deployment=$2 ;;
        --timeout) timeout=$2 ;;
        --poll) poll=$2 ;;
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

# The last words of the service, which say why.
fail() {
  jq -r '.services[0].events[:5][]? | "  \(.message)"' <<<"$state" >&2
  die "$*"
}

deadline=$((SECONDS + timeout))
while :; do
  state=$(aws ecs describe-services --cluster "$cluster" --services "$service" --output json)
  primary=$(jq -c '[.services[0].deployments[]? | select(.status == "PRIMARY")][0] // empty' <<<"$state")
  [[ -n $primary ]] || fail "there is no service $service in $cluster"
  IFS=$'\t' read -r id runs rollout running desired reason < <(
    jq -r '[.id, .taskDefinition, .rolloutState, .runningCount, .desiredCount, (.rolloutStateReason // "")] | @tsv' <<<"$primary"
  )

  [[ -z $definition || $runs == "$definition" ]] || fail "$service runs ${runs##*/} and not ${definition##*/}: it was rolled back, or somebody deployed after you"
  deployment=${deployment:-$id}
  [[ $id == "$deployment" ]] || fail "deployment $deployment was replaced by $id, of ${runs##*/}"

  case $rollout in
    COMPLETED)
      if ((running == desired)); then
        echo "verify_rollout.sh: $service runs ${runs##*/}, $running of $desired tasks, deployment $id" >&2
        exit 0
      fi
      ;;
    FAILED) fail "deployment $id of ${runs##*/} failed: $reason" ;;
  esac
  ((SECONDS < deadline)) || fail "deployment $id is not done within $timeout s: $rollout, $running of $desired tasks"
  sleep "$poll"
done
