#!/usr/bin/env bash
#
# Runs a command with a PostgreSQL server of its own beside it. See --help.
set -euo pipefail

readonly EX_USAGE=64 EX_UNAVAILABLE=69 EX_SOFTWARE=70 EX_CANTCREAT=73 EX_TEMPFAIL=75
readonly OLDEST_MAJOR=13
readonly DEFAULT_PLACES='/usr/lib/postgresql/*/bin:/usr/pgsql-*/bin:/usr/libexec/postgresql*:/opt/homebrew/opt/postgresql@*/bin:/usr/local/opt/postgresql@*/bin:/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin'

script_dir=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
script=$script_dir/$(basename -- "${BASH_SOURCE[0]}")
checkout=$(dirname -- "$script_dir")

usage() {
  cat <<'USAGE'
Usage: db/private_postgres.sh [--fast] [--name NAME] [--] COMMAND [ARG...]
       db/private_postgres.sh --install
       db/private_postgres.sh --help

Starts a PostgreSQL server that belongs to this checkout alone, runs COMMAND with
DATABASE_URL pointing at it, and stops the server when COMMAND ends.

  --fast       a throw-away server for tests: empty at the start, deleted at the end,
               and not safe against a power cut (fsync off)
  --name NAME  keep the data in .run/NAME (default: postgres; with --fast:
               postgres-fast). One server at a time runs per name.
  --install    only install the server package (Debian, Ubuntu; needs root).
               Creates and starts no system server.

If DATABASE_URL is already set, no server is started and COMMAND uses that one.

COMMAND gets DATABASE_URL, PGHOST, PGPORT, PGUSER and PGDATABASE; other PG* variables
are removed. User and database are both called "rates"; the user is a superuser (of
this server only), so tests may create databases, roles and replication slots.

The server listens on no TCP port, only on a Unix socket in a directory that no other
user can enter. Without --fast the data is kept from run to run; to begin anew, delete
the directory. Run by root, the server itself runs as the user postgres (else nobody,
or the owner of the data); if that user cannot reach the checkout, the data goes to
/var/tmp and the script says where.

A missing server is installed if that needs no password (root or `sudo -n`, apt-get).
Servers are looked for in PATH, by `pg_config --bindir`, and in the colon separated
patterns of PRIVATE_POSTGRES_PLACES (set by default to the usual places).

SIGTERM and SIGHUP are passed on to COMMAND. Ctrl-C reaches it from the terminal. Either
way the server stays up until COMMAND has ended.

Exit status: that of COMMAND, or
  64  wrong usage
  69  no PostgreSQL server (13 or newer), and it could not be installed
  70  the server could not be set up or did not start
  73  the data directory cannot be made or belongs to somebody else
  75  another run is using the same data
USAGE
}

say() {
  printf 'private_postgres: %s\n' "$*" >&2
}

die() {
  local status=$1
  shift
  say "$@"
  exit "$status"
}

# --- The server's programs ------------------------------------------------------------

# Prints the major version of the server in directory $1; fails if it is none we can use.
major_version() {
  local dir=$1 version
  [[ -x $dir/postgres && -x $dir/initdb && -x $dir/pg_ctl ]] || return 1
  version=$("$dir/postgres" --version 2>/dev/null) || return 1
  [[ $version =~ \ ([0-9]+) ]] || return 1
  ((BASH_REMATCH[1] >= OLDEST_MAJOR)) || return 1
  printf '%s\n' "${BASH_REMATCH[1]}"
}

# Prints the directory of the server to use. One that was put into PATH, or that pg_config
# belongs to, was chosen by somebody; among the rest the newest wins.
find_server() {
  local dir version best='' best_version=0 IFS=:
  # Past links: the other programs need not be linked beside it.
  if dir=$(command -v postgres) && dir=$(dirname -- "$(readlink -f -- "$dir")") && major_version "$dir" >/dev/null; then
    printf '%s\n' "$dir"
    return
  fi
  if dir=$(pg_config --bindir 2>/dev/null) && major_version "$dir" >/dev/null; then
    printf '%s\n' "$dir"
    return
  fi
  # Unquoted: to be split at the colons (IFS) and expanded as patterns.
  for dir in ${PRIVATE_POSTGRES_PLACES-$DEFAULT_PLACES}; do
    if version=$(major_version "$dir") && ((version > best_version)); then
      best=$dir best_version=$version
    fi
  done
  [[ -n $best ]] && printf '%s\n' "$best"
}

apt() {
  DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=120 "$@" </dev/null >&2
}

