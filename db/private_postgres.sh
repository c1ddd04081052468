#!/usr/bin/env bash
# Runs a command with a private PostgreSQL server. See --help.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: db/private_postgres.sh [--fast] [--] COMMAND [ARG...]

Starts a PostgreSQL server, runs COMMAND with DATABASE_URL pointing at it, and stops the server when COMMAND ends. The
server listens on no TCP port, only on a Unix socket that no other user can reach. Its data is kept in .run/postgres.

--fast starts a temporary server for tests: empty at the start, deleted at the end, and with fsync off, so a power cut
can lose data. Any number of them can run at the same time.

If DATABASE_URL is already set, COMMAND runs with it, and no server is started. Otherwise COMMAND also gets PGHOST, PGPORT,
PGUSER (a superuser) and PGDATABASE; the caller's other PG* variables are removed.

The server's programs are those in PRIVATE_POSTGRES_BIN, or beside `postgres` on the PATH, or the newest in
/usr/lib/postgresql. If there are none, apt-get installs them, without creating a system server. That needs root, or sudo
without a password. For root, the server runs as the user postgres. If that user cannot enter the checkout, the data
is kept in that user's home directory.

Exit status: that of COMMAND, or 64 (wrong usage), 69 (no PostgreSQL), 70 (the server does not start), 73 (the data belongs
to another user), 75 (another run uses the data).
USAGE
}

say() { printf 'private_postgres: %s\n' "$*" >&2; }

die() { # STATUS MESSAGE
  say "$2"
  exit "$1"
}

# Sets `bin`, the directory of the server's programs: past links, since not all programs may be linked.
find_postgres() {
  local postgres=${PRIVATE_POSTGRES_BIN:+$PRIVATE_POSTGRES_BIN/postgres}
  [[ -n $postgres ]] || postgres=$(command -v postgres || compgen -G '/usr/lib/postgresql/*/bin/postgres' | sort -V | tail -n 1)
  [[ -n $postgres ]] && bin=$(dirname -- "$(readlink -f -- "$postgres")") && [[ -x $bin/initdb ]]
}

