#!/usr/bin/env bash
# Checks the rules and the dashboard: promtool takes every expression, each alert fires when it must and not else, and
# every metric they name is one that the service at RATES_METRICS_URL tells.
set -euo pipefail

if [[ ${1:-} == --help ]]; then
  sed -n '2,3s/^# //p' "$0"
  exit 0
fi
for program in promtool jq curl; do
  command -v "$program" >/dev/null || { echo "check.sh: $program is needed (Debian: prometheus, jq, curl)" >&2 && exit 69; }
done
cd "$(dirname "$0")"
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

promtool check rules rules.yml >/dev/null
promtool test rules rules.test.yml

PYTHONPATH=. PYTHONDONTWRITEBYTECODE=1 python3 - "$directory/written.json" <<'PYTHON'
import json, sys
from dashboard import DASHBOARD
open(sys.argv[1], "w").write(json.dumps(DASHBOARD, indent=2) + "\n")
PYTHON
diff -u dashboard.json "$directory/written.json" || { echo "dashboard.json: run dashboard.py" >&2 && exit 1; }

# Grafana's own variables are no PromQL.
jq -r '.panels[].targets[].expr' dashboard.json | sed 's/[$]__rate_interval/5m/g; s/[$]job/rates/g' >"$directory/expressions"
{
  echo 'groups: [{name: dashboard, rules: ['
  jq -Rr '{record: "check:\(input_line_number)", expr: .} | tojson + ","' "$directory/expressions"
  echo ']}]'
} >"$directory/dashboard.yml"
promtool check rules "$directory/dashboard.yml" >/dev/null || { promtool check rules "$directory/dashboard.yml" && exit 1; }

# What was never asked is not told yet.
curl --fail --silent --output /dev/null "$RATES_URL/healthz"
curl --fail --silent "$RATES_METRICS_URL/metrics" | sed -n 's/^\([a-z_]*\).*/\1/p' | sort -u >"$directory/told"
cat "$directory/expressions" rules.yml | grep -oE '\b(http|rates|build)_[a-z_]+' | sort -u >"$directory/named"
missing=$(comm -23 "$directory/named" "$directory/told")
[[ -z $missing ]] || { echo "not told by the service: $missing" >&2 && exit 1; }
echo "$(wc -l <"$directory/named") metrics, all told by the service"
