#!/usr/bin/env python3
"""Writes dashboard.json (Grafana) beside itself. Edit this file, not the JSON."""

import json
import pathlib
from dataclasses import dataclass, field

SOURCE = {"type": "prometheus", "uid": "${source}"}
JOB = '{job="$job"}'
# Health checks are left out, as in rules.yml; of latency also uploads, whose time depends on their size.
REQUESTS = 'http_request_duration_seconds_count{job="$job", route!~"/healthz|/readyz"%s}'
BUCKETS = 'http_request_duration_seconds_bucket{job="$job", route!~"/healthz|/readyz|/prices|/batches/.*"}'

GREEN, YELLOW, RED = "green", "yellow", "red"
DAY = 86400


def rate(series, by="job"):
    return f"sum by ({by}) (rate({series}[$__rate_interval]))"


def total_rate(name):
    return f"sum(rate({name}{JOB}[$__rate_interval]))"


def ratio(statuses):
    """The share of answers with such a status; 0 where there are none."""
    part, everything = rate(REQUESTS % f', status=~"{statuses}"'), rate(REQUESTS % "")
    return f"({part} or 0 * {everything}) / {everything}"


def quantile(part):
    return f"histogram_quantile({part}, {rate(BUCKETS, 'le')})"


def hit_ratio():
    hits, misses = total_rate("rates_cache_hits_total"), total_rate("rates_cache_misses_total")
    return f"{hits} / ({hits} + {misses})"


def above(yellow, red):
    """Green up to `yellow`."""
    return [(None, GREEN), (yellow, YELLOW), (red, RED)]


def from_one():
    """Red at 0."""
    return [(None, RED), (1, GREEN)]


PLAIN = [(None, GREEN)]


@dataclass
class Panel:
    title: str
    description: str
    unit: str
    width: int
    # Expressions with their legends.
    queries: list
    # Where a colour begins. The numbers are those of rules.yml.
    thresholds: list = field(default_factory=lambda: PLAIN)
    stat: bool = False
    maximum: float | None = None
    decimals: int | None = None


@dataclass
class Row:
    title: str


EXPIRES_IN = f"min(tls_certificate_expiry_timestamp_seconds{JOB}) - time()"
OLDEST = f"max(jobs_oldest_seconds{JOB})"
DATA_AGE = f"max(rates_data_age_seconds{JOB})"

