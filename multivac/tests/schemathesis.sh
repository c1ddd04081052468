#!/usr/bin/env bash
# Attacks multivac through its own description: no server error, no answer that the description does not allow. Runs over
# the database of DATABASE_URL and a Redis server of its own. The seed is fixed, so a failure comes again.
set -euo pipefail

binary=$1
venv=${SCHEMATHESIS_VENV:-.run/schemathesis}
if [[ ! -x $venv/bin/schemathesis ]]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet 'schemathesis==4.*'
fi
directory=$(mktemp -d)
running=()
trap 'kill "${running[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$directory"' EXIT
read -r redis_port port metrics_port work_port < <(python3 -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
print(*(s.getsockname()[1] for s in sockets))')
redis-server --bind 127.0.0.1 --port "$redis_port" --dir "$directory" --save "" --appendonly yes >/dev/null &
running+=("$!")
export REDIS_URL=redis://127.0.0.1:$redis_port PORT=$port RUST_LOG=warn
# The fuzzer must not end at the door, and its wrong logins neither.
export MULTIVAC__AUTH__ATTEMPTS_PER_MINUTE=1000000
AUTH_USERS=$(echo fuzz | "$binary" user add fuzz)
export AUTH_USERS
"$binary" migrate
MULTIVAC__SERVER__METRICS_PORT=$metrics_port "$binary" serve >"$directory/serve.log" &
running+=("$!")
MULTIVAC__SERVER__METRICS_PORT=$work_port "$binary" work >"$directory/work.log" &
running+=("$!")
for _ in {1..100}; do
  ! curl -fsS -o /dev/null "http://127.0.0.1:$port/readyz" 2>/dev/null || break
  sleep 0.1
done
"$venv/bin/schemathesis" run "http://127.0.0.1:$port/openapi.json" --auth fuzz:fuzz \
  --max-examples "${MULTIVAC_FUZZ_EXAMPLES:-2500}" --seed 1 --workers 1 --suppress-health-check all \
  --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance
if grep -h '"status":5' "$directory"/*.log; then
  echo "multivac answered with a server error" >&2
  exit 1
fi
