#!/usr/bin/env bats
# Starts real servers: needs PostgreSQL and psql. Root tests more: that users are kept apart, and installing.

# Commands in single quotes are for the shells under test; `run` sets stderr.
# shellcheck disable=SC2016,SC2154

bats_require_minimum_version 1.5.0

setup() {
  unset DATABASE_URL PRIVATE_POSTGRES_BIN
  # Not bats' own directory, which only root may enter. The space and the quote are part of the test.
  room=$(mktemp -d "/tmp/private postgres' test.XXXXXX")
  chmod 755 "$room"
  new_checkout "$room/check out"
  cd "$room" || return
  as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
}

# Copies the script to a checkout of its own, $1, and makes that the current one.
new_checkout() {
  mkdir -p "$1/db"
  cp "$BATS_TEST_DIRNAME/../private_postgres.sh" "$1/db/"
  checkout=$1 script=$1/db/private_postgres.sh data=$1/.run/postgres/data
}

teardown() {
  [[ -z ${started:-} ]] || {
    kill -- "-$started" 2>/dev/null || true
    wait_for_started
  }
  rm -rf "$room"
}

# Starts the script in a process group of its own, as a terminal does; sets `started`. Its command writes the server's socket
# directory and process number to `ready`.
start() {
  rm -f ready
  # Without --default-signal it would inherit that a script's background job ignores INT.
  env --default-signal=INT setsid "$script" "$@" 2>stderr 3>&- &
  started=$!
  for _ in {1..300}; do
    [[ ! -s ready ]] || break
    sleep 0.1
  done
  read -r sockets server <ready || {
    cat stderr
    return 1
  }
}
write_ready='echo "$PGHOST $(psql -AtXc "select pg_read_file(\$\$postmaster.pid\$\$)" | head -n 1)" >new; mv new ready; '

wait_for_started() {
  ended=0
  for _ in {1..300}; do
    kill -0 "$started" 2>/dev/null || break
    sleep 0.1
  done
  kill -s KILL -- "-$started" 2>/dev/null || true
  wait "$started" || ended=$?
}

assert_nothing_left() {
  # A zombie is dead: in a container, process 1 may never collect it.
  [[ $(sed -n 's/^State:[[:space:]]*//p' "/proc/$server/status" 2>/dev/null) != [^Z]* ]]
  [ ! -e "$(dirname "$sockets")" ]
}

@test "the command gets a database by URL and by PG variables, its arguments, its input and its exit status" {
  run --separate-stderr bash -c 'echo input | "$0" -- bash -c '\''
    psql "$DATABASE_URL" -AtXc "select current_user, current_database()"
    psql -AtXc "select rolsuper from pg_roles where rolname = current_user"
    psql -AtXc "select pg_encoding_to_char(encoding), datcollate from pg_database where datname = current_database()"
    cat
    printf "<%s>" "$@"
    exit 7'\'' bash "two words" "" --fast' "$script"
  [ "$status" -eq 7 ]
  [ "$output" = $'rates|rates\nt\nUTF8|C.UTF-8\ninput\n<two words><><--fast>' ]
}

@test "the caller's PG variables reach neither the server nor the command" {
  PGPORT=1 PGDATA=/nonexistent PGOPTIONS='-c nonsense=1' run -0 --separate-stderr "$script" -- \
    bash -c 'psql -AtXc "select 1"; echo "${PGDATA-unset} $PGPORT"'
  [ "$output" = $'1\nunset 5432' ]
}

