#!/usr/bin/env bash
# Runs a command with a private PostgreSQL beside it. `make run` and `make test` stand on this.
set -euo pipefail

usage() {
  cat <<'EOF'
Usage: db/private_postgres.sh [--throw-away] -- COMMAND [ARGUMENT...]

Runs COMMAND with DATABASE_URL set to a database of a PostgreSQL server that only this command sees: it listens on a
unix socket in a directory of its own and on no port, and is stopped when COMMAND ends. When DATABASE_URL is set
already, COMMAND runs with that and no server is started.

  --throw-away  Start with an empty server and remove its data at the end, and do not wait for the disk: for tests.
                Without it the data stays in .run/ for the next time.

The server is the newest of PATH, pg_config and /usr/lib/postgresql. If there is none it is installed with apt-get
(as root, or by sudo where that needs no password); where that cannot be, the command to type is shown. PostgreSQL
refuses to run as root: for root it runs as the user postgres.

Exit status: that of COMMAND; 64 wrong arguments; 69 no server and no way to install one; 75 another command is using
the data of this checkout.
EOF
}

say() { printf '%s\n' "private PostgreSQL: $*" >&2; }
die() {
  local status=$1
  shift
  say "$*"
  exit "$status"
}

throw_away=false
while [[ $# -gt 0 ]]; do
  case $1 in
    --help) usage && exit 0 ;;
    --throw-away) throw_away=true ;;
    --) shift && break ;;
    *) usage >&2 && exit 64 ;;
  esac
  shift
