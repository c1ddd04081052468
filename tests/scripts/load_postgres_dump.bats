#!/usr/bin/env bats
# load_postgres_dump.sh against a PostgreSQL server of its own, over TCP with passwords and TLS.

# `load_small` takes options where a test wants some; programs written by printf expand their variables themselves.
# shellcheck disable=SC2119,SC2120,SC2016

bats_require_minimum_version 1.5.0

# Everything that could be mistaken in a URL, a connection string or a shell.
PASSWORD='p@ss:w/o rd%27"$é'

as_server() {
  if [[ $(id -u) == 0 ]]; then
    runuser -u postgres -- "$@"
  else
    "$@"
  fi
}

setup_file() {
  export REPOSITORY DIRECTORY PGPORT SCRIPT
  REPOSITORY=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
  SCRIPT=$REPOSITORY/load_postgres_dump.sh
  local programs
  programs=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
  PATH=${programs:+$programs:}$PATH
  [[ -x $REPOSITORY/target/release/rates || -x $REPOSITORY/target/debug/rates ]] || {
    echo "build the program first: cargo build" >&2
    return 1
  }
  DIRECTORY=$(mktemp -d /tmp/scripts.XXXXXX)
  chmod 0755 "$DIRECTORY"
  printf %s "$PASSWORD" >"$DIRECTORY/password"
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
    -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
    -keyout "$DIRECTORY/server.key" -out "$DIRECTORY/server.crt" 2>/dev/null
  mkdir "$DIRECTORY/sockets"
  chmod 0644 "$DIRECTORY/password"
  chmod 0600 "$DIRECTORY/server.key"
  mkdir "$DIRECTORY/data"
  [[ $(id -u) != 0 ]] || chown -R postgres "$DIRECTORY"/{server.key,sockets,data}
  as_server initdb --pgdata "$DIRECTORY/data" --auth scram-sha-256 --username owner --pwfile "$DIRECTORY/password" \
    --encoding UTF8 --locale C --no-sync >/dev/null
  PGPORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  as_server pg_ctl --pgdata "$DIRECTORY/data" --wait --silent --log "$DIRECTORY/data/log" --options \
    "-c listen_addresses=127.0.0.1 -p $PGPORT -c unix_socket_directories=$DIRECTORY/sockets -c fsync=off -c ssl=on \
    -c ssl_cert_file=$DIRECTORY/server.crt -c ssl_key_file=$DIRECTORY/server.key" start
  {
    cat <<'SQL'
COPY public.regions (slug, name, parent_slug) FROM stdin;
china	China	\N
\.
COPY public.ports (code, name, parent_slug) FROM stdin;
CNSGH	Shanghai	china
CNYTN	Yantian	china
\.
COPY public.prices (orig_code, dest_code, day, price) FROM stdin;
CNSGH	CNYTN	2021-01-01	100
CNSGH	CNYTN	2021-01-02	200
\.
SQL
  } >"$DIRECTORY/small.sql"
}

teardown_file() {
  [[ ! -d $DIRECTORY/data/base ]] || as_server pg_ctl --pgdata "$DIRECTORY/data" --mode immediate --silent stop
  rm -rf "$DIRECTORY"
}

setup() {
  export PGPASSWORD=$PASSWORD
  database=db$BATS_TEST_NUMBER
  here=(127.0.0.1 "$PGPORT" owner)
}

# Runs a statement without the script and its variables. On standard input: it may contain a password.
ask() { # DATABASE STATEMENT
  PGPASSWORD=$PASSWORD psql -X -q -A -t -h 127.0.0.1 -U owner -d "$1" <<<"$2"
}

prices_in() { ask "$1" 'select count(*) || $$ $$ || sum(price) from prices'; }

contains() { # TEXT
  [[ $output == *"$1"* ]] || {
    printf 'not in the output: %s\n%s\n' "$1" "$output" >&2
    return 1
  }
}

lacks() { # TEXT
  [[ $output != *"$1"* ]] || {
    printf 'should not be in the output: %s\n%s\n' "$1" "$output" >&2
    return 1
  }
}

load_small() { "$SCRIPT" "$@" "${here[@]}" "$database" "$DIRECTORY/small.sql"; }

