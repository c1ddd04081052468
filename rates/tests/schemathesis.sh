#!/usr/bin/env bash
# Attacks the server at RATES_URL through its own description: no server error, no answer that the description does not
# allow. Bounded by the number of examples; the seed is fixed, so a failure comes again.
set -euo pipefail

venv=${SCHEMATHESIS_VENV:-.run/schemathesis}
if [[ ! -x $venv/bin/schemathesis ]]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet 'schemathesis==4.*'
fi
# With a key, or what suppliers ask would all end at the door.
key=${RATES_KEY:-$(RUST_LOG=warn target/debug/rates key create schemathesis)}
SCHEMATHESIS_HOOKS=rates/tests/schemathesis_hooks.py "$venv/bin/schemathesis" run "$RATES_URL/openapi.json" \
  --header "Authorization: Bearer $key" --max-examples "${SCHEMATHESIS_EXAMPLES:-40}" --seed "${SCHEMATHESIS_SEED:-1}" --workers 1 --suppress-health-check all \
  --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance
