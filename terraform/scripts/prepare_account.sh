#!/usr/bin/env bash
# Creates the service-linked roles that a new account lacks.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: prepare_account.sh

Creates the roles with which ECS, its autoscaling, the load balancer, RDS and ElastiCache act in the account. AWS creates
each by itself at the first use, but that first use fails. Roles that exist are left as they are. Run it once per account,
with permission for iam:CreateServiceLinkedRole; it costs nothing.
TEXT
}

die() {
  echo "prepare_account.sh: $*" >&2
  exit 1
}

while (($#)); do
  case $1 in
    -h | --help) usage && exit 0 ;;
    *) die "unknown argument: $1 (see --help)" ;;
  esac
done
command -v aws >/dev/null || die "aws is not installed"

for service in ecs ecs.application-autoscaling elasticloadbalancing rds elasticache; do
  if answer=$(aws iam create-service-linked-role --aws-service-name "$service.amazonaws.com" 2>&1 >/dev/null); then
    echo "prepare_account.sh: created the role of $service" >&2
  elif [[ $answer == *"has been taken"* || $answer == *"already exists"* ]]; then
    echo "prepare_account.sh: $service has its role already" >&2
  else
    die "$answer"
  fi
done