# `postgresql` is an empty package that depends on the release's server package.
server_package() {
  LC_ALL=C apt-cache depends postgresql 2>/dev/null | sed -n 's/^ *Depends: \(postgresql-[0-9]*\)$/\1/p'
}

# Debian's server package creates a cluster and starts it on port 5432 when it is installed.
# The only switch for that is a line in postgresql-common's configuration. So that package
# goes first, and the line is there only while the server package is being installed.
# Always called in a process of its own, because of the EXIT trap.
install_server() {
  local conf=/etc/postgresql-common/createcluster.conf package saved
  set -e
  package=$(server_package)
  if [[ -z $package ]]; then
    apt update
    package=$(server_package)
  fi
  # Lists that are older than the mirror name files that are gone: fetch them anew, once.
  apt install --no-install-recommends postgresql-common || {
    apt update
    apt install --no-install-recommends postgresql-common
  }
  saved=$(mktemp)
  cp -p "$conf" "$saved"
  # shellcheck disable=SC2064 # Both names end with this function.
  trap "cp -p '$saved' '$conf'; rm -f '$saved'" EXIT
  pg_conftool "$conf" set create_main_cluster false
  apt install --no-install-recommends "${package:?the package lists name no server}"
}

how_to_install() {
  local manager
  for manager in apt-get dnf zypper apk pacman brew; do
    command -v "$manager" >/dev/null && break
    manager=''
  done
  case $manager in
    apt-get) printf 'sudo %q --install\n' "$script" ;;
    dnf | zypper) echo "sudo $manager install postgresql-server" ;;
    apk) echo 'sudo apk add postgresql' ;;
    pacman) echo 'sudo pacman -S postgresql' ;;
    brew) echo 'brew install postgresql' ;;
    *) echo 'the package manager of this system (no known one was found)' ;;
  esac
}

ensure_server() {
  bindir=$(find_server) && return
  if command -v apt-get >/dev/null; then
    if ((EUID == 0)); then
      say 'no PostgreSQL server found: installing the package (no system server is started)'
      "$script" --install || say 'the installation failed'
    elif sudo -n true 2>/dev/null; then
      say 'no PostgreSQL server found: installing the package with sudo (no system server is started)'
      sudo -n "$script" --install || say 'the installation failed'
    fi
    hash -r
    bindir=$(find_server) && return
  fi
  die $EX_UNAVAILABLE "no PostgreSQL server ($OLDEST_MAJOR or newer) found. Install it with: $(how_to_install)"
}

# --- The server -----------------------------------------------------------------------

# PostgreSQL refuses to run as root. Sets `drop`, the prefix that runs a program as the
# server's user, and `server_owner` (empty: the invoking user runs the server).
choose_server_user() {
  local uid gid
  drop=() server_owner=''
  ((EUID == 0)) || return 0
  # Data made earlier by an ordinary user stays theirs.
  if [[ -d $state ]] && uid=$(stat -c %u -- "$state") && ((uid != 0)); then
    gid=$(stat -c %g -- "$state")
  else
    uid=$(id -u postgres 2>/dev/null || id -u nobody)
    gid=$(id -g postgres 2>/dev/null || id -g nobody)
  fi
  drop=(setpriv "--reuid=$uid" "--regid=$gid" --clear-groups --)
  server_owner=$uid:$gid
}

# Runs a program as the server's user in the cluster's directory. Names inside are given
# relative to it: pg_ctl hands them to a shell, in which a `$` in the checkout's path would
# be expanded. The lock must not outlive this script in a server.
as_server() (
  if [[ -n ${lock:-} ]]; then
    exec {lock}>&-
  fi
  cd -- "$state/cluster" || exit
  export LC_ALL=C TZ=UTC
  exec "${drop[@]}" "$@"
)

# Prints the pid of the live server of this data, if there is one. A pid in a file proves
# nothing, for numbers are used again; that its working directory is the data directory does.
server_pid() {
  local pid
  pid=$(as_server head -n 1 data/postmaster.pid 2>/dev/null) || return 1
  as_server test "/proc/$pid/cwd" -ef data && printf '%s\n' "$pid"
}

stop_server() {
  as_server "$bindir/pg_ctl" -D data -s -w -t 30 -m fast stop >&2 ||
    as_server "$bindir/pg_ctl" -D data -s -w -t 30 -m immediate stop >&2
}

# We hold the lock, so whatever is left here was left by a run that was killed.
clear_leftovers() {
  local pid old_socket_dir
  as_server test -e data/postmaster.pid || return 0
  old_socket_dir=$(as_server sed -n 5p data/postmaster.pid)
  if pid=$(server_pid); then
    say "stopping the server that a killed run left behind (pid $pid)"
    stop_server
  else
    # PostgreSQL would take any process with that number for its predecessor, and not start.
    pid=$(as_server head -n 1 data/postmaster.pid)
    if [[ -e /proc/$pid ]]; then
      as_server rm -f data/postmaster.pid
    fi
  fi
  if [[ $old_socket_dir == /tmp/rates-postgres.?????? ]]; then
    rm -rf -- "$old_socket_dir"
  fi
}

