#!/usr/bin/env bash
# Writes what sqlx needs to check queries without a database, from the database of DATABASE_URL.
#
#   db/query_metadata.sh DIRECTORY   into DIRECTORY
#   db/query_metadata.sh --check     compares with .sqlx, and fails where they differ
#
# The query macros write it themselves when told where (SQLX_OFFLINE_DIR); `cargo sqlx` would do no more.
set -euo pipefail

cd "$(dirname "$0")/.."
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT

# Not by `rates migrate`: with a query that is new it could not be built before this is done.
for migration in db/migrations/*.up.sql; do
  "${PRIVATE_POSTGRES_BIN:+$PRIVATE_POSTGRES_BIN/}psql" -X -q -v ON_ERROR_STOP=1 --single-transaction -f "$migration" "$DATABASE_URL"
done
# Only what is compiled writes; a crate that has not changed would write nothing.
touch rates/src/lib.rs
SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$fresh cargo check --locked -q --workspace --all-targets

if [[ $1 == --check ]]; then
  diff -r .sqlx "$fresh" || {
    printf '%s\n' ".sqlx is outdated: run 'make sqlx-prepare' and commit .sqlx" >&2
    exit 1
  }
else
  mkdir -p "$1"
  rm -f "$1"/query-*.json
  cp "$fresh"/query-*.json "$1/"
fi
