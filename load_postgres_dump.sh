#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: load_postgres_dump.sh [options] HOST PORT USER [PASSWORD] DATABASE [DUMP]

Makes the database if it is missing, brings its schema up to date, loads the dump, and checks the result. All rows go
in, or none; a database that already holds prices is refused.

  HOST              a name, an address, or the directory of a unix socket
  PASSWORD          better not: other users of this machine can read it in the list of processes. Without it the
                    password is taken from PGPASSWORD, or from a password file (PGPASSFILE, ~/.pgpass)
  DUMP              what pg_dump wrote, plain, gzipped or in custom format, with tables regions, ports and prices
                    (db/rates.sql). Five arguments end in a DUMP if the last one has a dot or a slash in it
  --replace         put the dump in the place of the prices that are there, in one step; readers see the old ones until
                    it ends, and keep them if it fails
  --password-stdin  read the password from standard input
  -h, --help        this text

TLS is by PGSSLMODE (prefer; disable, require, verify-ca, verify-full) and PGSSLROOTCERT. With DB_APP_USER and
DB_APP_PASSWORD the login role for the service is made, too. The work is done by `rates`: the one on the PATH, else the
one in target/, else in the image RATES_IMAGE.
USAGE
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
say() { printf '%s\n' "$*" >&2; }
die() {
  say "load_postgres_dump.sh: $*"
  exit 1
}
wrong_usage() {
  say "load_postgres_dump.sh: $*"
  usage >&2
  exit 64
}

replace=() password_stdin='' arguments=()
while (($#)); do
  case $1 in
    -h | --help)
      usage
      exit 0
      ;;
    --replace) replace=(--replace) ;;
    --password-stdin) password_stdin=yes ;;
    --)
      shift
      arguments+=("$@")
      break
      ;;
    -*) wrong_usage "unknown option $1; arguments that begin with a hyphen go behind --" ;;
    *) arguments+=("$1") ;;
  esac
  shift
done

dump=$here/db/rates.sql password=''
case ${#arguments[@]} in
  4) database=${arguments[3]} ;;
  5)
    if [[ ${arguments[4]} == *[./]* ]]; then
      database=${arguments[3]} dump=${arguments[4]}
    else
      password=${arguments[3]} database=${arguments[4]}
    fi
    ;;
  6) password=${arguments[3]} database=${arguments[4]} dump=${arguments[5]} ;;
  *) wrong_usage "four to six arguments, not ${#arguments[@]}" ;;
esac
host=${arguments[0]} port=${arguments[1]} user=${arguments[2]}
[[ -n $host && -n $user && -n $database ]] || wrong_usage "HOST, USER and DATABASE must not be empty"
[[ $port =~ ^[0-9]{1,5}$ ]] || wrong_usage "PORT is a number, not $port"
[[ -f $dump && -r $dump ]] || die "cannot read the dump $dump"
if [[ -n $password ]]; then
  [[ -z $password_stdin ]] || wrong_usage "one password: as PASSWORD or on standard input"
  say "load_postgres_dump.sh: warning: others can read a PASSWORD in the list of processes; set PGPASSWORD instead"
  PGPASSWORD=$password
elif [[ -n $password_stdin ]]; then
  IFS= read -r PGPASSWORD || [[ -n $PGPASSWORD ]] || die "no password on standard input"
fi

for program in psql createdb; do
  command -v "$program" >/dev/null || die "needs $program, which is not on the PATH (Debian: postgresql-client)"
done
# `head` stops before zeros, which a variable cannot hold.
custom=''
[[ $(head -c 5 "$dump") != PGDMP ]] || custom=yes
if [[ -n $custom ]]; then
  command -v pg_restore >/dev/null ||
    die "a dump in custom format needs pg_restore, which is not on the PATH (Debian: postgresql-client)"
fi
rates=''
for candidate in "$(command -v rates || true)" "$here/target/release/rates" "$here/target/debug/rates"; do
  if [[ -x $candidate ]]; then
    rates=$candidate
    break
  fi