# Sets `state`, the directory that holds the lock and the cluster, and makes it.
make_state_dir() {
  local wanted=$checkout/.run/$name hash
  state=$wanted
  choose_server_user
  if (umask 022 && mkdir -p -- "$state") && [[ -w $state ]]; then
    if [[ -z $server_owner ]] || "${drop[@]}" test -x "$state"; then
      return
    fi
  elif [[ -z $server_owner ]]; then
    die $EX_CANTCREAT "cannot write to $state: it belongs to another user. Run as that user, or delete it."
  fi
  hash=$(printf '%s' "$wanted" | sha256sum)
  state=/var/tmp/rates-postgres-${hash:0:16}
  mkdir -m 0755 -- "$state" 2>/dev/null || true
  # Anybody may make a directory of that name there before us.
  [[ -d $state && ! -L $state && -O $state ]] || die $EX_CANTCREAT "$state exists and is not root's own directory"
  choose_server_user
  say "the server's user cannot reach $wanted: keeping the data in $state"
}

take_lock() {
  local holder
  exec {lock}<>"$state/lock"
  if ! flock -n "$lock"; then
    mapfile -t holder <"$state/lock"
    say "another run (pid ${holder[0]:-unknown}) is using $state."
    die $EX_TEMPFAIL "Stop it, use its server (DATABASE_URL='${holder[1]:-not ready yet}'), or give this run a --name of its own."
  fi
  locked=yes
  : >"$state/lock"
  printf '%s\n' "$$" >&"$lock"
}

make_cluster() {
  local locale=C output
  if locale -a 2>/dev/null | grep -qix 'c\.utf-\?8'; then
    locale=C.UTF-8
  fi
  as_server rm -rf data.new
  # Without syncing to disk: a power cut in these seconds costs nothing but an empty database.
  output=$(as_server "$bindir/initdb" -D data.new --username=rates --encoding=UTF8 "--locale=$locale" \
    --auth-local=trust --auth-host=reject --no-sync 2>&1 </dev/null) ||
    die $EX_SOFTWARE "initdb failed: $output"
  # Single-user mode needs no client program, and no server before the data is whole.
  output=$(as_server "$bindir/postgres" --single -F -D data.new -c exit_on_error=on postgres \
    <<<'CREATE DATABASE rates' 2>&1) ||
    die $EX_SOFTWARE "the database could not be created: $output"
  as_server mv data.new data
}

start_server() {
  # Trust is safe because only the server's user and root can enter the socket's directory.
  local settings="-c listen_addresses='' -c port=5432 -c unix_socket_directories=$socket_dir -c unix_socket_permissions=0700"
  if [[ -n $fast ]]; then
    # Test runners open one pool per test process, so a machine with many cores needs more
    # connections than the default 100.
    settings+=' -c fsync=off -c full_page_writes=off -c synchronous_commit=off -c max_connections=300 -c jit=off'
    # A replica of a test begins to stream after its copy; checkpoints of other tests must not remove what it needs.
    settings+=' -c wal_keep_size=1GB'
  fi
  as_server rm -f log
  # pg_ctl gives the server a session of its own, so that Ctrl-C in our terminal, meant for
  # COMMAND, does not reach it.
  as_server "$bindir/pg_ctl" -D data -l log -s -w -t 60 -o "$settings" start >&2 </dev/null || {
    as_server tail -n 20 log >&2 || true
    die $EX_SOFTWARE "the server did not start. If the data in $state/cluster is of another version or damaged, delete that directory to begin anew."
  }
}

# shellcheck disable=SC2317 # Called by a trap.
cleanup() {
  local status=$?
  # A second Ctrl-C must not interrupt this; programs started from here ignore it, too.
  trap '' INT QUIT TERM HUP
  # Without the lock the server is another run's.
  if [[ -n $locked ]]; then
    if server_pid >/dev/null; then
      stop_server || say "the server in $state/cluster could not be stopped"
    fi
    [[ -z $fast ]] || as_server rm -rf data data.new log
  fi
  [[ -z ${socket_dir:-} ]] || rm -rf -- "$socket_dir"
  exit "$status"
}

# --- COMMAND --------------------------------------------------------------------------

