#!/usr/bin/env bats
# The images of transfer and multivac: each boots with a read-only root as its user and does its work once; and transfer's
# swarm stack with its key as a Docker secret. Then multivac's profile of the compose stack, with Redis and PostgreSQL.

bats_require_minimum_version 1.5.0

HARDENED=(--read-only --cap-drop ALL --security-opt no-new-privileges:true --memory 256m)

setup_file() {
  export SKIP='' REPOSITORY DIRECTORY NAME GIT_REVISION
  REPOSITORY=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
  if ! docker info >/dev/null 2>&1; then
    SKIP="no container engine answers (docker info)"
    return
  fi
  NAME=services-test-$$
  export COMPOSE_PROJECT_NAME=$NAME
  DIRECTORY=$(mktemp -d)
  # As in the other files, so that each service is compiled once for this commit.
  GIT_REVISION=$(git -C "$REPOSITORY" rev-parse --short=12 HEAD)
  [[ -z $(git -C "$REPOSITORY" status --porcelain) ]] || GIT_REVISION=$GIT_REVISION-dirty
  local service
  for service in transfer multivac; do
    SECONDS=0
    docker build --quiet --tag "$NAME:$service" --build-arg "SERVICE=$service" --build-arg GIT_REVISION \
      "$REPOSITORY" >/dev/null
    echo "# $service built in $SECONDS s" >&3
  done
  # The folders and the key of both sides, as the user of the images has them.
  "$REPOSITORY/transfer/prepare-env.sh" "$DIRECTORY" >/dev/null
  chmod 0755 "$DIRECTORY"
  docker network create "$NAME" >/dev/null
}

