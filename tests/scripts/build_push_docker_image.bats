#!/usr/bin/env bats
# What build_push_docker_image.sh asks of git, docker and aws. Docker is a stand-in that writes down what it was asked
# and keeps a list of tags; a real engine and a real registry are in tests/image. The AWS command line is the real one,
# in front of moto's ECR.

# The stand-ins expand their variables themselves; `run` sets `stderr`; each test is a subshell of its own.
# shellcheck disable=SC2016,SC2154,SC2030,SC2031

bats_require_minimum_version 1.5.0

ECR=123456789012.dkr.ecr.eu-north-1.amazonaws.com

setup_file() {
  export SOURCE MOTO_PID='' MOTO_PORT
  SOURCE=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
  if command -v moto_server >/dev/null; then
    MOTO_PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    moto_server -H 127.0.0.1 -p "$MOTO_PORT" >"$BATS_FILE_TMPDIR/moto.log" 2>&1 3>&- &
    MOTO_PID=$!
    # Bounded: a server that does not start fails the tests instead of holding them up.
    for _ in {1..150}; do
      ! curl -fsS -o /dev/null "http://127.0.0.1:$MOTO_PORT/moto-api/" 2>/dev/null || break
      sleep 0.2
    done
  fi
}

teardown_file() {
  [[ -z $MOTO_PID ]] || kill "$MOTO_PID"
}

setup() {
  clone=$BATS_TEST_TMPDIR/clone
  mkdir -p "$clone/rates" "$BATS_TEST_TMPDIR/bin" "$BATS_TEST_TMPDIR/tmp" "$BATS_TEST_TMPDIR/home/.docker/cli-plugins"
  cp "$SOURCE/build_push_docker_image.sh" "$SOURCE/Cargo.toml" "$clone"
  touch "$clone/rates/Cargo.toml"
  export GIT_AUTHOR_NAME=Tester GIT_AUTHOR_EMAIL=tester@example.com
  export GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL
  git -C "$clone" init -q
  git -C "$clone" add -A
  git -C "$clone" commit -qm Begin
  revision=$(git -C "$clone" rev-parse --short=12 HEAD)
  script=$clone/build_push_docker_image.sh

  export DIGEST=sha256:0123456789012345678901234567890123456789012345678901234567890123
  export STATE=$BATS_TEST_TMPDIR/state HOME=$BATS_TEST_TMPDIR/home TMPDIR=$BATS_TEST_TMPDIR/tmp
  mkdir "$STATE"
  unset REGISTRY_USER REGISTRY_PASSWORD DOCKER_CONFIG DOCKER_HOST BUILDX_CONFIG
  echo '{"mine": true}' >"$HOME/.docker/config.json"
  cat >"$BATS_TEST_TMPDIR/bin/docker" <<'DOCKER'
#!/usr/bin/env bash
printf '%s\n' "$*" >>"$STATE/calls"
case "$1 ${2-}" in
  "context inspect") echo unix:///the/chosen/engine.sock ;;
  "login "*)
    cat >"$STATE/password"
    [[ ! -e $STATE/refuse-login ]] || { echo "unauthorized" >&2; exit 1; }
    echo secret >"$DOCKER_CONFIG/config.json"
    env | grep -E '^(DOCKER_|BUILDX_)' >"$STATE/environment"
    ls "$DOCKER_CONFIG" >>"$STATE/environment"
    ;;
  "buildx imagetools")
    [[ ! -e $STATE/broken ]] || { echo "ERROR: connection refused" >&2; exit 1; }
    grep -qxF "$4" "$STATE/tags" 2>/dev/null || { echo "ERROR: $4: not found" >&2; exit 1; }
    echo "$DIGEST"
    ;;
  "buildx build")
    [[ ! -e $STATE/broken-build ]] || { echo "it does not compile" >&2; exit 1; }
    while [[ $1 != --tag ]]; do shift; done
    echo "$2" >>"$STATE/tags"
    ;;
esac
DOCKER
  chmod +x "$BATS_TEST_TMPDIR/bin/docker"
  PATH=$BATS_TEST_TMPDIR/bin:$PATH
}

teardown() {
  # Nothing may be left, whatever happened.
  [ -z "$(ls -A "$TMPDIR")" ]
  [ "$(<"$HOME/.docker/config.json")" = '{"mine": true}' ]
}

