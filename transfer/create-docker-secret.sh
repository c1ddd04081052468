#!/usr/bin/env bash
# Creates the Docker secret that docker-compose-v2.yml uses. The machine must be a swarm manager (docker swarm init).
#
#   create-docker-secret.sh [KEY_FILE] [NAME]    default: key/transfer.key, as prepare-env.sh makes it, and transfer_key
#
# A secret cannot be changed. To rotate keys, create another from a file with the new key on its first line and the old one
# on its second, and deploy the stack with TRANSFER_SECRET=NAME.
set -euo pipefail

if [[ ${1:-} == --help || $# -gt 2 ]]; then
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
  [[ ${1:-} == --help ]] && exit 0
  exit 64
fi
key_file=${1:-key/transfer.key}
name=${2:-transfer_key}

if [[ ! -r $key_file ]]; then
  echo "create-docker-secret.sh: cannot read $key_file; make it with prepare-env.sh" >&2
  exit 66
fi
if docker secret inspect "$name" >/dev/null 2>&1; then
  echo "create-docker-secret.sh: the secret $name is there already; remove it (docker secret rm $name) or choose another name" >&2
  exit 1
fi
docker secret create "$name" "$key_file"
