#!/usr/bin/env bash
# Starts the server on a free port in a folder of its own, over its embedded store and, where there is one, over Redis,
# and runs client.py against it.
#
#   client.sh MESSAGES PYTHON    the binary, and a Python that has requests

set -euo pipefail

if [[ ${1:-} == --help || $# -ne 2 ]]; then
  sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
  [[ ${1:-} == --help ]] && exit 0
  exit 64
fi
messages=$(realpath "$1")
python=$2
here=$(dirname "$(realpath "$0")")
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT

free_port() {
  "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# ask VARIABLE=VALUE... starts a server with these and lets the client ask it.
ask() {
  local port log=$folder/log server
  port=$(free_port)
  (cd "$folder" && exec env "$@" PORT="$port" MESSAGES__SERVER__METRICS_PORT=0 "$messages" serve >"$log" 2>&1) &
  server=$!
  for _ in {1..200}; do
    if grep -q 'listening on' "$log" 2>/dev/null; then
      break
    fi
    if ! kill -0 "$server" 2>/dev/null; then
      break
    fi
    sleep 0.05
  done
  if ! "$python" "$here/client.py" "https://localhost:$port" "$folder/certs/localhost.crt"; then
    tail -n 20 "$log" >&2
    return 1
  fi
  kill "$server"
  wait "$server"
}

echo "embedded store:"
ask RUST_LOG=info
if command -v redis-server >/dev/null; then
  port=$(free_port)
  redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly yes --dir "$folder" >/dev/null &
  echo "Redis:"
  ask MESSAGES_REDIS_HOST=127.0.0.1 MESSAGES_REDIS_PORT="$port"
else
  echo "SKIPPED: redis-server is not installed (apt-get install redis-server)" >&2
fi