@test "makes the database, loads the sample, verifies it and prints counts" {
  run "$SCRIPT" "${here[@]}" "$database"
  [ "$status" -eq 0 ] || contains nothing
  contains "created the database $database"
  contains "daily_rates and monthly_statistics equal the raw prices"
  expected=$(sed -n '/^COPY public.prices /,/^\\\.$/p' "$REPOSITORY/db/rates.sql" | grep -c $'^[A-Z]\{5\}\t')
  contains "47 regions, 120 ports, $expected prices on "
  lacks "$PASSWORD"
  [ "$(ask "$database" 'select count(*) from prices')" = "$expected" ]
  [ "$(ask "$database" "select reltuples from pg_class where relname = 'prices'")" = "$expected" ]
}

@test "the order of the original hook works, with a warning that does not repeat the password" {
  unset PGPASSWORD
  run "$SCRIPT" "${here[@]}" "$PASSWORD" "$database"
  [ "$status" -eq 0 ]
  contains "warning: other users can read PASSWORD"
  lacks "$PASSWORD"
}

@test "six arguments are the original order and a dump" {
  unset PGPASSWORD
  run "$SCRIPT" "${here[@]}" "$PASSWORD" "$database" "$DIRECTORY/small.sql"
  [ "$status" -eq 0 ]
  [ "$(prices_in "$database")" = "2 300" ]
}

@test "a database that holds prices is refused and stays as it is" {
  load_small
  sed 's/\t100$/\t999/' "$DIRECTORY/small.sql" >"$BATS_TEST_TMPDIR/other.sql"
  run "$SCRIPT" "${here[@]}" "$database" "$BATS_TEST_TMPDIR/other.sql"
  [ "$status" -ne 0 ]
  contains "already holds prices"
  contains "to replace its prices, use --replace"
  [ "$(prices_in "$database")" = "2 300" ]
}

@test "--replace puts the dump in the place of the prices" {
  load_small
  sed 's/\t100$/\t999/' "$DIRECTORY/small.sql" >"$BATS_TEST_TMPDIR/other.sql"
  run "$SCRIPT" --replace "${here[@]}" "$database" "$BATS_TEST_TMPDIR/other.sql"
  [ "$status" -eq 0 ]
  [ "$(prices_in "$database")" = "2 1199" ]
}

@test "a replacement that fails in its last line leaves the old prices" {
  load_small
  sed 's/\t200$/\ttwo hundred/' "$DIRECTORY/small.sql" >"$BATS_TEST_TMPDIR/broken.sql"
  run "$SCRIPT" --replace "${here[@]}" "$database" "$BATS_TEST_TMPDIR/broken.sql"
  [ "$status" -ne 0 ]
  contains "nothing was loaded"
  lacks "use --replace"
  [ "$(prices_in "$database")" = "2 300" ]
}

@test "a dump that was cut off loads nothing" {
  head -n -1 "$DIRECTORY/small.sql" >"$BATS_TEST_TMPDIR/cut.sql"
  run "$SCRIPT" "${here[@]}" "$database" "$BATS_TEST_TMPDIR/cut.sql"
  [ "$status" -ne 0 ]
  contains "nothing was loaded"
  lacks "--replace"
  [ "$(ask "$database" 'select count(*) from prices')" = 0 ]
}

@test "plain, gzipped and custom-format dumps of pg_dump give the same rows" {
  load_small
  dump=$BATS_TEST_TMPDIR/dump
  PGPASSWORD=$PASSWORD pg_dump -h 127.0.0.1 -U owner -f "$dump.sql" "$database"
  PGPASSWORD=$PASSWORD pg_dump -h 127.0.0.1 -U owner -Fc -f "$dump.custom" "$database"
  gzip -k "$dump.sql"
  for kind in sql sql.gz custom; do
    run "$SCRIPT" "${here[@]}" "${database}_${kind/./_}" "$dump.$kind"
    [ "$status" -eq 0 ] || contains "$kind to load"
    [ "$(prices_in "${database}_${kind/./_}")" = "2 300" ]
  done
}

@test "a custom-format dump that was cut off loads nothing" {
  "$SCRIPT" "${here[@]}" "$database"
  PGPASSWORD=$PASSWORD pg_dump -h 127.0.0.1 -U owner -Fc -f "$BATS_TEST_TMPDIR/whole" "$database"
  head -c 100000 "$BATS_TEST_TMPDIR/whole" >"$BATS_TEST_TMPDIR/cut.custom"
  run "$SCRIPT" "${here[@]}" "${database}_cut" "$BATS_TEST_TMPDIR/cut.custom"
  [ "$status" -ne 0 ]
  contains "nothing was loaded"
  [ "$(ask "${database}_cut" 'select count(*) from prices')" = 0 ]
}