done
[[ $# -gt 0 ]] || { usage >&2 && exit 64; }

if [[ -n ${DATABASE_URL:-} ]]; then
  say "not started, DATABASE_URL is set"
  exec "$@"
fi

# The directory with the newest server's programs, or nothing. Below PostgreSQL 13 the migrations do not work.
find_server() {
  local candidate version best='' best_version=0
  for candidate in \
    "$(dirname "$(readlink -f "$(command -v postgres || true)")" 2>/dev/null || true)" \
    "$(pg_config --bindir 2>/dev/null || true)" \
    /usr/lib/postgresql/*/bin; do
    [[ -x $candidate/postgres && -x $candidate/initdb && -x $candidate/pg_ctl ]] || continue
    version=$("$candidate/postgres" --version | sed -E 's/[^0-9]*([0-9]+).*/\1/')
    if ((version >= 13 && version > best_version)); then
      best=$candidate best_version=$version
    fi
  done
  printf '%s' "$best"
}

# Installs the server alone. Debian's package would also make and start a cluster for the whole machine; the variable
# keeps it from that without leaving a setting behind.
install_server() {
  local command=(env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql)
  local sudo=()
  command -v apt-get >/dev/null ||
    die 69 "no server found and no apt-get; install PostgreSQL 13 or later, or set DATABASE_URL"
  if [[ $EUID -ne 0 ]]; then
    sudo=(sudo -n)
    "${sudo[@]}" true 2>/dev/null ||
      die 69 "no server found; install one, then try again: sudo apt-get install postgresql"
  fi
  say "no server found; installing it with apt-get"
  # The packages' scripts read this file; it is put back as it was.
  local config=/etc/postgresql-common/createcluster.conf had_config=true
  [[ -e $config ]] || had_config=false
  if ! $had_config; then
    "${sudo[@]}" mkdir -p "${config%/*}"
    printf 'create_main_cluster = false\n' | "${sudo[@]}" tee "$config" >/dev/null
  fi
  local installed=true
  { "${sudo[@]}" "${command[@]}" || { "${sudo[@]}" apt-get update && "${sudo[@]}" "${command[@]}"; }; } >&2 || installed=false
  if ! $had_config; then
    "${sudo[@]}" rm -f "$config"
  fi
  $installed || die 69 "the installation failed; try by hand: apt-get update && apt-get install postgresql"
}

bin=$(find_server)
if [[ -z $bin ]]; then
  install_server
  bin=$(find_server)
  [[ -n $bin ]] || die 69 "what apt-get installed is older than PostgreSQL 13; install a newer one, or set DATABASE_URL"
fi

# As whom the server runs: root may not.
as_server=()
if [[ $EUID -eq 0 ]]; then
  id postgres >/dev/null 2>&1 || die 69 "there is no user postgres to run the server as"
  as_server=(setpriv --reuid=postgres --regid=postgres --init-groups --)
fi

# The data lies in the checkout, unless the server's user cannot get there (a checkout below /root).
checkout=$(cd "$(dirname "$0")/.." && pwd -P)
run=$checkout/.run
mkdir -p "$run"
key=$(printf '%s' "$checkout" | cksum | cut -d' ' -f1)
if ! "${as_server[@]}" test -x "$run"; then
  run=/var/tmp/rates-postgres-$key
  mkdir -p "$run"
fi

# Short, since the path of a socket may have 107 bytes; of this run alone, so that runs do not meet.
private=$(mktemp -d /tmp/rates-postgres.XXXXXX)
chmod 700 "$private"
data=$private/data
$throw_away || data=$run/postgres

server_started=false
child=''
# shellcheck disable=SC2317 # reached by the trap
cleanup() {
  trap '' INT TERM HUP
  if $server_started; then
    "${as_server[@]}" "$bin/pg_ctl" stop -D "$data" -m fast -w -s >/dev/null 2>&1 || true
  fi
  rm -rf "$private"
}
trap cleanup EXIT

# Two commands must not share data. The lock ends with this process, however it ends.
if ! $throw_away; then
  exec 9>"$run/lock"
  flock -n 9 || die 75 "another command runs with $data; stop it first, or set DATABASE_URL"
fi
mkdir -p "$data" "$private/socket"
chmod 700 "$data"
if [[ $EUID -eq 0 ]]; then
  chown -R postgres "$private"
  chown postgres "$data"
fi

# A server that outlived its command (killed with SIGKILL) still holds the data: the lock says that nobody uses it.
if [[ -s $data/postmaster.pid ]]; then
  "${as_server[@]}" "$bin/pg_ctl" stop -D "$data" -m immediate -w -s >/dev/null 2>&1 || true
fi

if [[ ! -s $data/PG_VERSION ]]; then
  say "making a database in $data"
  # Trust: the socket's directory admits one user (and root) only.
  "${as_server[@]}" "$bin/initdb" -D "$data" -U rates -A trust -E UTF8 --locale=C.UTF-8 --no-instructions >/dev/null ||
    die 69 "initdb failed, see above"
fi

options=(-c listen_addresses= -c "unix_socket_directories=$private/socket" -c max_connections=200)
options+=(-c shared_buffers=256MB -c max_wal_size=4GB -c log_min_messages=fatal -c jit=off)
if $throw_away; then
  options+=(-c fsync=off -c full_page_writes=off -c synchronous_commit=off)
fi
# A session of its own, so that Ctrl-C reaches COMMAND and not the server that COMMAND still needs. The lock is not
# handed on: a server that is left over must not keep it.
setsid "${as_server[@]}" "$bin/pg_ctl" start -D "$data" -l "$data/log" -w -s -o "${options[*]}" 9>&- </dev/null >&2 ||
  { tail -n 20 "$data/log" >&2 && die 69 "the server did not start, see above"; }
server_started=true
"${as_server[@]}" "$bin/createdb" -h "$private/socket" -U rates rates 2>/dev/null || true

export DATABASE_URL="postgres://rates@localhost/rates?host=$private/socket"
# For COMMANDs that start servers of their own (a replica) or use psql.
export PRIVATE_POSTGRES_BIN=$bin

# In the background and waited for, so that a signal to this script is handed on at once; in a session of its own, so
# that Ctrl-C comes to COMMAND once, through this script. As SIGTERM, since a shell's background jobs ignore SIGINT.
setsid "$@" 9>&- <&0 &
child=$!
trap 'kill -TERM "$child" 2>/dev/null || true' INT TERM HUP
status=0
while :; do
  wait "$child" && status=0 || status=$?
  kill -0 "$child" 2>/dev/null || break
done
exit "$status"
