#!/usr/bin/env bash
# Validates the description of each service and generates a Python client and TypeScript types from it. Fails where a
# generator warns, because it then leaves something out.
#
#   clients/generate.sh BINARIES VENV OUT    the folder with rates and messages, one with the Python tools, and where to
#                                            write SERVICE.json, SERVICE_client/ and SERVICE.ts
set -euo pipefail

if [[ ${1:-} == --help || $# -ne 3 ]]; then
  sed -n '2,/^set/{/^set/d; s/^# \{0,1\}//p}' "$0"
  [[ ${1:-} == --help ]] && exit 0
  exit 64
fi
binaries=$1 out=$3
here=$(dirname "$0")
# openapi-python-client formats with the ruff that it finds on the PATH.
export PATH="$PWD/$2/bin:$PWD/$here/node_modules/.bin:$PATH"
mkdir -p "$out"

for service in rates messages; do
  description=$out/$service.json
  "$binaries/$service" openapi >"$description"
  openapi-spec-validator "$description"
  config=()
  [[ ! -f $here/python/$service.yaml ]] || config=(--config "$here/python/$service.yaml")
  rm -rf "$out/${service}_client"
  openapi-python-client generate --path "$description" --output-path "$out/${service}_client" --meta none \
    --fail-on-warning "${config[@]}"
  [[ ! -f $here/python/${service}_pandas.py ]] || cp "$here/python/${service}_pandas.py" "$out/${service}_client/pandas.py"
  openapi-typescript "$description" --output "$out/$service.ts"
done