contains() { # TEXT
  [[ $output == *"$1"* ]] || {
    printf 'not in the output: %s\n%s\n' "$1" "$output" >&2
    return 1
  }
}

calls() { output=$(<"$STATE/calls"); }

@test "builds, pushes by the commit's tag and prints the digest alone on standard output" {
  run --separate-stderr "$script" localhost:5000/rates
  [ "$status" -eq 0 ]
  [ "$output" = "localhost:5000/rates@$DIGEST" ]
  [ "$(<"$STATE/tags")" = "localhost:5000/rates:$revision" ]
  calls
  version=$(grep -m 1 '^version' "$SOURCE/Cargo.toml" | cut -d '"' -f 2)
  contains "--build-arg SERVICE=rates --build-arg GIT_REVISION=$revision --build-arg VERSION=$version"
}

@test "does nothing and succeeds if the tag is there already" {
  echo "localhost:5000/rates:$revision" >"$STATE/tags"
  run --separate-stderr "$script" localhost:5000/rates
  [ "$status" -eq 0 ]
  [ "$output" = "localhost:5000/rates@$DIGEST" ]
  [[ $stderr == *"already exists"* ]]
  calls
  [[ $output != *"buildx build"* ]]
}

@test "refuses a working tree that differs from the commit, until told" {
  touch "$clone/new"
  run "$script" localhost:5000/rates
  [ "$status" -ne 0 ]
  contains "the working tree differs from commit $revision"
  [ ! -e "$STATE/tags" ]
  run "$script" localhost:5000/rates --allow-dirty
  [ "$status" -eq 0 ]
  grep -qE "^localhost:5000/rates:$revision-dirty-[0-9]{8}T[0-9]{6}Z$" "$STATE/tags"
}

@test "--tag, --service and --platform reach the build" {
  mkdir "$clone/messages"
  touch "$clone/messages/Cargo.toml"
  git -C "$clone" add -A
  git -C "$clone" commit -qm Messages
  run "$script" localhost:5000/m --service messages --tag v1.2 --platform linux/arm64
  [ "$status" -eq 0 ]
  [ "$(<"$STATE/tags")" = "localhost:5000/m:v1.2" ]
  calls
  contains "SERVICE=messages"
  contains "--platform linux/arm64"
}

@test "--dump builds the image with the dump, under a tag that changes with it" {
  gzip -c <<<"COPY" >"$BATS_TEST_TMPDIR/my dump.sql.gz"
  run "$script" localhost:5000/rates --dump "$BATS_TEST_TMPDIR/my dump.sql.gz"
  [ "$status" -eq 0 ]
  sum=$(sha256sum <"$BATS_TEST_TMPDIR/my dump.sql.gz" | head -c 12)
  [ "$(<"$STATE/tags")" = "localhost:5000/rates:$revision"$'\n'"localhost:5000/rates:$revision-dump-$sum" ]
  calls
  contains "--file docker/with-dump.Dockerfile --build-arg SERVICE_IMAGE=localhost:5000/rates@$DIGEST $TMPDIR/"
}

@test "--dump says how to make a custom-format dump plain" {
  printf 'PGDMP\0' >"$BATS_TEST_TMPDIR/dump"
  run "$script" localhost:5000/rates --dump "$BATS_TEST_TMPDIR/dump"
  [ "$status" -ne 0 ]
  contains "pg_restore"
}

@test "a build that fails fails the script" {
  touch "$STATE/broken-build"
  run --separate-stderr "$script" localhost:5000/rates
  [ "$status" -ne 0 ]
  [ -z "$output" ]
}

@test "a registry that cannot be asked is not taken for one without the image" {
  touch "$STATE/broken"
  run "$script" localhost:5000/rates
  [ "$status" -ne 0 ]
  contains "cannot look up localhost:5000"
  contains "connection refused"
  [ ! -e "$STATE/tags" ]
}

@test "what is not a digest is not printed as one" {
  DIGEST='Name: rates' run --separate-stderr "$script" localhost:5000/rates
  [ "$status" -ne 0 ]
  [ -z "$output" ]
  [[ $stderr == *"expected a digest for localhost:5000/rates:$revision"* ]]
}

