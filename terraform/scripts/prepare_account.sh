#!/usr/bin/env bash
# Creates what there is once per account: the service-linked roles that a new one lacks, and GitHub's identity provider.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: prepare_account.sh [--github]

Creates the roles with which ECS, its autoscaling, the load balancer, RDS and ElastiCache act in the account. AWS creates
each by itself at the first use, but that first use fails. Roles that exist are left as they are. Run it once per account,
with permission for iam:CreateServiceLinkedRole; it costs nothing.

  --github   also create the identity provider of GitHub Actions, for the variable `pipeline`
TEXT
}

die() {
  echo "prepare_account.sh: $*" >&2
  exit 1
}

github=false
while (($#)); do
  case $1 in
    -h | --help) usage && exit 0 ;;
    --github) github=true && shift ;;
    *) die "unknown argument: $1 (see --help)" ;;
  esac
done
command -v aws >/dev/null || die "aws is not installed"

# Runs a command of aws unless what it creates exists.
create() { # NAME COMMAND...
  local name=$1 answer
  shift
  if answer=$(aws iam "$@" 2>&1 >/dev/null); then
    echo "prepare_account.sh: created $name" >&2
  elif [[ $answer == *"has been taken"* || $answer == *"already exists"* || $answer == *EntityAlreadyExists* ]]; then
    echo "prepare_account.sh: $name exists already" >&2
  else
    die "$answer"
  fi
}

for service in ecs ecs.application-autoscaling elasticloadbalancing rds elasticache; do
  create "the role of $service" create-service-linked-role --aws-service-name "$service.amazonaws.com"
done
if [[ $github == true ]]; then
  create "the identity provider of GitHub Actions" create-open-id-connect-provider \
    --url https://token.actions.githubusercontent.com --client-id-list sts.amazonaws.com
fi