# shellcheck disable=SC2317 # Called by a trap.
pass_on() {
  if [[ -n $command_pid ]]; then
    kill -s "$1" "$command_pid" 2>/dev/null || true
  else
    pending=$1
  fi
}

# Runs COMMAND and sets `command_status`. Bash runs no trap while it waits for a program in
# the foreground; and when a trapped signal and the end of a background program coincide, as
# they do when a whole process group is told to end, `wait` can lose the program's status
# (bash 5.2 then says -1). So a subshell that ignores signals waits for COMMAND, and writes
# its pid and then its status to a pipe. All stay in our process group, so that COMMAND can
# read from the terminal and gets its Ctrl-C.
run_command() {
  local in out report read_status
  pending='' command_pid=''
  # The terminal sends these to COMMAND as well, and a second one means "at once" to many
  # programs.
  trap '' INT QUIT
  trap 'pass_on TERM' TERM
  trap 'pass_on HUP' HUP
  exec {in}<&0 {out}>&1
  exec {report}< <(
    trap '' INT QUIT TERM HUP
    exec {lock}>&-
    status=0
    (
      echo "$BASHPID"
      trap - INT QUIT TERM HUP
      exec "$@" <&"$in" >&"$out" {in}<&- {out}>&-
    ) || status=$?
    echo "$status"
  )
  exec {in}<&- {out}>&-
  read -r command_pid <&"$report"
  [[ -z $pending ]] || pass_on "$pending"
  while :; do
    read_status=0
    read -r command_status <&"$report" || read_status=$?
    # Above 128: interrupted by a signal.
    ((read_status > 128)) || break
  done
  # No status in the pipe: the subshell itself was killed.
  command_status=${command_status:-137}
}

# --------------------------------------------------------------------------------------

fast='' name=''
while (($#)); do
  case $1 in
    --help | -h)
      usage
      exit
      ;;
    --install)
      ((EUID == 0)) || die $EX_USAGE '--install needs root'
      command -v apt-get >/dev/null || die $EX_UNAVAILABLE '--install knows only apt-get'
      install_server
      exit
      ;;
    --fast)
      fast=yes
      shift
      ;;
    --name)
      name=${2-}
      [[ $name =~ ^[a-z0-9][a-z0-9_-]*$ ]] || die $EX_USAGE '--name needs a name of a-z, 0-9, _ and -'
      shift 2
      ;;
    --)
      shift
      break
      ;;
    -*) die $EX_USAGE "unknown option $1 (see --help)" ;;
    *) break ;;
  esac
done
(($#)) || die $EX_USAGE 'no COMMAND given (see --help)'
if [[ -z $name ]]; then
  name=postgres${fast:+-fast}
fi

if [[ -n ${DATABASE_URL:-} ]]; then
  say 'DATABASE_URL is set: using that server, starting none'
  exec -- "$@"
fi

for program in flock sha256sum stat mktemp; do
  command -v "$program" >/dev/null || die $EX_UNAVAILABLE "needs the program $program"
done
((EUID != 0)) || command -v setpriv >/dev/null || die $EX_UNAVAILABLE 'needs the program setpriv when run by root'

# A closed standard input would give its number to the next file opened.
[[ -e /proc/self/fd/0 ]] || exec </dev/null

# PGPORT or PGDATA of the caller would change what the server's own programs do.
for variable in "${!PG@}"; do
  unset "$variable"
done

locked=''
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 131' QUIT
trap 'exit 143' TERM
trap 'exit 129' HUP

ensure_server
make_state_dir
take_lock
if [[ ! -d $state/cluster ]]; then
  mkdir -m 0700 -- "$state/cluster"
  [[ -z $server_owner ]] || chown -- "$server_owner" "$state/cluster"
fi
clear_leftovers
if [[ -n $fast ]]; then
  as_server rm -rf data
fi
if ! as_server test -d data; then
  say "creating a PostgreSQL $(major_version "$bindir") cluster in $state/cluster"
  make_cluster
fi
# Not in the checkout: a socket's path may have 107 bytes, and not in TMPDIR, which may be long.
socket_dir=$(mktemp -d /tmp/rates-postgres.XXXXXX)
[[ -z $server_owner ]] || chown -- "$server_owner" "$socket_dir"
start_server

export PGHOST=$socket_dir PGPORT=5432 PGUSER=rates PGDATABASE=rates
# For commands that start servers of their own, such as a replica.
export PRIVATE_POSTGRES_BIN=$bindir
export DATABASE_URL="postgres://rates@localhost/rates?host=$socket_dir"
printf '%s\n' "$DATABASE_URL" >&"$lock"
say "PostgreSQL is ready: DATABASE_URL='$DATABASE_URL'"

run_command "$@"
exit "$command_status"