ROWS = [
    Row("Now"),
    Panel("Instances up", "Instances whose metrics port answers. Red: none does (ServiceDown).",
          "none", 4, [(f"sum(up{JOB})", "up")], from_one(), stat=True),
    Panel("Error ratio", "Share of answers that are 5xx. HighErrorRatio pages above 1 %, if at least five requests "
          "failed within five minutes.",
          "percentunit", 4, [(ratio("5.."), "5xx")], above(0.001, 0.01), stat=True, decimals=2),
    Panel("Latency, 99th percentile", "One request in a hundred takes longer. HighLatency fires above 0.5 s.",
          "s", 4, [(quantile(0.99), "99th percentile")], above(0.25, 0.5), stat=True),
    Panel("Data last changed", "Time since prices or places last changed (rates only). RatesDataOld fires after "
          "three days. No data: no database was reached yet.",
          "s", 4, [(DATA_AGE, "age")], above(2 * DAY, 3 * DAY), stat=True),
    Panel("Oldest job", "Age of the oldest job in the queue; 0 if there is none. QueueStuck fires after 15 minutes. "
          "No data: the database does not answer, or the service has no queue.",
          "s", 4, [(OLDEST, "oldest")], above(300, 900), stat=True),
    Panel("Database up", "Whether the last use of the primary worked, on the instance where it worked best (rates only). "
          "Red: no instance reaches it (DatabaseDown).",
          "bool_yes_no", 4, [(f"max(rates_database_up{JOB})", "up")], from_one(), stat=True),

    Row("Requests"),
    Panel("Requests", "Requests per second by route. Health checks are left out.",
          "reqps", 12, [(rate(REQUESTS % "", "route"), "{{route}}")]),
    Panel("Errors", "Share of answers by class of status. 5xx is the service's fault and has the limit of "
          "HighErrorRatio; 4xx is the client's.",
          "percentunit", 12, [(ratio("5.."), "5xx"), (ratio("4.."), "4xx")], above(0.001, 0.01)),
    Panel("Latency", "Time until the head of the answer is sent, uploads left out. The line is the limit of "
          "HighLatency.",
          "s", 12, [(quantile(0.5), "median"), (quantile(0.95), "95th percentile"),
                    (quantile(0.99), "99th percentile")], above(0.25, 0.5)),
    Panel("Requests in flight", "Requests being answered, by instance. At `server.concurrency` (1000 by default) an "
          "instance sheds the rest.",
          "short", 6, [(f"http_requests_in_flight{JOB}", "{{instance}}")], above(800, 1000)),
    Panel("Shed requests", "Requests per second answered 503 because too many were in flight. Normally 0; RequestsShed "
          "fires after five minutes.",
          "reqps", 6, [(rate(f"http_requests_shed_total{JOB}", "instance"), "{{instance}}")],
          [(None, GREEN), (0.001, RED)]),

    Row("Queue"),
    Panel("Jobs", "Jobs in the queue, those in work included, and dead jobs, which were given up (DeadJobs). Both are "
          "the same in every process. A gap: the database does not answer.",
          "short", 8, [(f"max(jobs_waiting{JOB})", "waiting"), (f"max(jobs_dead{JOB})", "dead")]),
    Panel("Age of the oldest job", "How long the oldest job has been in the queue. The line is the limit of "
          "QueueStuck, 15 minutes.",
          "s", 8, [(OLDEST, "oldest")], above(300, 900)),
    Panel("Work", "Jobs done and attempts that failed, per hour, in processes of this job. Workers of their own are "
          "under the job `rates-work`.",
          "short", 8, [(f"sum(increase(jobs_done_total{JOB}[1h]))", "done"),
                       (f"sum(increase(jobs_failed_attempts_total{JOB}[1h]))", "failed attempts")]),

    Panel("Messages to webhooks", "Messages that wait for receivers (rates only). A receiver that is down makes them wait; "
          "WebhooksStuck fires when the oldest has waited for an hour.",
          "short", 12, [(f"max(rates_hooks_jobs_waiting{JOB})", "waiting")]),
    Panel("Age of the oldest message to a webhook", "How long the oldest message has waited (rates only). The line is the "
          "limit of WebhooksStuck, an hour.",
          "s", 12, [(f"max(rates_hooks_jobs_oldest_seconds{JOB})", "oldest")], above(900, 3600)),

    Row("Database and data (rates)"),
    Panel("Database up by instance", "1 if the last use of the primary worked, by instance. One at 0: that instance's network; "
          "all at 0: the database.",
          "none", 8, [(f"rates_database_up{JOB}", "{{instance}}")], from_one(), maximum=1),
    Panel("Notified of changes", "1 while an instance is notified when data changes. At 0 it reads every answer from "
          "the database (NotListening).",
          "none", 8, [(f"rates_database_listening{JOB}", "{{instance}}")], from_one(), maximum=1),
    Panel("Idle connections to the database", "Connections in the pool that are not in use, by instance, and all that "
          "are open. No idle connection for long: requests wait (DatabasePoolExhausted).",
          "short", 8, [(f"rates_database_connections_idle{JOB}", "{{instance}} idle"),
                       (f"rates_database_connections{JOB}", "{{instance}} open")]),
    Panel("Cache hit ratio", "Share of lookups that found an answer. It falls when data changes, since every answer is "
          "then read anew.",
          "percentunit", 8, [(hit_ratio(), "hits")], maximum=1),
    Panel("Cache size", "Bytes of lanes and answers in memory by instance. The limit is `cache.size_bytes` (64 MiB by default).",
          "bytes", 8, [(f"rates_cache_bytes{JOB}", "{{instance}}")]),
    Panel("Age of the data", "Time since prices or places last changed. The line is the limit of RatesDataOld, three "
          "days.",
          "s", 8, [(DATA_AGE, "age")], above(2 * DAY, 3 * DAY)),
    Panel("Batches per hour", "How batches of prices ended. Rejected: errors in the supplier's content. Failed: "
          "errors in the service (BatchesFailed).",
          "short", 24, [(f"sum(increase(rates_batches_{metric}_total{JOB}[1h]))", legend) for metric, legend in
                        (("done", "stored"), ("refused", "rejected"), ("failed", "failed"))]),

    Row("Build and certificate"),
    Panel("Instances by version", "Instances per version. During a deployment there are two. Deployments are also "
          "marked on every panel.",
          "none", 12, [(f"count by (version) (build_info{JOB})", "{{version}}")]),
    Panel("Certificate expires in", "Time until the TLS certificate expires, by instance. CertificateExpiresSoon fires "
          "21 days before, CertificateExpiresNow pages 3 days before. No data: TLS is off.",
          "s", 6, [(f"tls_certificate_expiry_timestamp_seconds{JOB} - time()", "{{instance}}")],
          [(None, RED), (3 * DAY, YELLOW), (21 * DAY, GREEN)]),
    Panel("First certificate to expire", "Time until the certificate expires that expires first, of all instances.",
          "s", 6, [(EXPIRES_IN, "expires in")], [(None, RED), (3 * DAY, YELLOW), (21 * DAY, GREEN)], stat=True),
]