teardown_file() {
  [[ -z $SKIP ]] || return 0
  docker stack rm "$NAME" >/dev/null 2>&1 || true
  docker compose --project-directory "$REPOSITORY" --profile multivac down --volumes --timeout 1 2>/dev/null
  docker secret rm "$NAME" >/dev/null 2>&1 || true
  [[ ! -e $DIRECTORY/swarm ]] || docker swarm leave --force >/dev/null
  local containers
  mapfile -t containers < <(docker ps --all --quiet --filter "name=^$NAME")
  ((${#containers[@]} == 0)) || docker rm --force --volumes "${containers[@]}" >/dev/null
  docker network rm "$NAME" >/dev/null || true
  docker rmi "$NAME:transfer" "$NAME:multivac" >/dev/null || true
  rm -rf "$DIRECTORY"
}

setup() {
  [[ -z $SKIP ]] || skip "$SKIP"
}

# A service as a platform would run it: with a read-only root, as the user of its image, or as ours for its folders.
run_service() { # NAME IMAGE DOCKER-OPTIONS... -- ARGUMENTS...
  local name=$1 image=$2 options=()
  shift 2
  while [[ $1 != -- ]]; do
    options+=("$1")
    shift
  done
  shift
  docker run --detach --name "$NAME-$name" --network "$NAME" --network-alias "$name" "${HARDENED[@]}" \
    --user "$(stat --format %u:%g "$DIRECTORY/key/transfer.key")" "${options[@]}" "$NAME:$image" "$@" >/dev/null
}

address_of() { # NAME
  docker inspect "$NAME-$1" --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}'
}

is_unprivileged() { # NAME
  local pid
  pid=$(docker inspect "$NAME-$1" --format '{{.State.Pid}}')
  grep -qE '^CapEff:\s+0+$' "/proc/$pid/status" && ! grep -qE '^Uid:\s+0\s' "/proc/$pid/status"
}

until_true() { # COMMAND...
  for _ in {1..600}; do
    ! "$@" >/dev/null 2>&1 || return 0
    sleep 0.1
  done
  echo "never came true: $*" >&2
  return 1
}

equals() { # TEXT COMMAND...
  local expected=$1
  shift
  [[ $("$@") == "$expected" ]]
}

@test "each image is a number's without a shell" {
  for service in transfer multivac; do
    [ "$(docker image inspect "$NAME:$service" --format '{{.Config.User}}')" = 65532:65532 ]
    run -127 docker run --rm --entrypoint sh "$NAME:$service" -c true
  done
}

@test "transfer takes a file from the folder of the sender to that of the receiver" {
  run_service receiver transfer --volume "$DIRECTORY/output:/usr/src/app-receiver/output" \
    --volume "$DIRECTORY/key/transfer.key:/run/secrets/decryption_key:ro" -- receive
  run_service sender transfer --volume "$DIRECTORY/input:/usr/src/app-sender/input" \
    --volume "$DIRECTORY/status:/usr/src/app-sender/status" \
    --volume "$DIRECTORY/key/transfer.key:/run/secrets/encryption_key:ro" --env RECEIVER_ADDRESS=receiver -- send
  until_true curl -fsS "http://$(address_of receiver):8080/"
  echo '{"hello": "world"}' >"$DIRECTORY/input/hello.json"
  until_true grep -q '<hello type="str">world</hello>' "$DIRECTORY/output/hello.xml"
  is_unprivileged receiver
  is_unprivileged sender
  curl -fsS "http://$(address_of sender):9466/metrics" | grep -qx 'transfer_waiting_files 0'
  docker stop "$NAME-sender" "$NAME-receiver" >/dev/null
  [ "$(docker inspect "$NAME-sender" "$NAME-receiver" --format '{{.State.ExitCode}}')" = $'0\n0' ]
}

@test "multivac stores what is posted, and logs to its folder" {
  users=$(docker run --rm --interactive "${HARDENED[@]}" "$NAME:multivac" user add alice <<<secret)
  # The volumes are made from the image's folders, whose owner is the user of the image.
  AUTH_USERS=$users docker run --detach --name "$NAME-multivac" --network "$NAME" "${HARDENED[@]}" --env AUTH_USERS \
    --volume /var/lib/service --volume /var/log/app "$NAME:multivac" >/dev/null
  url=http://$(address_of multivac):5000
  until_true curl -fsS "$url/readyz"
  [ "$(curl -sS -o /dev/null -w '%{http_code}' -F 'data=fiat lux' "$url/multivac/data")" = 401 ]
  [ "$(curl -fsS -u alice:secret -F 'data=fiat lux' "$url/multivac/data")" = '{"response":"MultiVAC updated!"}' ]
  until_true equals 'fiat lux' curl -fsS "$url/multivac"
  is_unprivileged multivac
  docker cp "$NAME-multivac:/var/log/app/access.log" "$BATS_TEST_TMPDIR/access.log"
  grep -q '/multivac/data' "$BATS_TEST_TMPDIR/access.log"
  docker stop "$NAME-multivac" >/dev/null
  [ "$(docker inspect "$NAME-multivac" --format '{{.State.ExitCode}}')" = 0 ]
}

@test "transfer's swarm stack has its key as a secret" {
  if [[ $(docker info --format '{{.Swarm.LocalNodeState}}') == inactive ]]; then
    docker swarm init --advertise-addr 127.0.0.1 >/dev/null
    touch "$DIRECTORY/swarm"
  fi
  cd "$REPOSITORY/transfer"
  ./create-docker-secret.sh "$DIRECTORY/key/transfer.key" "$NAME"
  run ./create-docker-secret.sh "$DIRECTORY/key/transfer.key" "$NAME"
  [ "$status" -eq 1 ]
  TRANSFER_PORT=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
  # The addresses of the receivers themselves: the kernel may lack IPVS, which a service's one address needs.
  export RECEIVER_ADDRESS=tasks.receiver
  export TRANSFER_PORT TRANSFER_FOLDER=$DIRECTORY TRANSFER_SECRET=$NAME TRANSFER_IMAGE=$NAME:transfer
  rm -f "$DIRECTORY/output/hello.xml" "$DIRECTORY/input/hello.json"
  docker stack deploy --detach=true --compose-file docker-compose-v2.yml "$NAME" >/dev/null
  echo '{"hello": "swarm"}' >"$DIRECTORY/input/swarm.json"
  until_true grep -q '<hello type="str">swarm</hello>' "$DIRECTORY/output/swarm.xml"
  until_true equals '2/2' docker service ls --filter "name=${NAME}_receiver" --format '{{.Replicas}}'
}

@test "multivac's profile of the compose stack has a server and a worker that do their work" {
  cd "$REPOSITORY"
  read -r MULTIVAC_PORT RATES_PORT MESSAGES_PORT < <(python3 -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(s.getsockname()[1] for s in sockets))')
  export MULTIVAC_PORT RATES_PORT MESSAGES_PORT MULTIVAC_USERS
  MULTIVAC_USERS=$(docker run --rm --interactive "${HARDENED[@]}" "$NAME:multivac" user add alice <<<secret)
  docker compose --profile multivac build --quiet multivac
  docker compose --profile multivac up --detach --wait multivac multivac-work 2>/dev/null
  echo alice:secret >"$DIRECTORY/login"
  chmod 0644 "$DIRECTORY/login"
  check() {
    docker run --rm "${HARDENED[@]}" --network host --volume "$DIRECTORY/login:/login:ro" "$NAME:multivac" \
      check --url "http://127.0.0.1:$MULTIVAC_PORT" --user-file /login --timeout 10
  }
  check
  # Without the worker nothing is stored, and the check says so.
  docker compose --profile multivac stop multivac-work 2>/dev/null
  run -1 check
}
