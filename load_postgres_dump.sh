#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: load_postgres_dump.sh [options] HOST PORT USER [PASSWORD] DATABASE [DUMP]

Creates the database if it does not exist, migrates its schema, loads the dump and verifies the result. Loads all rows
or none. Rejects a database that already contains prices, unless --replace is given.

  HOST              host name, address, or directory of a Unix socket
  PASSWORD          better omitted: other users of this machine can read it in the process list. Without it, the password
                    is that of PGPASSWORD or of a password file (PGPASSFILE, ~/.pgpass)
  DUMP              pg_dump output with the tables regions, ports and prices: plain, gzipped or in custom format
                    (default: db/rates.sql). The last of five arguments is DUMP if it contains a dot or a slash, else
                    DATABASE
  --replace         replace the existing prices in one step; readers see the old prices until it has succeeded
  --password-stdin  read the password from standard input
  -h, --help        print this text

Set TLS with PGSSLMODE (default: prefer; or disable, require, verify-ca, verify-full) and PGSSLROOTCERT. If DB_APP_USER
and DB_APP_PASSWORD are set, the service's login role is created, too. The script runs the `rates` binary from the PATH,
else from target/, else from the image RATES_IMAGE.
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
    -*) wrong_usage "unknown option $1; put arguments that begin with a hyphen after --" ;;
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
  *) wrong_usage "expected four to six arguments, not ${#arguments[@]}" ;;
esac
host=${arguments[0]} port=${arguments[1]} user=${arguments[2]}
[[ -n $host && -n $user && -n $database ]] || wrong_usage "HOST, USER and DATABASE must not be empty"
[[ $port =~ ^[0-9]{1,5}$ ]] || wrong_usage "PORT must be a number, not $port"
[[ -f $dump && -r $dump ]] || die "cannot read the dump $dump"
if [[ -n $password ]]; then
  [[ -z $password_stdin ]] || wrong_usage "give the password only once: as PASSWORD or on standard input"
  say "load_postgres_dump.sh: warning: other users can read PASSWORD in the process list; set PGPASSWORD instead"
  PGPASSWORD=$password
elif [[ -n $password_stdin ]]; then
  IFS= read -r PGPASSWORD || [[ -n $PGPASSWORD ]] || die "standard input contains no password"
fi

for program in psql createdb; do
  command -v "$program" >/dev/null || die "needs $program, which is not on the PATH (Debian: postgresql-client)"
done
# Only five bytes: those after them may be NUL, which a shell variable cannot contain.
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
    die "needs the rates binary: build it (cargo build --release), or set RATES_IMAGE to an image that contains it"
  command -v docker >/dev/null || die "RATES_IMAGE needs docker, which is not on the PATH"
fi

export PGHOST=$host PGPORT=$port PGUSER=$user PGDATABASE=$database
# These would override the variables above.
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

# The URL contains no password: that comes from PGPASSWORD or the password file. It sets TLS explicitly, so that other
# settings of the service cannot override it.
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
  # The host's network, so that HOST means the same as here; this user, so that the files are readable.
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
  # Try to create it instead of looking for "does not exist": the server's messages may be in another language.
  createdb --no-password --maintenance-db=postgres -- "$database" 2>/dev/null ||
    die "cannot connect to $where as $user, or create it: $refusal"
  say "created the database $where"
fi
run_rates migrate || die "cannot migrate the schema of $where; no prices were changed"
say "loading $dump into $where"
load || {
  advice=''
  [[ ${#replace[@]} -gt 0 || $(psql -X -w -q -A -t -c 'select exists (select from prices)' 2>/dev/null) != t ]] ||
    advice='; to replace its prices, use --replace'
  die "nothing was loaded into $where$advice"
}
run_rates verify || die "the rollup of $where differs from its prices; correct it with: rates rebuild"
psql -X -w -q -A -t -v ON_ERROR_STOP=1 -c "
  select format('%s regions, %s ports, %s prices on %s days from %s to %s',
    (select count(*) from regions), (select count(*) from ports), count(*), count(distinct day), min(day), max(day))
  from prices"
say "loaded and verified in $SECONDS s"
