#!/usr/bin/env bash
# Tests what people see of the server at RATES_URL: the explorer and the upload form in chromium, with a key that RATES
# makes, then the dashboard and alert rules against its metrics. With --pictures DIRECTORY writes the pictures of the documents instead.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
for program in node "${CHROMIUM:-chromium}"; do
  command -v "$program" >/dev/null || { echo "run.sh: $program is needed (Debian: chromium, npm)" >&2 && exit 69; }
done
if [[ ${1:-} == --pictures ]]; then
  exec node "$here/pictures.mjs" "$2"
fi
# One after the other: the form changes the data that the explorer shows.
node --test --test-concurrency=1 --test-reporter=spec --test-timeout=300000 "$here/explorer.test.mjs" "$here/upload.test.mjs"
"$here/../../../docs/monitoring/check.sh"
