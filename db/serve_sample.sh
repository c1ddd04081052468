#!/usr/bin/env bash
# Migrates the database of DATABASE_URL, loads the sample unless there are prices, and serves.
#
#   db/serve_sample.sh RATES            in the foreground, with a request to try
#   db/serve_sample.sh RATES COMMAND…   beside COMMAND, on free ports; COMMAND finds it at $RATES_URL, its metrics at
#                                   $RATES_METRICS_URL
set -euo pipefail

rates=$1
shift
cd "$(dirname "$0")/.."
export RUST_LOG=${RUST_LOG:-warn}
"$rates" migrate
"$rates" load --if-empty db/rates.sql

if [[ $# -eq 0 ]]; then
  port=${PORT:-3000}
  cat <<EOF

What does a container from Guangzhou to Tallinn cost? Ask in another terminal:

  curl 'http://localhost:$port/rates?date_from=2021-01-01&date_to=2021-01-05&orig_code=CNGGZ&dest_code=EETLL'

The API is described at http://localhost:$port/docs/ (Ctrl-C stops everything).

EOF
  exec env RUST_LOG=info "$rates" serve
fi

log=$(mktemp)
PORT=0 RATES__SERVER__METRICS_PORT=0 RUST_LOG=info "$rates" serve >"$log" &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; rm -f "$log"' EXIT
for _ in $(seq 100); do
  address=$(sed -n 's/.*"message":"listening on [a-z]*:\/\/[^":]*:\([0-9]*\)".*/\1/p' "$log")
  [[ -n $address ]] && break
  kill -0 "$server" 2>/dev/null || { cat "$log" >&2 && exit 1; }
  sleep 0.1
done
[[ -n $address ]] || { cat "$log" >&2 && exit 1; }
metrics=$(sed -n 's/.*"metrics_address":"[^":]*:\([0-9]*\)".*/\1/p' "$log")
RATES_URL="http://127.0.0.1:$address" RATES_METRICS_URL="http://127.0.0.1:$metrics" "$@"
