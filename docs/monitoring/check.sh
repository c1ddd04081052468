#!/usr/bin/env bash
# Checks rules and dashboard: promtool accepts every expression, each alert has a test in which it fires and one in which
# it does not, every panel is described, and every metric that they name is exposed by the service at RATES_METRICS_URL.
# Without RATES_METRICS_URL the last check is left out.
set -euo pipefail

if [[ ${1:-} == --help ]]; then
  sed -n '2,4s/^# //p' "$0"
  exit 0
fi
fail() { echo "check.sh: $*" >&2 && exit 1; }
for program in promtool jq curl python3; do
  command -v "$program" >/dev/null ||
    { echo "check.sh: $program is not installed (Debian: prometheus, jq, curl, python3)" >&2 && exit 69; }
done
cd "$(dirname "$0")"
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

promtool check rules rules.yml >"$directory/out" 2>&1 || { cat "$directory/out" >&2 && exit 1; }
promtool test rules rules.test.yml >"$directory/out" 2>&1 || { cat "$directory/out" >&2 && exit 1; }

sed -n 's/^ *- alert: //p' rules.yml >"$directory/alerts"
[[ -s $directory/alerts ]] || fail "rules.yml has no alert"
while read -r alert; do
  for part in summary description; do
    sed -n "/- alert: $alert\$/,/- alert: /{/^ *$part: ./p}" rules.yml | grep -q . || fail "$alert has no $part"
  done
  grep -q "alertname: $alert }" rules.test.yml || fail "$alert has no test in which it does not fire"
  grep -qE "alertname=\"$alert\"|alertname: $alert\$" rules.test.yml || fail "$alert has no test in which it fires"
done <"$directory/alerts"

PYTHONPATH=. PYTHONDONTWRITEBYTECODE=1 python3 - "$directory/written.json" <<'PYTHON'
import json, sys
from dashboard import DASHBOARD
open(sys.argv[1], "w").write(json.dumps(DASHBOARD, indent=2) + "\n")
PYTHON
diff -u dashboard.json "$directory/written.json" || fail "dashboard.json is not what dashboard.py writes; run dashboard.py"

bare=$(jq -r '.panels[] | select(.type != "row") | select((.description // "") == "" or .fieldConfig.defaults.unit == null
  or (.fieldConfig.defaults.thresholds.steps // []) == []) | .title' dashboard.json)
[[ -z $bare ]] || fail "panels without a description, a unit or thresholds: $bare"

# Grafana's own variables are not PromQL.
jq -r '(.panels[].targets // [] | .[].expr), .annotations.list[].expr' dashboard.json |
  sed 's/[$]__rate_interval/5m/g; s/[$]job/rates/g' >"$directory/expressions"
{
  echo 'groups: [{name: dashboard, rules: ['
  jq -Rr '{record: "check:\(input_line_number)", expr: .} | tojson + ","' "$directory/expressions"
  echo ']}]'
} >"$directory/dashboard.yml"
promtool check rules "$directory/dashboard.yml" >"$directory/out" 2>&1 || { cat "$directory/out" >&2 && exit 1; }
echo "$(wc -l <"$directory/alerts") alerts, each tested both ways; $(wc -l <"$directory/expressions") expressions of the dashboard"

[[ -n ${RATES_METRICS_URL:-} ]] ||
  { echo "not compared with a running service: RATES_METRICS_URL is not set" && exit 0; }
# A series appears with the first request, and what the database says within seconds of the start. The certificate's
# metric is there only with TLS, which the service under test does not speak.
# Neither parts of a recorded name (job:http_…:rate5m) nor settings (server.tls_…).
grep -ohP '(?<![:.\w])(http|rates|build|jobs|tls)_[a-z_]+(?![:\w])' "$directory/expressions" rules.yml |
  grep -v '^tls_certificate_expiry_timestamp_seconds$' | sort -u >"$directory/named"
curl --fail --silent --output /dev/null "$RATES_URL/healthz"
for _ in {1..20}; do
  curl --fail --silent "$RATES_METRICS_URL/metrics" | sed -n 's/^\([a-z_]*\).*/\1/p' | sort -u >"$directory/exposed"
  missing=$(comm -23 "$directory/named" "$directory/exposed")
  [[ -n $missing ]] || break
  sleep 0.5
done
[[ -z $missing ]] || fail "metrics that the service does not expose: $missing"
echo "$(wc -l <"$directory/named") metrics, all exposed by the service"
