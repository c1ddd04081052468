#!/usr/bin/env bash
# Debian 12 machines for the tests of packages and playbooks, made by Docker: containers with systemd and ssh.
#
#   machines.sh up COUNT    boots machines 1 to COUNT, and prints their inventory
#   machines.sh down        removes them
#   machines.sh kill N      takes the power from machine N; its disk stays
#   machines.sh boot N      gives it back
#   machines.sh cut N       pulls its network cable
#   machines.sh heal N      plugs it in again
#
# The containers are privileged, because systemd in them confines the services: run this on a machine for tests only.
set -euo pipefail

network=rates-hosts
subnet=10.78.0
key=$(cd "$(dirname "$0")/../.." && pwd)/.run/hosts/key

name() { echo "rates-host$1"; }
address() { echo "$subnet.1$1"; }

build() {
  docker build --quiet --tag rates-host - >/dev/null <<'DOCKERFILE'
FROM debian:bookworm
RUN apt-get update && \
    apt-get install --yes --no-install-recommends \
      ca-certificates curl dbus iproute2 openssh-server python3 python3-apt sudo systemd systemd-sysv && \
    systemctl mask getty@tty1 systemd-udevd
# What systemd takes as the order to shut down.
STOPSIGNAL SIGRTMIN+3
CMD ["/sbin/init"]
DOCKERFILE
}

up() {
  build
  mkdir -p "$(dirname "$key")"
  [[ -f $key ]] || ssh-keygen -q -t ed25519 -N '' -f "$key"
  docker network inspect "$network" >/dev/null 2>&1 || docker network create --subnet "$subnet.0/24" "$network" >/dev/null
  for number in $(seq "$1"); do
    docker run --detach --privileged --tmpfs /run --tmpfs /run/lock --name "$(name "$number")" --hostname "host$number" \
      --network "$network" --ip "$(address "$number")" rates-host >/dev/null
    docker exec --interactive "$(name "$number")" install -D -m 600 /dev/stdin /root/.ssh/authorized_keys <"$key.pub"
  done
  echo "[rates]"
  for number in $(seq "$1"); do
    wait_for_ssh "$number"
    echo "host$number ansible_host=$(address "$number") ansible_user=root ansible_ssh_private_key_file=$key" \
      "ansible_ssh_common_args='-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null'"
  done
}

wait_for_ssh() {
  for _ in $(seq 100); do
    ssh -q -o BatchMode=yes -o ConnectTimeout=2 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -i "$key" \
      "root@$(address "$1")" true && return
    sleep 0.3
  done
  echo "machines.sh: machine $1 does not answer to ssh" >&2
  exit 1
}

down() {
  local containers
  mapfile -t containers < <(docker ps --all --quiet --filter "name=^rates-host[0-9]")
  [[ ${#containers[@]} -eq 0 ]] || docker rm --force --volumes "${containers[@]}" >/dev/null
  docker network rm "$network" >/dev/null 2>&1 || true
}

case ${1:-} in
  up) up "${2:-1}" ;;
  down) down ;;
  kill) docker kill "$(name "$2")" >/dev/null ;;
  boot) docker start "$(name "$2")" >/dev/null && wait_for_ssh "$2" ;;
  cut) docker network disconnect --force "$network" "$(name "$2")" ;;
  heal) docker network connect --ip "$(address "$2")" "$network" "$(name "$2")" ;;
  *) sed -n '2,11s/^# \{0,1\}//p' "$0" && exit 64 ;;
esac