# A version that was not there two minutes ago.
DEPLOYMENTS = f"count by (version) (build_info{JOB}) unless on (version) (build_info{JOB} offset 2m)"


def grafana_thresholds(steps):
    return {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in steps]}


def layout():
    """The panels in Grafana's form, placed from left to right."""
    x = y = height = 0
    for number, item in enumerate(ROWS, 1):
        if isinstance(item, Row):
            y, x, height = y + height, 0, 0
            yield {"id": number, "type": "row", "title": item.title, "collapsed": False, "panels": [],
                   "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}}
            y += 1
            continue
        if x + item.width > 24:
            x, y, height = 0, y + height, 0
        # A stat panel is as high as its neighbours; those of the first row are low.
        height = max(height, 4 if item.stat else 8)
        yield panel(number, item, {"x": x, "y": y, "w": item.width, "h": height})
        x += item.width


def panel(number, item, position):
    defaults = {"unit": item.unit, "thresholds": grafana_thresholds(item.thresholds)}
    for key, value in (("max", item.maximum), ("decimals", item.decimals)):
        if value is not None:
            defaults[key] = value
    if item.stat:
        defaults["color"] = {"mode": "thresholds"}
        options = {"colorMode": "background", "graphMode": "area", "justifyMode": "auto", "textMode": "value",
                   "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
    else:
        defaults["min"] = 0
        line = "dashed" if len(item.thresholds) > 1 else "off"
        defaults["custom"] = {"thresholdsStyle": {"mode": line}, "fillOpacity": 10, "showPoints": "never"}
        options = {"tooltip": {"mode": "multi", "sort": "desc"},
                   "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}}
    return {
        "id": number,
        "type": "stat" if item.stat else "timeseries",
        "title": item.title,
        "description": item.description,
        "datasource": SOURCE,
        "gridPos": position,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {"refId": chr(65 + at), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
            for at, (expression, legend) in enumerate(item.queries)
        ],
    }


DASHBOARD = {
    "uid": "freight-rates",
    "title": "Freight rates",
    "description": "Requests, queue, database and data of one service. The limits are those of the alert rules.",
    "tags": ["freight-rates"],
    "schemaVersion": 39,
    "time": {"from": "now-6h", "to": "now"},
    "refresh": "30s",
    # One crosshair for all panels: causes and effects stand under each other.
    "graphTooltip": 1,
    "templating": {"list": [
        {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        {"name": "job", "label": "Job", "type": "query", "datasource": SOURCE, "refresh": 2,
         "query": "label_values(build_info, job)", "current": {"text": "rates", "value": "rates"}},
    ]},
    "annotations": {"list": [{
        "name": "Deployments",
        "datasource": SOURCE,
        "enable": True,
        "iconColor": "blue",
        "expr": DEPLOYMENTS,
        "step": "60s",
        "titleFormat": "Deployed",
        "textFormat": "version {{version}}",
    }]},
    "panels": list(layout()),
}

if __name__ == "__main__":
    target = pathlib.Path(__file__).with_name("dashboard.json")
    target.write_text(json.dumps(DASHBOARD, indent=2) + "\n")