@test "a DATABASE_URL that is set is used, and no server is started; an empty one counts as none" {
  DATABASE_URL=postgres://elsewhere/x run -3 --separate-stderr "$script" -- bash -c 'echo "$DATABASE_URL"; exit 3'
  [ "$output" = postgres://elsewhere/x ]
  [[ $stderr == *'DATABASE_URL is set'* ]]
  [ ! -e "$checkout/.run" ]
  DATABASE_URL='' run -0 --separate-stderr "$script" -- bash -c 'echo "$DATABASE_URL"'
  [[ $output == postgres://rates@localhost/rates?host=/* ]]
}

@test "the server listens on no TCP port" {
  # The inodes of all listening (state 0A) TCP sockets, looked for among the server's files.
  start -- bash -c "$write_ready"'sleep 60'
  readlink "/proc/$server/fd/"* | sed -n 's/^socket:\[\(.*\)\]$/\1/p' >open
  [ -s open ]
  awk '$4 == "0A" { print $10 }' /proc/net/tcp /proc/net/tcp6 >listening
  run -1 grep -xFf listening open
}

@test "data is kept from run to run; --fast begins empty, does not touch it and leaves nothing" {
  "$script" -- psql -Xqc 'create table kept as select 11 as answer'
  for _ in 1 2; do
    run -0 --separate-stderr "$script" --fast -- psql -AtX -c 'show fsync' -c 'create table kept ()' -c '\! echo "$PGHOST"'
    [ "${lines[0]} ${lines[1]}" = 'off CREATE TABLE' ]
    [[ ${lines[2]} == */sockets && ! -e ${lines[2]%/sockets} ]]
  done
  run -0 --separate-stderr "$script" -- psql -AtX -c 'show fsync' -c 'table kept'
  [ "$output" = $'on\n11' ]
}

# Asks the database when it is told to stop, and ends with status 9.
draining='trap "echo INT >>signals" INT; trap "echo TERM >>signals" TERM
  while [[ ! -s signals ]]; do sleep 0.1; done; sleep 1; psql -AtXc "select 42" >drained; exit 9'

@test "Ctrl-C and TERM: the command drains with the server up, then all ends with its status" {
  for options in '' --fast; do
    for signal in INT TERM; do
      rm -f signals drained
      start $options -- bash -c "$write_ready$draining"
      # A terminal sends Ctrl-C to the whole group; a supervisor sends TERM to the script alone.
      [[ $signal == INT ]] && kill -s INT -- "-$started" || kill -s TERM "$started"
      wait_for_started
      [ "$ended" -eq 9 ]
      [ "$(cat drained)" = 42 ]
      [ "$(cat signals)" = "$signal" ]
      assert_nothing_left
    done
  done
}

@test "a second Ctrl-C while the server stops leaves nothing behind either" {
  start -- bash -c "$write_ready"'exec sleep 60'
  # Again and again: some arrive while the script cleans up.
  while kill -s INT -- "-$started" 2>/dev/null; do sleep 0.01; done
  wait_for_started
  [ "$ended" -eq 130 ]
  assert_nothing_left
}

@test "the status survives a signal to the whole group that arrives as the command ends" {
  for _ in {1..8}; do
    start --fast -- bash -c "$write_ready"'trap "" TERM; kill -s TERM 0; exit 9'
    wait_for_started
    [ "$ended" -eq 9 ]
    assert_nothing_left
  done
  run -127 "$script" --fast -- no-such-command
}

@test "a killed run leaves no server, and the next run finds its data" {
  start -- bash -c 'psql -Xqc "create table kept as select 12 as answer"; '"$write_ready"'exec sleep 60'
  kill -s KILL -- "-$started"
  wait_for_started
  run -0 --separate-stderr "$script" -- psql -AtXc 'select answer from kept'
  [ "$output" = 12 ]
  rm -rf "${sockets%/sockets}"
  assert_nothing_left
}

@test "the process number of a server that a power cut ended may be in use again" {
  "$script" -- true
  as_owner=()
  ((EUID != 0)) || as_owner=(setpriv "--reuid=$(stat -c %u "$data")" --clear-groups)
  "${as_owner[@]}" sleep 60 3>&- &
  bystander=$!
  printf '%s\n' "$bystander" "$data" 1 5432 /tmp/gone '' 1 ready >postmaster.pid
  install -m 600 -o "$(stat -c %U "$data")" postmaster.pid "$data/postmaster.pid"
  run -0 --separate-stderr "$script" -- psql -AtXc 'select 13'
  kill "$bystander" # Fails if it was taken for the server and stopped.
  [ "$output" = 13 ]
}

@test "a second run on the same data is refused; any other runs beside it" {
  start -- bash -c "$write_ready"'until [ -e go ]; do sleep 0.1; done; psql -AtXc "select 14" >answer'
  run -75 --separate-stderr "$script" -- echo ran
  [ -z "$output" ]
  [[ $stderr == *"another run uses"*"DATABASE_URL='postgres://rates@localhost/rates?host=$sockets'"* ]]
  # Each runs inside the one before.
  run -0 "$script" --fast -- env -u DATABASE_URL "$script" --fast -- true
  touch go
  wait "$started"
  [ "$(cat answer)" = 14 ]
}

# Runs a script where PostgreSQL is in none of the usual places, and an `apt-get` that brings it back.
without_postgres() { # SCRIPT
  ((EUID == 0)) || skip 'needs root'
  [[ -d /usr/lib/postgresql && -d /etc/postgresql-common ]] || skip 'needs the PostgreSQL of Debian'
  unshare --mount true 2>/dev/null || skip 'needs the right to mount'
  mkdir bin etc
  cp -r /etc/postgresql-common/. etc/
  cat >bin/apt-get <<'STUB'
#!/bin/bash
echo "$*" >>apt
[[ $* != *install* ]] || {
  pg_conftool /etc/postgresql-common/createcluster.conf show -bs create_main_cluster >>apt
  umount /usr/lib/postgresql
}
STUB
  printf '#!/bin/sh\nexit 1\n' >bin/sudo
  chmod +x bin/*
  run --separate-stderr env PATH="$room/bin:/usr/bin:/bin" unshare --mount bash -euc '
    mount --bind etc /etc/postgresql-common
    mount -t tmpfs none /usr/lib/postgresql
    '"$1" bash "$script"
}

@test "a missing PostgreSQL is installed without a system server, and nothing of that stays" {
  without_postgres '"$1" -- psql -AtXc "select 15"'
  echo "$stderr"
  [ "$status" -eq 0 ]
  [ "$output" = 15 ]
  [[ $(<apt) == update$'\n'*install*postgresql$'\n'off ]]
  run -1 grep -r create_main_cluster etc/createcluster.d
}

@test "a missing PostgreSQL that cannot be installed: status 69 and what to do" {
  without_postgres 'setpriv --reuid=65534 --regid=65534 --clear-groups "$1" -- echo ran'
  [ "$status" -eq 69 ]
  [ -z "$output" ]
  [[ $stderr == *"no PostgreSQL found"*"sudo -v"* ]]
  PRIVATE_POSTGRES_BIN=$room/bin run -69 "$script" -- echo ran
  [[ $output == *"PRIVATE_POSTGRES_BIN=$room/bin"* ]]
}

@test "of the installed servers the newest is taken, and PRIVATE_POSTGRES_BIN before it" {
  without_postgres '
    for version in 9 16 14; do
      mkdir -p "/usr/lib/postgresql/$version/bin"
      printf "#!/bin/sh\necho initdb of %s; exit 1\n" "$version" >"/usr/lib/postgresql/$version/bin/initdb"
      cp "/usr/lib/postgresql/$version/bin/"{initdb,postgres}
    done
    chmod +x /usr/lib/postgresql/*/bin/*
    "$1" -- true || PRIVATE_POSTGRES_BIN=/usr/lib/postgresql/9/bin "$1" -- true'
  [ "$status" -eq 70 ]
  [[ $stderr == *'initdb of 16'*'initdb of 9'* ]]
}

@test "a server that does not start shows its log, and status 70" {
  "$script" -- true
  printf '9.6\n' >"$data/PG_VERSION"
  run -70 "$script" -- echo ran
  [[ $output == *'not compatible'*'delete it'* ]]
}

@test "wrong usage gives 64, --help tells the options" {
  run -64 "$script"
  run -64 "$script" --fast --
  run -64 "$script" --nonsense -- true
  run -0 "$script" --help
  [[ $output == *--fast* ]]
}

@test "root: the command stays root, the server does not, and no other user gets in" {
  ((EUID == 0)) || skip 'needs root'
  start -- bash -c "$write_ready"'id -u >id; sleep 60'
  [ "$(cat id)" = 0 ]
  [ "$(stat -c %U "/proc/$server")" = postgres ]
  [ "$(stat -c %a "$sockets")" = 700 ]
  run -2 "${as_nobody[@]}" psql -h "$sockets" -U rates -AtXc 'select 1'
  chmod 755 "$sockets"
  run -2 "${as_nobody[@]}" psql -h "$sockets" -U rates -AtXc 'select 1'
}

@test "root: a checkout that the server's user cannot enter has its data elsewhere, and it is kept" {
  ((EUID == 0)) || skip 'needs root'
  chmod 700 "$room"
  run -0 --separate-stderr "$script" -- psql -AtXqc 'create table kept as select 16 as answer'
  elsewhere=$(sed -n 's/.*the data is kept in //p' <<<"$stderr")
  [[ $elsewhere == ~postgres/rates-* ]]
  run --separate-stderr "$script" -- psql -AtXc 'select answer from kept'
  rm -rf "$elsewhere"
  [ "$output" = 16 ]
}

@test "an ordinary user, in a checkout only they can enter; root leaves the data theirs" {
  ((EUID == 0)) || skip 'every other test is this one'
  chown -R 65534:65534 "$checkout"
  chmod 700 "$checkout"
  run -0 --separate-stderr "${as_nobody[@]}" "$script" -- bash -c '
    id -u; psql -AtXc "create table kept as select 17 as answer"; stat -c "%u %a" "$PGHOST"'
  [ "$output" = $'65534\nSELECT 1\n65534 700' ]
  run -0 --separate-stderr "$script" -- psql -AtXc 'update kept set answer = 18 returning answer'
  [ "${lines[0]}" = 18 ]
  run -0 --separate-stderr "${as_nobody[@]}" "$script" -- psql -AtXc 'select answer from kept'
  [ "$output" = 18 ]
}

@test "root's data is not an ordinary user's to use" {
  ((EUID == 0)) || skip 'needs root'
  "$script" -- true
  run -73 "${as_nobody[@]}" "$script" -- true
}
