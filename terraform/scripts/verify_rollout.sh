#!/usr/bin/env bash
# Waits until a deployment of an ECS service is complete or has failed.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: verify_rollout.sh --cluster NAME --service NAME [--task-definition ARN] [--after DEPLOYMENT] [--timeout SECONDS] [--poll SECONDS]

Waits for the newest deployment of a service, rolling, blue/green or canary, and succeeds when it is complete. Fails if the
deployment fails or is rolled back, if another begins meanwhile, if it has another task definition than the given one, or
after the timeout. ECS also calls a service "stable" after a rollback, so waiting for that is not enough.

  --task-definition ARN
                    task definition that the deployment must have
  --after DEPLOYMENT
                    wait first until there is a newer deployment than this one
  --timeout SECONDS fail after this time (default: 1800)
  --poll SECONDS    time between two looks at the deployment (default: 10)
TEXT
}

die() {
  echo "verify_rollout.sh: $*" >&2
  exit 1
}

cluster='' service='' task_definition='' after='' timeout=1800 poll=10
while (($#)); do
  case $1 in
    -h | --help) usage && exit 0 ;;
    --cluster | --service | --task-definition | --after | --timeout | --poll)
      (($# > 1)) || die "$1 needs a value (see --help)"
      name=${1#--}
      printf -v "${name//-/_}" %s "$2"
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
  aws ecs describe-services --cluster "$cluster" --services "$service" --output json |
    jq -r '.services[0].events[:5][]? | "  \(.message)"' >&2
  die "$*"
}

runs=$(aws ecs describe-services --cluster "$cluster" --services "$service" --output json | jq -r '.services[0].taskDefinition // empty')
[[ -n $runs ]] || die "there is no service $service in $cluster"
[[ -z $task_definition || $runs == "$task_definition" ]] || fail "$service runs ${runs##*/} and not ${task_definition##*/}: it was rolled back, or somebody deployed after you"

deployment=''
while :; do
  IFS=$'\t' read -r newest status revision reason < <(
    aws ecs list-service-deployments --cluster "$cluster" --service "$service" --output json |
      jq -r '[.serviceDeployments[]?] | sort_by(.createdAt) | last // {} |
        [.serviceDeploymentArn // "none", .status // "none", .targetServiceRevisionArn // "none", .statusReason // ""] | @tsv'
  )
  # ECS lists deployments for 90 days.
  if [[ $newest == none && -z $after ]]; then
    echo "verify_rollout.sh: $service runs ${runs##*/}; it was not deployed in the last 90 days" >&2
    exit 0
  fi

  if [[ $newest != none && $newest != "$after" ]]; then
    if [[ -z $deployment ]]; then
      deployment=$newest
      runs=$(aws ecs describe-service-revisions --service-revision-arns "$revision" --output json | jq -r '.serviceRevisions[0].taskDefinition')
      [[ -z $task_definition || $runs == "$task_definition" ]] || fail "the newest deployment of $service is of ${runs##*/} and not ${task_definition##*/}"
    fi
    [[ $newest == "$deployment" ]] || fail "deployment ${deployment##*/} was replaced by ${newest##*/}"
    case $status in
      SUCCESSFUL)
        echo "verify_rollout.sh: $service runs ${runs##*/}, deployment ${deployment##*/}" >&2
        exit 0
        ;;
      PENDING | IN_PROGRESS) ;;
      *) fail "deployment ${deployment##*/} of ${runs##*/} failed ($status): $reason" ;;
    esac
  fi
  ((SECONDS < timeout)) || fail "the deployment of $service is not complete within $timeout s"
  sleep "$poll"
done
