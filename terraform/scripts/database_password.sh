#!/usr/bin/env bash
# Sets the password of a database user: AWS generates and stores it.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: database_password.sh --secret ARN --username NAME [--instance ID] [--rotate] [--poll SECONDS]

Generates a password of 40 random characters and stores it in the secret, as JSON with the keys username and password. If
the secret already contains a password, nothing is changed, unless --rotate is given.

With --instance, the user is the master user of that RDS instance, and the password is set in RDS first. For any other
user, the next migration task sets it in the database, and services read it when they start. So after a rotation, run the
migration and then force a new deployment; docs/aws.md has the steps.

  --secret ARN      secret in Secrets Manager
  --username NAME   database user
  --instance ID     RDS instance whose master user this is
  --rotate          replace an existing password
  --poll SECONDS    time between two looks at the instance (default: 5)

The password is never an argument, never on disk and never printed. Region and credentials come from the environment,
as for the aws command. `terraform output database_passwords` prints the arguments.
TEXT
}

die() {
  echo "database_password.sh: $*" >&2
  exit 1
}

secret='' username='' instance='' rotate=false poll=5
while (($#)); do
  case $1 in
    -h | --help) usage && exit 0 ;;
    --rotate) rotate=true && shift ;;
    --secret | --username | --instance | --poll)
      (($# > 1)) || die "$1 needs a value (see --help)"
      printf -v "${1#--}" %s "$2"
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
  echo "database_password.sh: $username has a password already" >&2
  exit 0
fi

# Without punctuation it needs no quoting anywhere; 40 characters make up for it. printf is the shell's own: the
# password goes from here to AWS by pipe, and is in no list of processes.
login=$(aws secretsmanager get-random-password --password-length 40 --exclude-punctuation --output json |
  jq -c --arg username "$username" '{username: $username, password: .RandomPassword}')

if [[ -n $instance ]]; then
  # RDS first, then the secret: if the script stops in between, run it again.
  printf '%s' "$login" |
    jq --arg instance "$instance" '{DBInstanceIdentifier: $instance, MasterUserPassword: .password, ApplyImmediately: true}' |
    aws rds modify-db-instance --cli-input-json file:///dev/stdin >/dev/null
  # Accepted is not applied: until it is, the change is listed as pending.
  for ((tries = 0; ; tries++)); do
    sleep "$poll"
    pending=$(aws rds describe-db-instances --db-instance-identifier "$instance" --output json |
      jq -r '.DBInstances[0] | .DBInstanceStatus != "available" or .PendingModifiedValues.MasterUserPassword != null')
    [[ $pending == true ]] || break
    ((tries < 120)) || die "RDS did not take the password of $instance in time"
  done
fi
printf '%s' "$login" | aws secretsmanager put-secret-value --secret-id "$secret" --secret-string file:///dev/stdin >/dev/null
echo "database_password.sh: $username has a new password" >&2
