#!/usr/bin/env bats
# The image, built, pushed, pulled and run by a real engine, with Debian's docker-registry as the registry and a
# PostgreSQL container as the database. Without docker-registry, the image is built and run, and the tests of pushing skip.
# Times and sizes are printed, since docs/docker.md states them.

# shellcheck disable=SC2154 # `run` sets `stderr`

bats_require_minimum_version 1.5.0

# What it may add to its base.
MOST_BYTES=$((27 * 1024 * 1024))
QUESTION='rates?date_from=2016-01-01&date_to=2016-01-02&orig_code=CNSGH&dest_code=NLRTM'
ANSWER='{"rates":[{"day":"2016-01-02","price":1336,"count":3},{"day":"2016-01-01","price":1324.3333333333333,"count":3}]}'
HARDENED=(--read-only --cap-drop ALL --security-opt no-new-privileges:true --memory 256m)

setup_file() {
  export SKIP='' REPOSITORY DIRECTORY NAME REGISTRY='' REGISTRY_PID='' IMAGE='' WITH_DUMP='' DATABASE_IP PGPASSWORD
  REPOSITORY=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
  if ! docker info >/dev/null 2>&1; then
    SKIP="no container engine answers (docker info)"
    return
  fi
  NAME=rates-test-$$
  DIRECTORY=$(mktemp -d)
  PGPASSWORD=$(head -c 12 /dev/urandom | base64)
  ! command -v docker-registry >/dev/null || start_registry

  SECONDS=0
  IMAGE=$(make_image test) || {
    echo "the image could not be made" >&2
    return 1
  }
  echo "# built${REGISTRY:+, pushed and pulled} in $SECONDS s" >&3

  docker network create "$NAME" >/dev/null
  POSTGRES_PASSWORD=$PGPASSWORD docker run --detach --name "$NAME-database" --network "$NAME" --network-alias database \
    --env POSTGRES_USER=rates --env POSTGRES_PASSWORD postgres:17-bookworm >/dev/null
  # By TCP: on the socket a server answers that only initialises the data.
  for _ in {1..300}; do
    ! docker exec "$NAME-database" pg_isready --quiet --host 127.0.0.1 || break
    sleep 0.1
  done
  DATABASE_IP=$(docker inspect "$NAME-database" --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}')
}

start_registry() {
  local port
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  REGISTRY=127.0.0.1:$port
  # bcrypt is the one hash that the registry takes.
  perl -ne 'chomp; print "pusher:", crypt($_, "\$2y\$05\$" . "abcdefghijklmnopqrstuu"), "\n"' <<<push-password \
    >"$DIRECTORY/htpasswd"
  cat >"$DIRECTORY/registry.yml" <<CONFIG
version: 0.1
log: { level: error }
storage: { filesystem: { rootdirectory: $DIRECTORY/registry } }
http: { addr: "$REGISTRY" }
auth: { htpasswd: { realm: test, path: $DIRECTORY/htpasswd } }
CONFIG
  docker-registry serve "$DIRECTORY/registry.yml" >"$DIRECTORY/registry.log" 2>&1 3>&- &
  REGISTRY_PID=$!
  for _ in {1..100}; do
    [[ $(curl -s -o /dev/null -w '%{http_code}' "http://$REGISTRY/v2/") != 401 ]] || break
    sleep 0.1
  done
  DOCKER_CONFIG=$DIRECTORY/docker docker login --username pusher --password-stdin "$REGISTRY" \
    <<<push-password >/dev/null 2>&1
}

