#!/usr/bin/env bats
#
# Starts real servers: needs bats 1.5, PostgreSQL (13 or newer) and psql. Run by root it
# tests more: that users are kept apart.

# Commands in single quotes are for the shells under test; `run` sets stderr and stderr_lines.
# shellcheck disable=SC2016,SC2154

bats_require_minimum_version 1.5.0

setup() {
  unset DATABASE_URL
  # Not bats' own directory: nobody but root may enter that. The space and the quote are part
  # of the test.
  room=$(mktemp -d "/tmp/private postgres' test.XXXXXX")
  chmod 755 "$room"
  new_checkout "$room/check out"
  cd "$room" || return
}

# Copies the script to a checkout of its own, $1, and makes that the current one.
new_checkout() {
  mkdir -p "$1/db"
  cp "$BATS_TEST_DIRNAME/../private_postgres.sh" "$1/db/"
  checkout=$1
  harness=$1/db/private_postgres.sh
}

teardown() {
  # Whatever a failed test left running.
  local pid_file
  for pid_file in "$room"/*/.run/*/cluster/data/postmaster.pid; do
    [[ -e $pid_file ]] || continue
    kill -s KILL "$(head -n 1 "$pid_file")" || true
  done
  [[ -z ${started:-} ]] || kill -s KILL -- "-$started" 2>/dev/null || true
  rm -rf "$room"
}

# Starts the harness in a process group of its own, as a terminal does; sets `started`.
start() {
  # Without --default-signal it would inherit that a script's background job ignores INT.
  env --default-signal=INT,QUIT setsid "$harness" "$@" 2>"$room/stderr" 3>&- &
  started=$!
}

wait_for() {
  local tries
  for ((tries = 0; tries < 200; tries++)); do
    [[ ! -e $1 ]] || return 0
    sleep 0.1
  done
  echo "waited in vain for $1"
  cat "$room/stderr"
  return 1
}

server_pid_file() {
  echo "$checkout/.run/postgres/cluster/data/postmaster.pid"
}

# A zombie is dead: in a container, process 1 may never collect it.
alive() {
  [[ $(sed -n 's/^State:[[:space:]]*//p' "/proc/$1/status" 2>/dev/null) == [^Z]* ]]
}

assert_nothing_left() {
  local server=$1 socket_dir=$2
  if alive "$server"; then
    return 1
  fi
  [[ ! -e $socket_dir ]]
  [[ ! -e $(server_pid_file) ]]
}

# A COMMAND that, when told to stop, still asks the database before it ends with status 9.
draining_command() {
  cat >"$room/drain" <<'COMMAND'
#!/bin/bash
drain() {
  echo "$1" >>signals
  sleep 1
  psql -Atc 'SELECT 42' >drained 2>&1
  exit 9
}
trap 'drain INT' INT
trap 'drain TERM' TERM
trap 'drain HUP' HUP
echo "$PGHOST" >socket_dir
touch ready
while :; do sleep 0.1; done
COMMAND
  chmod +x "$room/drain"
}

@test "the command gets a database by URL and by PG variables, its arguments and its exit status" {
  run --separate-stderr "$harness" -- bash -c '
    psql "$DATABASE_URL" -AtXc "SELECT current_user, current_database()"
    psql -AtXc "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
    printf "<%s>" "$@"
    exit 7' bash 'two words' '' '--fast'
  [ "$status" -eq 7 ]
  [ "${lines[0]}" = 'rates|rates' ]
  [ "${lines[1]}" = 't' ]
  [ "${lines[2]}" = '<two words><><--fast>' ]
}

@test "the database is UTF-8 and sorts by code point" {
  run --separate-stderr "$harness" -- psql -AtXc \
    "SELECT pg_encoding_to_char(encoding), datcollate IN ('C', 'C.UTF-8') FROM pg_database WHERE datname = 'rates'"
  [ "$output" = 'UTF8|t' ]
}

@test "the caller's PG variables reach neither the server nor the command" {
  PGPORT=1 PGDATA=/nonexistent PGOPTIONS='-c nonsense=1' run --separate-stderr "$harness" -- \
    bash -c 'psql -AtXc "SELECT 1"; echo "${PGDATA-unset} $PGPORT"'
  [ "$status" -eq 0 ]
  [ "$output" = $'1\nunset 5432' ]
}

@test "a command that does not exist gives 127, and nothing is left" {
  run -127 "$harness" -- no-such-command
  [ ! -e "$(server_pid_file)" ]
}

