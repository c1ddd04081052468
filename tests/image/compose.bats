#!/usr/bin/env bats
# docker-compose.yml from nothing to the first answer, and what it keeps.

bats_require_minimum_version 1.5.0

QUESTION='rates?date_from=2016-01-01&date_to=2016-01-02&orig_code=CNSGH&dest_code=NLRTM'
ANSWER='{"rates":[{"day":"2016-01-02","price":1336,"count":3},{"day":"2016-01-01","price":1324.3333333333333,"count":3}]}'

setup_file() {
  export SKIP='' REPOSITORY COMPOSE_PROJECT_NAME GIT_REVISION RATES_PORT BALANCER_PORT MESSAGES_PORT
  REPOSITORY=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
  if ! docker info >/dev/null 2>&1; then
    SKIP="no container engine answers (docker info)"
    return
  fi
  COMPOSE_PROJECT_NAME=rates-test-$$
  # As the push script has it, so that both build the same once.
  GIT_REVISION=$(git -C "$REPOSITORY" rev-parse --short=12 HEAD)
  [[ -z $(git -C "$REPOSITORY" status --porcelain) ]] || GIT_REVISION=$GIT_REVISION-dirty
  read -r RATES_PORT BALANCER_PORT MESSAGES_PORT < <(python3 -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(s.getsockname()[1] for s in sockets))')
}

teardown_file() {
  [[ -z $SKIP ]] || return 0
  cd "$REPOSITORY" || return
  docker compose --profile balanced down --volumes --timeout 1 2>/dev/null
}

setup() {
  [[ -z $SKIP ]] || skip "$SKIP"
  cd "$REPOSITORY" || return
}

answer() { # PORT
  curl -fsS --max-time 5 "http://127.0.0.1:$1/$QUESTION"
}

@test "comes up from nothing and answers" {
  docker compose build --quiet rates messages
  SECONDS=0
  docker compose up --detach --wait 2>/dev/null
  [ "$(answer "$RATES_PORT")" = "$ANSWER" ]
  echo "# $SECONDS s from docker compose up to the answer, image built" >&3
}

@test "holds no password, and runs nothing with a privilege" {
  run docker compose --profile balanced config --format json
  [ "$status" -eq 0 ]
  [[ $output != *PASSWORD\":* ]]
  python3 -c '
import json, sys
services = json.load(sys.stdin)["services"]
assert len(services) == 9, sorted(services)
for name, service in services.items():
    assert service.get("read_only") is True, f"{name} may write to its root"
    assert service.get("cap_drop") == ["ALL"] and "cap_add" not in service, f"{name} has capabilities"
    assert service.get("security_opt") == ["no-new-privileges:true"], f"{name} may gain privileges"
    assert int(service.get("mem_limit", 0)) > 0, f"{name} has no memory limit"
    assert not service.get("privileged"), f"{name} is privileged"
' <<<"$output"
}

@test "rotates the logs of every service" {
  run docker compose --profile balanced config --format json
  [ "$status" -eq 0 ]
  python3 -c '
import json, sys
rotated = {"driver": "json-file", "options": {"max-size": "200k", "max-file": "3"}}
for name, service in json.load(sys.stdin)["services"].items():
    assert service.get("logging") == rotated, f"the log of {name} grows without bound"
' <<<"$output"
}

@test "messages answers over the certificate it made, and keeps messages" {
  digest=2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
  docker compose cp messages:/var/lib/service/certs/localhost.crt "$BATS_TEST_TMPDIR/localhost.crt" 2>/dev/null
  ask() {
    curl -fsS --max-time 5 --cacert "$BATS_TEST_TMPDIR/localhost.crt" "$@"
  }
  run ask --json '{"message":"foo"}' "https://localhost:$MESSAGES_PORT/messages"
  [ "$output" = "{\"digest\":\"$digest\"}" ]
  docker compose kill redis messages 2>/dev/null
  docker compose up --detach --wait redis messages 2>/dev/null
  run ask "https://localhost:$MESSAGES_PORT/messages/$digest"
  [ "$output" = '{"message":"foo"}' ]
}

@test "the database's password is random and opens it" {
  run docker compose exec -T database cat /run/passwords/database
  [ "${#output}" -eq 32 ]
  password=$output
  for given in "$password" "not-$password"; do
    # On standard input: every user of the machine can read arguments.
    run docker compose exec -T database sh -c \
      'read -r PGPASSWORD; export PGPASSWORD; exec psql -X -A -t -h database -U rates -c "select 1"' <<<"$given"
    [ "$output" = 1 ] || break
  done
  [ "$given" = "not-$password" ]
}

@test "a restart keeps data and password" {
  docker compose exec -T database psql -X -q -U rates -c \
    "update prices set price = 9000 where orig_code = 'CNSGH' and dest_code = 'NLRTM' and day = '2016-01-02'"
  docker compose down 2>/dev/null
  docker compose up --detach --wait 2>/dev/null
  [ "$(answer "$RATES_PORT")" = "${ANSWER/1336/9000}" ]
}

@test "two replicas behind a load balancer answer while one goes" {
  docker compose --profile balanced up --detach --wait 2>/dev/null
  for _ in {1..100}; do
    ! answer "$BALANCER_PORT" >/dev/null 2>&1 || break
    sleep 0.1
  done
  [ "$(answer "$BALANCER_PORT")" = "${ANSWER/1336/9000}" ]
  mapfile -t replicas < <(docker compose --profile balanced ps --quiet replica)
  [ "${#replicas[@]}" -eq 2 ]
  docker stop "${replicas[0]}" >/dev/null 3>&- &
  stopping=$!
  asked=0
  while kill -0 "$stopping" 2>/dev/null || ((asked < 50)); do
    [ "$(answer "$BALANCER_PORT")" = "${ANSWER/1336/9000}" ]
    asked=$((asked + 1))
  done
  wait "$stopping"
  [ "$(docker inspect "${replicas[0]}" --format '{{.State.ExitCode}}')" = 0 ]
}