teardown_file() {
  [[ -z $SKIP ]] || return 0
  local containers images format
  mapfile -t containers < <(docker ps --all --quiet --filter "name=^$NAME")
  ((${#containers[@]} == 0)) || docker rm --force --volumes "${containers[@]}" >/dev/null
  docker network rm "$NAME" >/dev/null || true
  for format in '{{.Repository}}@{{.Digest}}' '{{.Repository}}:{{.Tag}}'; do
    mapfile -t images < <(docker images --format "$format" | grep "^${REGISTRY:-$NAME}[/:]" | sort -u)
    ((${#images[@]} == 0)) || docker rmi "${images[@]}" >/dev/null 2>&1 || true
  done
  [[ -z $REGISTRY_PID ]] || kill "$REGISTRY_PID"
  rm -rf "$DIRECTORY"
}

setup() {
  [[ -z $SKIP ]] || skip "$SKIP"
}

push() {
  REGISTRY_USER=pusher REGISTRY_PASSWORD=${PASSWORD_OF_PUSHER:-push-password} \
    "$REPOSITORY/build_push_docker_image.sh" "$REGISTRY/rates" --allow-dirty "$@"
}

# Makes an image, with the dump in it if there is one, and prints its name: pushed and pulled, or else only built.
make_image() { # TAG [DUMP]
  local image
  if [[ -n $REGISTRY ]]; then
    image=$(push --tag "$1" ${2:+--dump "$2"}) || return
    DOCKER_CONFIG=$DIRECTORY/docker docker pull --quiet "$image" >/dev/null || return
  elif [[ -n ${2:-} ]]; then
    image=$NAME:$1
    mkdir "$DIRECTORY/dump"
    cp "$2" "$DIRECTORY/dump/dump.sql"
    docker build --quiet --tag "$image" --file "$REPOSITORY/docker/with-dump.Dockerfile" \
      --build-arg "SERVICE_IMAGE=$IMAGE" "$DIRECTORY/dump" >/dev/null || return
  else
    image=$NAME:$1
    docker build --quiet --tag "$image" \
      --build-arg GIT_REVISION="$(git -C "$REPOSITORY" describe --always --exclude '*' --abbrev=12 --dirty)" \
      --build-arg VERSION="$(sed -n 's/^version = "\(.*\)"$/\1/p' "$REPOSITORY/Cargo.toml")" "$REPOSITORY" >/dev/null || return
  fi
  echo "$image"
}

needs_registry() {
  [[ -n $REGISTRY ]] || skip "docker-registry is not on the PATH (Debian: apt-get install docker-registry)"
}

contains() { # TEXT
  [[ $output == *"$1"* ]] || {
    printf 'not in the output: %s\n%s\n' "$1" "$output" >&2
    return 1
  }
}

# `rates` next to the database, as a platform would run it.
run_rates() { # NAME DOCKER-OPTIONS... -- ARGUMENTS...
  local name=$1 options=()
  shift
  while [[ $1 != -- ]]; do
    options+=("$1")
    shift
  done
  shift
  DB_PASSWORD=$PGPASSWORD docker run --name "$NAME-$name" --network "$NAME" "${HARDENED[@]}" --env DB_HOST=database \
    --env DB_NAME=rates --env DB_USER=rates --env DB_PASSWORD "${options[@]}" "${RUN_IMAGE:-$IMAGE}" "$@"
}

ask() { docker exec "$NAME-database" psql -X -A -t -U rates -c "$1"; }

address_of() {
  docker inspect "$1" --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}'
}

milliseconds() { date +%s%3N; }

# Waits until URL answers; prints the answer.
first_answer() { # URL
  local end=$((SECONDS + 30))
  while ((SECONDS < end)); do
    ! curl -fsS --max-time 2 "$1" 2>/dev/null || return 0
    sleep 0.02
  done
  return 1
}

until_true() { # COMMAND...
  for _ in {1..300}; do
    ! "$@" >/dev/null 2>&1 || return 0
    sleep 0.1
  done
  echo "never came true: $*" >&2
  return 1
}

@test "what was pushed is what the script says, and it is not pushed twice" {
  needs_registry
  [[ $IMAGE =~ ^$REGISTRY/rates@sha256:[0-9a-f]{64}$ ]]
  run --separate-stderr push --tag test
  [ "$status" -eq 0 ]
  [ "$output" = "$IMAGE" ]

  [ "$stderr" = "$REGISTRY/rates:test already exists" ]
}

@test "a registry that refuses the password is named, and nothing is left in the docker configuration" {
  needs_registry
  PASSWORD_OF_PUSHER=wrong run push --tag test
  [ "$status" -ne 0 ]
  contains "$REGISTRY rejects the login of pusher"
  ! grep -qsF "$REGISTRY" "${DOCKER_CONFIG:-$HOME/.docker}/config.json" || false
}

@test "it is small, numbered, labelled and without a shell" {
  base=$(sed -n 's/^ARG BASE_IMAGE=//p' "$REPOSITORY/Dockerfile")
  above=$(($(docker image inspect "$IMAGE" --format '{{.Size}}') - $(docker image inspect "$base" --format '{{.Size}}')))
  echo "# $above bytes above the base, of $MOST_BYTES" >&3
  [ "$above" -gt 1000000 ]
  [ "$above" -le "$MOST_BYTES" ]
  [ "$(docker image inspect "$IMAGE" --format '{{.Config.User}}')" = 65532:65532 ]
  revision=$(git -C "$REPOSITORY" rev-parse --short=12 HEAD)
  [[ $(docker image inspect "$IMAGE" --format '{{index .Config.Labels "org.opencontainers.image.revision"}}') == "$revision"* ]]
  version=$(docker run --rm "${HARDENED[@]}" "$IMAGE" --version)
  labelled=$(docker image inspect "$IMAGE" --format '{{index .Config.Labels "org.opencontainers.image.version"}}')
  [[ $version == "rates $labelled+$revision"* ]]
  run -127 docker run --rm --entrypoint sh "$IMAGE" -c true
}

@test "its layers add the program and the certificates of RDS, and nothing in it names a secret" {
  base=$(sed -n 's/^ARG BASE_IMAGE=//p' "$REPOSITORY/Dockerfile")
  docker save "$IMAGE" | tar -x -C "$BATS_TEST_TMPDIR"
  run python3 - "$BATS_TEST_TMPDIR" "$(docker image inspect "$base" --format '{{len .RootFS.Layers}}')" <<'PYTHON'
import json, pathlib, sys, tarfile
directory, inherited = pathlib.Path(sys.argv[1]), int(sys.argv[2])
[image] = json.loads((directory / "manifest.json").read_text())
for layer in image["Layers"][inherited:]:
    with tarfile.open(directory / layer) as files:
        print(*(member.name for member in files if not member.isdir()), sep="\n")
PYTHON
  [ "$status" -eq 0 ]
  [ "$(grep . <<<"$output" | sort)" = "$(printf '%s\n' etc/ssl/certs/rds-global-bundle.pem usr/local/bin/service)" ]
  run docker image inspect "$IMAGE" --format '{{json .Config}}'
  ! grep -qiE 'password|secret|token|AKIA' <<<"$output $(docker history --no-trunc --format '{{.CreatedBy}}' "$IMAGE")" || false
}

@test "the certificate authorities are there, those of RDS among them" {
  docker create --name "$NAME-files" "$IMAGE" >/dev/null
  for file in ca-certificates.crt rds-global-bundle.pem; do
    docker cp -L "$NAME-files:/etc/ssl/certs/$file" "$BATS_TEST_TMPDIR/$file"
    openssl crl2pkcs7 -nocrl -certfile "$BATS_TEST_TMPDIR/$file" |
      openssl pkcs7 -print_certs -noout >"$BATS_TEST_TMPDIR/names"
    [ "$(grep -c ^subject "$BATS_TEST_TMPDIR/names")" -gt 50 ]
  done
  grep -q "Amazon RDS eu-north-1 Root CA RSA2048 G1" "$BATS_TEST_TMPDIR/names"
}

@test "an image with the dump migrates and loads as a one-off task, once" {
  RUN_IMAGE=$(make_image test-dump "$REPOSITORY/db/rates.sql")
  run run_rates refused -- serve
  [ "$status" -eq 64 ]
  contains "run \`rates migrate\` first"
  run_rates migrate -- migrate
  run run_rates load -- load --if-empty /dump.sql
  [ "$status" -eq 0 ]
  contains '"prices":'
  run run_rates again -- load --if-empty /dump.sql
  [ "$status" -eq 0 ]
  contains "already holds prices"
  run_rates verify -- verify
}

@test "it serves with a read-only root, as a number, without a capability" {
  started=$(milliseconds)
  # A test below waits for the end of its port, which the lame duck time would delay.
  run_rates serve --detach --env RATES__SERVER__LAME_DUCK_SECONDS=0 -- >/dev/null
  url=http://$(address_of "$NAME-serve"):3000
  [ "$(first_answer "$url/$QUESTION")" = "$ANSWER" ]
  echo "# $(($(milliseconds) - started)) ms from docker run to the first answer" >&3
  pid=$(docker inspect "$NAME-serve" --format '{{.State.Pid}}')
  grep -qE '^Uid:\s+65532\s+65532\s+65532\s+65532$' "/proc/$pid/status"
  grep -qE '^CapEff:\s+0+$' "/proc/$pid/status"
  grep -qE '^CapBnd:\s+0+$' "/proc/$pid/status"
  grep -qE '^NSpid:.*\s1$' "/proc/$pid/status"
  # Metrics are reachable from outside the container.
  curl -fsS "http://$(address_of "$NAME-serve"):9464/metrics" | grep -q '^http_'
  until_true sh -c "docker inspect $NAME-serve --format '{{.State.Health.Status}}' | grep -qx healthy"
}

@test "HEALTHCHECK says no where nothing serves" {
  run_rates idle --detach --entrypoint /usr/local/bin/service -- healthcheck >/dev/null
  [ "$(docker wait "$NAME-idle")" = 1 ]
}

@test "SIGTERM lets a request in flight end, and then the process, with 0" {
  url=http://$(address_of "$NAME-serve"):3000
  # A request that no cache answers waits for the lock that is held here until it is told otherwise.
  docker exec --interactive "$NAME-database" psql -X -q -U rates >/dev/null < <(
    echo 'begin; lock table daily_rates, prices, ports, regions in access exclusive mode;'
    until [[ -e $BATS_TEST_TMPDIR/release ]]; do sleep 0.05; done
    echo 'commit;'
  ) 3>&- &
  locked() { [[ $(ask "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and granted and relation = 'daily_rates'::regclass") == 1 ]]; }
  waiting() { [[ $(ask "select count(*) from pg_stat_activity where wait_event_type = 'Lock'") -ge 1 ]]; }
  until_true locked
  fresh='rates?date_from=2016-01-03&date_to=2016-01-03&orig_code=CNYTN&dest_code=GBFXT'
  curl -sS --max-time 20 -w '\n%{http_code}' "$url/$fresh" >"$BATS_TEST_TMPDIR/answer" 3>&- &
  request=$!
  until_true waiting
  docker kill --signal TERM "$NAME-serve" >/dev/null
  # It has begun to stop when a new connection is refused.
  refused() { ! curl -s -o /dev/null --max-time 2 "$url/healthz"; }
  until_true refused
  kill -0 "$request"
  touch "$BATS_TEST_TMPDIR/release"
  wait "$request"
  [ "$(tail -n 1 "$BATS_TEST_TMPDIR/answer")" = 200 ]
  grep -q '^{"rates":\[{"day":"2016-01-03"' "$BATS_TEST_TMPDIR/answer"
  [ "$(docker wait "$NAME-serve")" = 0 ]
}

@test "load_postgres_dump.sh works with the image where there is no program" {
  # A copy, so that there is no target/ beside it.
  cp "$REPOSITORY/load_postgres_dump.sh" "$BATS_TEST_TMPDIR"
  docker exec "$NAME-database" pg_dump -U rates -Fc rates >"$BATS_TEST_TMPDIR/custom"
  for dump in "$REPOSITORY/db/rates.sql" "$BATS_TEST_TMPDIR/custom"; do
    RATES_IMAGE=$IMAGE run "$BATS_TEST_TMPDIR/load_postgres_dump.sh" "$DATABASE_IP" 5432 rates by_image "$dump" --replace
    [ "$status" -eq 0 ] || contains success
    contains "daily_rates and monthly_statistics equal the raw prices"
  done
}