@test "the password comes from standard input" {
  unset PGPASSWORD
  run "$SCRIPT" --password-stdin "${here[@]}" "$database" "$DIRECTORY/small.sql" <<<"$PASSWORD"
  [ "$status" -eq 0 ]
  run "$SCRIPT" --password-stdin "${here[@]}" "$database" "$DIRECTORY/small.sql" </dev/null
  [ "$status" -ne 0 ]
  contains "standard input contains no password"
}

@test "the password comes from a password file" {
  unset PGPASSWORD
  export PGPASSFILE=$BATS_TEST_TMPDIR/pgpass
  printf '127.0.0.1:*:*:owner:%s\n' "${PASSWORD//:/\\:}" >"$PGPASSFILE"
  chmod 0600 "$PGPASSFILE"
  run "$SCRIPT" "${here[@]}" "$database" "$DIRECTORY/small.sql"
  [ "$status" -eq 0 ] || contains success
}

@test "a wrong password is refused and not repeated" {
  PGPASSWORD=hush-hush run "$SCRIPT" "${here[@]}" "$database" "$DIRECTORY/small.sql"
  [ "$status" -ne 0 ]
  contains "cannot connect to $database on 127.0.0.1:$PGPORT as owner"
  lacks hush-hush
}

@test "no program is given the password as an argument" {
  mkdir "$BATS_TEST_TMPDIR/bin"
  for program in psql createdb rates; do
    real=$(command -v "$program" || find "$REPOSITORY"/target/*/ -maxdepth 1 -name rates -type f | head -n 1)
    printf '#!/bin/sh\necho "%s $*" >>%q\nexec %q "$@"\n' "$program" "$BATS_TEST_TMPDIR/calls" "$real" \
      >"$BATS_TEST_TMPDIR/bin/$program"
  done
  chmod +x "$BATS_TEST_TMPDIR/bin"/*
  PATH=$BATS_TEST_TMPDIR/bin:$PATH run "$SCRIPT" "${here[@]}" "$PASSWORD" "$database" "$DIRECTORY/small.sql"
  [ "$status" -eq 0 ]
  output=$(<"$BATS_TEST_TMPDIR/calls")
  contains "rates load"
  contains createdb
  lacks 'p@ss'
}

@test "names of users and databases may hold anything" {
  ask postgres "create role \"o'w@n:e/r é\" superuser login password 'x'"
  odd='rates?a=b%20/ü#"'
  PGPASSWORD=x run "$SCRIPT" 127.0.0.1 "$PGPORT" "o'w@n:e/r é" "$odd" "$DIRECTORY/small.sql"
  [ "$status" -eq 0 ] || contains success
  [ "$(ask 'dbname='"'$odd'" 'select count(*) from prices')" = 2 ]
}

@test "HOST may be the directory of a unix socket" {
  run "$SCRIPT" "$DIRECTORY/sockets" "$PGPORT" owner "$database" "$DIRECTORY/small.sql"
  [ "$status" -eq 0 ] || contains success
}

@test "PGSSLMODE holds for every connection: who is not trusted is refused, who is is not" {
  export PGSSLMODE=verify-full PGSSLROOTCERT=$DIRECTORY/server.crt
  load_small
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=IP:127.0.0.1 \
    -keyout /dev/null -out "$BATS_TEST_TMPDIR/other.crt" 2>/dev/null
  PGSSLROOTCERT=$BATS_TEST_TMPDIR/other.crt run load_small --replace
  [ "$status" -ne 0 ]
  contains certificate
  # The service's own settings must not soften it.
  mkdir "$BATS_TEST_TMPDIR/bin"
  printf '#!/bin/sh\nexit 0\n' | tee "$BATS_TEST_TMPDIR/bin/psql" >"$BATS_TEST_TMPDIR/bin/createdb"
  chmod +x "$BATS_TEST_TMPDIR/bin"/*
  PATH=$BATS_TEST_TMPDIR/bin:$PATH RATES__DATABASE__TLS_MODE=disable PGSSLROOTCERT=$BATS_TEST_TMPDIR/other.crt \
    run load_small --replace
  [ "$status" -ne 0 ]
  contains certificate
}

@test "makes the role for the service, which may change prices and not the schema" {
  DB_APP_USER=app DB_APP_PASSWORD=app-password load_small
  PGPASSWORD=app-password run psql -X -A -t -h 127.0.0.1 -U app -d "$database" -c 'select count(*) from prices'
  [ "$status" -eq 0 ]
  [ "$output" = 2 ]
  for forbidden in 'drop table prices' 'truncate prices' 'delete from regions' 'create table public.mine ()'; do
    PGPASSWORD=app-password run psql -X -h 127.0.0.1 -U app -d "$database" -c "$forbidden"
    [ "$status" -ne 0 ] || break
  done
  [ "$status" -ne 0 ]
}

@test "a user who may not make databases is told so, by the server's own words" {
  ask postgres "create role guest login password 'x'"
  PGPASSWORD=x run "$SCRIPT" 127.0.0.1 "$PGPORT" guest "$database" "$DIRECTORY/small.sql"
  [ "$status" -ne 0 ]
  contains "as guest, or create it"
  contains "\"$database\" does not exist"
}

@test "a server that is not there is named" {
  run "$SCRIPT" 127.0.0.1 1 owner "$database" "$DIRECTORY/small.sql"
  [ "$status" -ne 0 ]
  contains "cannot connect to $database on 127.0.0.1:1"
}

@test "a rollup that is wrong is not passed over" {
  mkdir "$BATS_TEST_TMPDIR/bin"
  printf '#!/bin/sh\n[ "$1" != verify ]\n' >"$BATS_TEST_TMPDIR/bin/rates"
  chmod +x "$BATS_TEST_TMPDIR/bin/rates"
  PATH=$BATS_TEST_TMPDIR/bin:$PATH run load_small
  [ "$status" -ne 0 ]
  contains "rates rebuild"
}

@test "wrong arguments are named and nothing is done" {
  while IFS='|' read -r arguments message; do
    # shellcheck disable=SC2086 # words
    run "$SCRIPT" $arguments </dev/null
    [ "$status" -ne 0 ] || contains "a refusal of: $arguments"
    contains "$message"
  done <<'CASES'
|expected four to six arguments, not 0
localhost 5432 owner|four to six arguments, not 3
localhost 5432 owner a b c d|four to six arguments, not 7
localhost port owner db|PORT must be a number, not port
--force localhost 5432 owner db|unknown option --force
localhost 5432 owner db nowhere.sql|cannot read the dump nowhere.sql
localhost 5432 owner secret db nowhere|cannot read the dump nowhere
--password-stdin localhost 5432 owner secret db|give the password only once
CASES
}

@test "--help tells what there is" {
  run "$SCRIPT" --help
  [ "$status" -eq 0 ]
  contains "HOST PORT USER [PASSWORD] DATABASE [DUMP]"
}

@test "missing programs are named before anything is done" {
  bin=$BATS_TEST_TMPDIR/bin
  mkdir "$bin"
  for program in bash env dirname head tr; do ln -s "$(command -v "$program")" "$bin/$program"; done
  # A copy, so that there is no target/ beside it.
  cp "$SCRIPT" "$BATS_TEST_TMPDIR/script.sh"
  arguments=("${here[@]}" "$database" "$DIRECTORY/small.sql")
  PATH=$bin run "$BATS_TEST_TMPDIR/script.sh" "${arguments[@]}"
  [ "$status" -ne 0 ]
  contains "needs psql"
  ln -s "$(command -v psql)" "$(command -v createdb)" "$bin"
  PATH=$bin run "$BATS_TEST_TMPDIR/script.sh" "${arguments[@]}"
  [ "$status" -ne 0 ]
  contains "needs the rates binary"
  PATH=$bin RATES_IMAGE=image run "$BATS_TEST_TMPDIR/script.sh" "${arguments[@]}"
  [ "$status" -ne 0 ]
  contains "needs docker"
  printf PGDMP >"$BATS_TEST_TMPDIR/custom.dump"
  PATH=$bin run "$BATS_TEST_TMPDIR/script.sh" "${here[@]}" "$database" "$BATS_TEST_TMPDIR/custom.dump"
  [ "$status" -ne 0 ]
  contains "needs pg_restore"
}

@test "leaves no file behind" {
  mkdir "$BATS_TEST_TMPDIR/tmp"
  export TMPDIR=$BATS_TEST_TMPDIR/tmp
  load_small
  run load_small
  [ "$status" -ne 0 ]
  [ -z "$(ls -A "$TMPDIR")" ]
}