done
if [[ -z $rates ]]; then
  [[ -n ${RATES_IMAGE-} ]] ||
    die "needs the program rates: build it (cargo build --release), or name an image that holds it in RATES_IMAGE"
  command -v docker >/dev/null || die "RATES_IMAGE needs docker, which is not on the PATH"
fi

export PGHOST=$host PGPORT=$port PGUSER=$user PGDATABASE=$database
# A service of the caller would win over these.
unset PGSERVICE PGHOSTADDR
export PGCONNECT_TIMEOUT=${PGCONNECT_TIMEOUT:-10} PGAPPNAME=load_postgres_dump
[[ -z ${PGPASSWORD+set} ]] || export PGPASSWORD

percent_encoded() {
  local LC_ALL=C text=$1 result='' character i
  for ((i = 0; i < ${#text}; i++)); do
    character=${text:i:1}
    [[ $character == [A-Za-z0-9.~_-] ]] || printf -v character '%%%02X' "$(($(printf '%d' "'$character") & 255))"
    result+=$character
  done
  printf %s "$result"
}

# The password travels beside the URL, in PGPASSWORD or the password file; TLS is in it, so that it holds whatever
# settings of the service are around.
address=$(percent_encoded "$host")
[[ $host != *:* ]] || address="[$host]"
DATABASE_URL="postgres://$(percent_encoded "$user")@$address:$port/$(percent_encoded "$database")"
DATABASE_URL+="?sslmode=${PGSSLMODE:-prefer}"
export DATABASE_URL

run_rates() {
  if [[ -n $rates ]]; then
    "$rates" "$@"
    return
  fi
  # The network of this machine, because HOST means what it means here; this user, because files are his to read.
  local options=(--rm --interactive --network host --user "$(id -u):$(id -g)" --env DATABASE_URL)
  local name
  for name in PGPASSWORD DB_APP_USER DB_APP_PASSWORD; do
    [[ -z ${!name-} ]] || options+=(--env "$name")
  done
  local passwords=${PGPASSFILE:-$HOME/.pgpass}
  [[ ! -f $passwords ]] || options+=(--env PGPASSFILE=/pgpass --volume "$(realpath "$passwords"):/pgpass:ro")
  [[ -z ${PGSSLROOTCERT-} ]] ||
    options+=(--env PGSSLROOTCERT=/root.pem --volume "$(realpath "$PGSSLROOTCERT"):/root.pem:ro")
  [[ $host != /* ]] || options+=(--volume "$host:$host")
  docker run "${options[@]}" "$RATES_IMAGE" "$@"
}

load() {
  if [[ -n $custom ]]; then
    pg_restore --file=- -- "$dump" | run_rates load "${replace[@]}" -
  elif [[ -n $rates ]]; then
    run_rates load "${replace[@]}" "$dump"
  else
    run_rates load "${replace[@]}" - <"$dump"
  fi
}

where="$database on $host:$port"
SECONDS=0
if ! refusal=$(psql -X -w -q -c 'select' 2>&1 >/dev/null); then
  # Whether it is only missing is for the server to say: its messages come in its own language.
  createdb --no-password --maintenance-db=postgres -- "$database" 2>/dev/null ||
    die "cannot connect to $where as $user, nor make it: $refusal"
  say "made the database $where"
fi
run_rates migrate || die "the schema of $where could not be brought up to date; no prices were touched"
say "loading $dump into $where"
load || die "nothing was loaded into $where; to put the dump in the place of prices that are there, give --replace"
run_rates verify || die "the rollup of $where differs from its prices; correct it with: rates rebuild"
psql -X -w -q -A -t -v ON_ERROR_STOP=1 -c "
  select format('%s regions, %s ports, %s prices on %s days from %s to %s',
    (select count(*) from regions), (select count(*) from ports), count(*), count(distinct day), min(day), max(day))
  from prices"
say "loaded and verified in $SECONDS s"