# Debian's package would create a system server and start it on port 5432.
install_postgres() {
  local as_root=() no_server=/etc/postgresql-common/createcluster.d/private.conf
  ((EUID == 0)) || as_root=(sudo -n)
  [[ -z ${PRIVATE_POSTGRES_BIN:-} ]] || die 69 "there is no PostgreSQL server in PRIVATE_POSTGRES_BIN=$PRIVATE_POSTGRES_BIN"
  command -v apt-get >/dev/null || die 69 'no PostgreSQL found. Install it, or set PRIVATE_POSTGRES_BIN.'
  "${as_root[@]}" true 2>/dev/null || die 69 "no PostgreSQL found. To let this script install it, run 'sudo -v' and try again."
  say 'installing PostgreSQL (no system server is created)'
  "${as_root[@]}" bash -euc "trap 'rm -f $no_server' EXIT
    mkdir -p ${no_server%/*}
    echo 'create_main_cluster = false' >$no_server
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install -y -o DPkg::Lock::Timeout=120 --no-install-recommends postgresql" </dev/null >&2 ||
    true
  find_postgres || die 69 'PostgreSQL could not be installed.'
}

# Sets `owner`, the server's user, and `as_owner`, the prefix that runs a program as that user.
choose_owner() {
  owner=$(stat -c %u:%g -- "$state") as_owner=()
  ((EUID == 0)) || return 0
  # PostgreSQL refuses to run as root. Data of an ordinary user stays theirs.
  [[ $owner != 0:* ]] || owner=$(id -u postgres):$(id -g postgres)
  as_owner=(setpriv --reuid="${owner%:*}" --regid="${owner#*:}" --clear-groups --)
}

# Makes `state`, the directory of data, log and lock, and takes the lock. The server holds it, too, as long as it runs.
lock_state() {
  mkdir -p -- "$state" 2>/dev/null || true
  [[ -w $state ]] || die 73 "$state belongs to another user. Run this as that user, or delete it."
  choose_owner
  if ! "${as_owner[@]}" test -x "$state"; then
    state=$(getent passwd postgres | cut -d : -f 6)/rates-$(sha256sum <<<"$state" | head -c 12)
    say "PostgreSQL's user cannot enter $checkout: the data is kept in $state"
    mkdir -p -- "$state"
  fi
  exec 9>>"$state/lock"
  # A server whose run was killed may need a moment to stop.
  flock -w 3 9 ||
    die 75 "another run uses $state. Stop it, or use its server: DATABASE_URL='$url$(sed -n 5p "$state/data/postmaster.pid")'"
  # A power cut leaves it, and PostgreSQL does not start if another process has that number now.
  rm -f -- "$state/data/postmaster.pid"
}

make_data() {
  local output
  say "creating a database in $state"
  rm -rf data.new && mkdir -m 700 data.new
  ((EUID != 0)) || chown "$owner" data.new
  output=$({
    TZ=UTC "${as_owner[@]}" "$bin/initdb" -D data.new -U rates -E UTF8 --locale=C.UTF-8 --auth-local=trust --auth-host=reject -N &&
      "${as_owner[@]}" "$bin/postgres" --single -F -D data.new postgres <<<'create database rates'
  } 2>&1) || die 70 "$output"
  mv data.new data
}

start_server() {
  local settings=(-c listen_addresses= -c unix_socket_directories="$sockets" -c unix_socket_permissions=0700)
  # Each test process opens a pool, and benchmarks run several servers at once.
  settings+=(-c max_connections=300)
  if [[ -n $fast ]]; then
    # A replica begins to stream after its copy, and still needs the WAL since then.
    settings+=(-c fsync=off -c full_page_writes=off -c synchronous_commit=off -c jit=off -c wal_keep_size=1GB)
  fi
  # In a session of its own, so that Ctrl-C does not reach it. The kernel stops it when this script is killed.
  setsid "${as_owner[@]}" setpriv --pdeathsig INT -- "$bin/postgres" -D data "${settings[@]}" </dev/null >log 2>&1 &
  server=$!
  for _ in {1..600}; do
    ! "$bin/pg_isready" -q -h "$sockets" || return 0
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  tail -n 20 log >&2
  die 70 "the server does not start. If $state/data is damaged or of another version, delete it."
}

clean_up() {
  local status=$?
  trap '' INT TERM HUP
  if [[ -n $server ]]; then
    kill -INT "$server" 2>/dev/null || true
    wait "$server" || true
  fi
  rm -rf -- "$scratch"
  exit "$status"
}

# Bash's `wait` can lose a status when a signal comes at the same time. So a subshell that ignores signals waits for COMMAND
# and reports its process number and status. All stay in one process group, for the terminal and its Ctrl-C.
run_command() {
  local pid='' terminated='' status
  trap '' INT
  trap 'terminated=yes; kill "$pid" 2>/dev/null || true' TERM HUP
  exec 7<&0 8>&1 6< <(
    trap '' TERM HUP
    exec 9>&-
    status=0
    (
      echo "$BASHPID"
      trap - INT TERM HUP
      exec "$@" <&7 >&8 7<&- 8>&-
    ) || status=$?
    echo "$status"
  )
  read -r pid <&6
  [[ -z $terminated ]] || kill "$pid" 2>/dev/null || true
  # Above 128: interrupted by a signal.
  until read -r status <&6 || (($? <= 128)); do :; done
  return "${status:-137}"
}

fast='' server='' url='postgres://rates@localhost/rates?host='
[[ ${1:-} != --help && ${1:-} != -h ]] || { usage && exit; }
[[ ${1:-} != --fast ]] || { fast=yes && shift; }
[[ ${1:-} != -- ]] || shift
[[ $# -gt 0 && $1 != -* ]] || die 64 'usage: db/private_postgres.sh [--fast] [--] COMMAND [ARG...] (see --help)'

if [[ -n ${DATABASE_URL:-} ]]; then
  say 'DATABASE_URL is set: no server is started'
  exec "$@"
fi
unset "${!PG@}"

find_postgres || install_postgres
checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
# Not in the checkout: a socket's path has at most 107 bytes.
scratch=$(mktemp -d /var/tmp/rates-postgres.XXXXXX)
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
if [[ -n $fast ]]; then
  state=$scratch
  choose_owner
else
  state=$checkout/.run/postgres
  lock_state
fi
sockets=$scratch/sockets
chmod 711 "$scratch" && mkdir -m 700 "$sockets"
((EUID != 0)) || chown "$owner" "$sockets"
# PostgreSQL's user may not be able to enter our directory.
pushd -- "$state" >/dev/null
[[ -d data ]] || make_data
start_server
popd >/dev/null

export PRIVATE_POSTGRES_BIN=$bin PGHOST=$sockets PGPORT=5432 PGUSER=rates PGDATABASE=rates DATABASE_URL=$url$sockets
say "PostgreSQL is ready: DATABASE_URL='$DATABASE_URL'"
run_command "$@"
