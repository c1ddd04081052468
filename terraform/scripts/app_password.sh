#!/usr/bin/env bash
# Gives the service's database user a password: made by AWS and kept by AWS.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: app_password.sh --secret ARN --username NAME [--rotate]

Puts {"username", "password"} with a password of 40 random characters into the secret, unless it holds one already;
with --rotate also when it does. The database learns of it from the next migration task, and tasks read it when they
start: after a rotation run the migration, then force a new deployment (docs/aws.md has the steps).

The password is never an argument, never on disk and never printed. Region and credentials come from the environment,
as for the aws command. `terraform output app_password` prints the arguments.
TEXT
}

die() {
  echo "app_password.sh: $*" >&2
  exit 1
}

secret='' username='' rotate=false
while (($#)); do
  case $1 in
    -h | --help) usage && exit 0 ;;
    --rotate) rotate=true && shift ;;
    --secret | --username)
      (($# > 1)) || die "$1 needs a value (see --help)"
      if [[ $1 == --secret ]]; then secret=$2; else username=$2; fi
      shift 2
      ;;
    *) die "unknown argument: $1 (see --help)" ;;
  esac
done
[[ -n $secret && -n $username ]] || die "--secret and --username are both needed (see --help)"
for program in aws jq; do
  command -v "$program" >/dev/null || die "$program is not installed"
done

versions=$(aws secretsmanager describe-secret --secret-id "$secret" --output json |
  jq '[.VersionIdsToStages // {} | .[] | select(index("AWSCURRENT"))] | length')
if ((versions > 0)) && [[ $rotate == false ]]; then
  echo "app_password.sh: $username has a password already" >&2
  exit 0
fi

# From AWS through two pipes to AWS. Without punctuation it needs no quoting anywhere; 40 characters make up for it.
aws secretsmanager get-random-password --password-length 40 --exclude-punctuation --output json |
  jq -c --arg username "$username" '{username: $username, password: .RandomPassword}' |
  aws secretsmanager put-secret-value --secret-id "$secret" --secret-string file:///dev/stdin >/dev/null
echo "app_password.sh: $username has a new password" >&2