@test "a DATABASE_URL that is set is used, and no server is started" {
  DATABASE_URL=postgres://elsewhere/x run --separate-stderr "$harness" -- bash -c 'echo "$DATABASE_URL"; exit 3'
  [ "$status" -eq 3 ]
  [ "$output" = postgres://elsewhere/x ]
  [ "${#stderr_lines[@]}" -eq 1 ]
  [[ $stderr == *'DATABASE_URL is set'* ]]
  [ ! -e "$checkout/.run" ]
}

@test "an empty DATABASE_URL counts as none" {
  DATABASE_URL='' run --separate-stderr "$harness" -- bash -c 'echo "$DATABASE_URL"'
  [[ $output == postgres://rates@localhost/rates?host=/* ]]
}

@test "the command reads standard input, and a closed one does no harm" {
  run --separate-stderr bash -c 'echo hello | "$0" -- cat' "$harness"
  [ "$output" = hello ]
  run --separate-stderr bash -c '"$0" -- psql -AtXc "SELECT 5" <&-' "$harness"
  [ "$status" -eq 0 ]
  [ "$output" = 5 ]
}

@test "the server listens on no TCP port" {
  cat >listeners <<'COMMAND'
#!/bin/bash
# The inodes of all listening (state 0A) TCP sockets, looked for among the server's files.
server=$(psql -AtXc "SELECT pg_read_file('postmaster.pid')" | head -n 1)
sockets=$(readlink "/proc/$server/fd/"* | sed -n 's/^socket:\[\(.*\)\]$/\1/p')
[ -n "$sockets" ] || echo 'the server has no socket at all'
cat /proc/net/tcp /proc/net/tcp6 | while read -r _ _ _ state _ _ _ _ _ inode _; do
  if [ "$state" = 0A ] && grep -qx "$inode" <<<"$sockets"; then
    echo "socket $inode listens"
  fi
done
COMMAND
  run --separate-stderr "$harness" -- bash ./listeners
  [ "$status" -eq 0 ]
  [ -z "$output" ]
}

@test "data is kept from run to run" {
  "$harness" -- psql -Xqc 'CREATE TABLE kept AS SELECT 11 AS answer'
  run --separate-stderr "$harness" -- psql -AtXc 'SELECT answer FROM kept'
  [ "$output" = 11 ]
}

@test "--fast begins empty, does not touch the kept data and leaves none" {
  "$harness" -- psql -Xqc 'CREATE TABLE kept ()'
  for _ in 1 2; do
    run --separate-stderr "$harness" --fast -- psql -AtX -c 'SHOW fsync' -c 'CREATE TABLE kept ()'
    [ "$status" -eq 0 ]
    [ "$output" = $'off\nCREATE TABLE' ]
  done
  [ -z "$(ls -A "$checkout/.run/postgres-fast/cluster")" ]
  run --separate-stderr "$harness" -- psql -AtX -c 'SHOW fsync' -c 'TABLE kept'
  [ "$status" -eq 0 ]
  [ "${lines[0]}" = on ]
}

@test "Ctrl-C: the command drains with the server up, then all ends with its status" {
  draining_command
  start -- ./drain
  wait_for ready
  server=$(head -n 1 "$(server_pid_file)")
  kill -s INT -- "-$started"
  ended=0
  wait "$started" || ended=$?
  [ "$ended" -eq 9 ]
  [ "$(cat drained)" = 42 ]
  [ "$(cat signals)" = INT ]
  assert_nothing_left "$server" "$(cat socket_dir)"
}

@test "a second Ctrl-C while the server stops leaves nothing behind either" {
  start -- bash -c 'echo "$PGHOST" >socket_dir; touch ready; exec sleep 60'
  wait_for ready
  server=$(head -n 1 "$(server_pid_file)")
  # Again and again: some arrive while the script cleans up.
  while kill -s INT -- "-$started" 2>/dev/null; do sleep 0.01; done
  ended=0
  wait "$started" || ended=$?
  [ "$ended" -eq 130 ]
  assert_nothing_left "$server" "$(cat socket_dir)"
}

@test "TERM and HUP to the script alone are passed on" {
  draining_command
  for signal in TERM HUP; do
    rm -f ready drained signals
    start -- ./drain
    wait_for ready
    server=$(head -n 1 "$(server_pid_file)")
    kill -s "$signal" "$started"
    ended=0
    wait "$started" || ended=$?
    [ "$ended" -eq 9 ]
    [ "$(cat drained)" = 42 ]
    [ "$(cat signals)" = "$signal" ]
    assert_nothing_left "$server" "$(cat socket_dir)"
  done
}

@test "the status survives a signal to the whole group that arrives as the command ends" {
  for _ in 1 2 3 4 5 6; do
    start -- bash -c 'trap "" TERM; kill -s TERM 0; exit 9'
    ended=0
    wait "$started" || ended=$?
    [ "$ended" -eq 9 ]
  done
}

@test "the server of a killed run is stopped by the next run, which finds the data" {
  start -- bash -c 'psql -Xqc "CREATE TABLE kept AS SELECT 12 AS answer"; echo "$PGHOST" >socket_dir; touch ready; exec sleep 60'
  wait_for ready
  server=$(head -n 1 "$(server_pid_file)")
  kill -s KILL -- "-$started"
  wait "$started" || true
  alive "$server"
  run --separate-stderr "$harness" -- psql -AtXc 'SELECT answer FROM kept'
  [ "$status" -eq 0 ]
  [ "$output" = 12 ]
  [[ $stderr == *"left behind (pid $server)"* ]]
  assert_nothing_left "$server" "$(cat socket_dir)"
}

@test "the number of a dead server that another process of its user has now is no server" {
  "$harness" -- true
  data=$checkout/.run/postgres/cluster/data
  as_owner=()
  if ((EUID == 0)); then
    as_owner=(setpriv "--reuid=$(stat -c %u "$data")" --clear-groups)
  fi
  "${as_owner[@]}" sleep 60 3>&- &
  bystander=$!
  printf '%s\n' "$bystander" "$data" 1 5432 /tmp/rates-postgres.gone00 '' 1 ready >postmaster.pid
  install -m 600 -o "$(stat -c %U "$data")" postmaster.pid "$data/postmaster.pid"
  run --separate-stderr "$harness" -- psql -AtXc 'SELECT 13'
  echo "$stderr"
  kill "$bystander" # Fails if it was taken for the server and stopped.
  [ "$status" -eq 0 ]
  [ "$output" = 13 ]
}

@test "a second run on the same data is refused, and the first does not notice" {
  for options in '' --fast; do
    rm -f ready go answer
    start $options -- bash -c 'touch ready; until [ -e go ]; do sleep 0.1; done; psql -AtXc "SELECT 14" >answer'
    wait_for ready
    run --separate-stderr "$harness" $options -- echo ran
    [ "$status" -eq 75 ]
    [ -z "$output" ]
    [[ $stderr == *"(pid $started)"*"DATABASE_URL='postgres://"* ]]
    touch go
    wait "$started"
    [ "$(cat answer)" = 14 ]
  done
}

@test "two checkouts, two names, and --fast beside a kept one run at the same time" {
  start -- bash -c 'touch ready; until [ -e go ]; do sleep 0.1; done'
  wait_for ready
  run -0 "$harness" --fast -- true
  run -0 "$harness" --name other -- true
  new_checkout "$room/second"
  run -0 "$harness" -- true
  touch go
  wait "$started"
}

@test "a missing server: the command to install it, and status 69" {
  ((EUID == 0)) && as_other=(setpriv --reuid=65534 --regid=65534 --clear-groups) || as_other=()
  mkdir bin
  for program in bash dirname basename cat flock sha256sum stat mktemp rm id; do
    ln -s "$(command -v "$program")" bin/
  done
  printf '#!/bin/sh\nexit 1\n' >bin/apt-get
  cp bin/apt-get bin/sudo
  chmod +x bin/apt-get bin/sudo
  run --separate-stderr env PATH="$room/bin" PRIVATE_POSTGRES_PLACES="$room/nowhere/*:/nonexistent" \
    "${as_other[@]/#setpriv/$(command -v setpriv)}" "$harness" -- echo ran
  [ "$status" -eq 69 ]
  [ -z "$output" ]
  quoted=$(printf '%q' "$harness")
  [[ $stderr == *"sudo $quoted --install"* ]]
}

@test "of the installed servers the newest is taken, and none that is too old" {
  for version in 9 12 14 16; do
    mkdir -p "pg/$version/bin"
    printf '#!/bin/sh\necho "postgres (PostgreSQL) %s.1"\n' "$version" >"pg/$version/bin/postgres"
    # Shows which was taken, for there is no real server behind it.
    printf '#!/bin/sh\necho "initdb of %s"; exit 1\n' "$version" >"pg/$version/bin/initdb"
    printf '#!/bin/sh\nexit 3\n' >"pg/$version/bin/pg_ctl"
    chmod +x "pg/$version/bin"/*
  done
  printf '#!/bin/sh\nexit 1\n' >pg/12/bin/pg_config # This machine's knows a real server.
  chmod +x pg/12/bin/pg_config
  path=$(command -p getconf PATH)
  export PRIVATE_POSTGRES_PLACES="$room/pg/*/bin"
  PATH=$room/pg/12/bin:$path run "$harness" -- true
  [ "$status" -eq 70 ]
  [[ $output == *'initdb of 16'* ]]
  PATH=$room/pg/14/bin:$PATH run "$harness" -- true
  [[ $output == *'initdb of 14'* ]]
}

@test "a server that does not start shows its log, and status 70" {
  "$harness" -- true
  printf '9.6\n' >"$checkout/.run/postgres/cluster/data/PG_VERSION"
  run "$harness" -- echo ran
  [ "$status" -eq 70 ]
  [[ $output == *'not compatible'*'delete that directory'* ]]
}

@test "wrong usage gives 64, --help tells the options" {
  run -64 "$harness"
  run -64 "$harness" --fast --
  run -64 "$harness" --nonsense -- true
  run -64 "$harness" --name ../up -- true
  run -0 "$harness" --help
  [[ $output == *--fast*--name*--install* ]]
}

@test "root: the command stays root, the server does not, and no other user gets in" {
  ((EUID == 0)) || skip 'needs root'
  run --separate-stderr "$harness" -- bash -c '
    id -u
    stat -c %a "$PGHOST"
    setpriv --reuid=65534 --regid=65534 --clear-groups psql -AtXc "SELECT 1" 2>&1
    chmod 755 "$PGHOST"
    setpriv --reuid=65534 --regid=65534 --clear-groups psql -AtXc "SELECT 2" 2>&1
    stat -c %u "/proc/$(psql -AtXc "SELECT pg_read_file(\$\$postmaster.pid\$\$)" | head -n 1)"'
  [ "${lines[0]}" = 0 ]
  [ "${lines[1]}" = 700 ]
  [[ ${lines[2]} == *'Permission denied'* ]]
  [[ $output != *$'\n2\n'* ]]
  [ "${lines[-1]}" = "$(id -u postgres || id -u nobody)" ]
}

@test "root: a checkout that the server cannot reach has its data elsewhere, and it is kept" {
  ((EUID == 0)) || skip 'needs root'
  chmod 700 "$room"
  run --separate-stderr "$harness" -- psql -AtXqc 'CREATE TABLE kept AS SELECT 15 AS answer'
  elsewhere=$(sed -n 's/.*keeping the data in //p' <<<"$stderr")
  [[ $elsewhere == /var/tmp/rates-postgres-* ]]
  run --separate-stderr "$harness" -- psql -AtXc 'SELECT answer FROM kept'
  rm -rf "$elsewhere"
  [ "$output" = 15 ]
  # A directory that somebody else put there first is not used.
  install -d -o 65534 "$elsewhere"
  run "$harness" -- true
  rm -rf "$elsewhere"
  [ "$status" -eq 73 ]
}

@test "an ordinary user: same behaviour, in a checkout only they can enter" {
  ((EUID == 0)) || skip 'every other test is this one'
  as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
  chown -R 65534:65534 "$checkout"
  chmod 700 "$checkout"
  run --separate-stderr "${as_user[@]}" "$harness" -- bash -c 'id -u; psql "$DATABASE_URL" -AtXc "SELECT 16"; stat -c "%u %a" "$PGHOST"'
  [ "$status" -eq 0 ]
  [ "$output" = $'65534\n16\n65534 700' ]
  [ "$(stat -c %u "$checkout/.run/postgres/cluster/data")" -eq 65534 ]
  # Root, afterwards, leaves the data theirs.
  run -0 --separate-stderr "$harness" -- psql -AtXc 'SELECT 17'
  [ "$output" = 17 ]
  run -0 "${as_user[@]}" "$harness" -- true
}

@test "root's data is not an ordinary user's to use" {
  ((EUID == 0)) || skip 'needs root'
  "$harness" -- true
  run setpriv --reuid=65534 --regid=65534 --clear-groups "$harness" -- true
  [ "$status" -eq 73 ]
}