@test "logs in with the password on standard input, in a configuration of its own" {
  REGISTRY_USER=me REGISTRY_PASSWORD='h u$h' run "$script" registry.example.com/rates
  [ "$status" -eq 0 ]
  [[ $output != *'h u$h'* ]]
  [ "$(<"$STATE/password")" = 'h u$h' ]
  calls
  contains "login --username me --password-stdin registry.example.com"
  [[ $output != *'h u$h'* ]]
  # Plugins, builders and engine are still those of the person.
  output=$(<"$STATE/environment")
  contains "DOCKER_HOST=unix:///the/chosen/engine.sock"
  contains "BUILDX_CONFIG=$HOME/.docker/buildx"
  contains "DOCKER_CONFIG=$TMPDIR/"
  contains cli-plugins
}

@test "a refused login is told, without the password" {
  touch "$STATE/refuse-login"
  REGISTRY_USER=me REGISTRY_PASSWORD=hush run "$script" registry.example.com/rates
  [ "$status" -ne 0 ]
  contains "registry.example.com rejects the login of me: unauthorized"
  [[ $output != *hush* ]]
  [ ! -e "$STATE/tags" ]
}

@test "a user without a password is refused" {
  REGISTRY_USER=me run "$script" registry.example.com/rates
  [ "$status" -ne 0 ]
  contains "REGISTRY_PASSWORD is not"
}

@test "logs in to ECR with the password that ECR gives" {
  [[ -n $MOTO_PID ]] || skip "moto_server is not on the PATH (pip install 'moto[server,ecr]')"
  command -v aws >/dev/null || skip "aws is not on the PATH (pip install awscli)"
  export AWS_ENDPOINT_URL=http://127.0.0.1:$MOTO_PORT AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x
  run "$script" "$ECR/rates"
  [ "$status" -eq 0 ]
  expected=$(aws ecr get-login-password --region eu-north-1)
  [ -n "$expected" ]
  [ "$(<"$STATE/password")" = "$expected" ]
  [[ $output != *"$expected"* ]]
  calls
  contains "login --username AWS --password-stdin $ECR"
  [[ $output != *"$expected"* ]]
}

@test "ECR that gives no password is told, and nothing is built" {
  command -v aws >/dev/null || skip "aws is not on the PATH (pip install awscli)"
  export AWS_ENDPOINT_URL=http://127.0.0.1:1 AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x AWS_MAX_ATTEMPTS=1
  run "$script" "$ECR/rates"
  [ "$status" -ne 0 ]
  contains "returned no password for $ECR"
  [ ! -e "$STATE/tags" ]
}

@test "wrong arguments are named and nothing is done" {
  while IFS='|' read -r arguments message; do
    # shellcheck disable=SC2086 # words
    run "$script" $arguments
    [ "$status" -ne 0 ] || contains "a refusal of: $arguments"
    contains "$message"
    [ ! -e "$STATE/tags" ]
  done <<'CASES'
|REPOSITORY is missing
rates|rates must be REGISTRY/NAME
me/rates|me/rates must be REGISTRY/NAME
localhost:5000/rates:v1|without a tag
localhost:5000/Rates|in lower case
localhost:5000/rates again|give only one REPOSITORY, not also again
localhost:5000/rates --tag|--tag needs a value
localhost:5000/rates --tag latest|the tag latest identifies no build
localhost:5000/rates --tag a/b|a/b is not a valid tag
localhost:5000/rates --service ../x|../x is not a valid service name
localhost:5000/rates --service nothing|the workspace has no service nothing
localhost:5000/rates --dump nowhere|cannot read nowhere
localhost:5000/rates --push|unknown option --push
CASES
}

@test "--help tells what there is" {
  run "$script" --help
  [ "$status" -eq 0 ]
  contains "usage: build_push_docker_image.sh REPOSITORY"
}

@test "missing programs are named before anything is done" {
  bin=$BATS_TEST_TMPDIR/few
  mkdir "$bin"
  ln -s "$(command -v bash)" "$(command -v env)" "$(command -v git)" "$bin"
  PATH=$bin run "$script" localhost:5000/rates
  [ "$status" -ne 0 ]
  contains "needs docker"
  ln -s "$BATS_TEST_TMPDIR/bin/docker" "$bin"
  PATH=$bin run "$script" "$ECR/rates"
  [ "$status" -ne 0 ]
  contains "needs aws"
}
