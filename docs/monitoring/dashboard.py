#!/usr/bin/env python3
"""Writes dashboard.json (Grafana) beside itself: a row a panel here is forty lines there."""

import json
import pathlib

JOB = '{job="$job"}'
REQUESTS = 'http_request_duration_seconds_count{job="$job"%s}'
BUCKETS = 'http_request_duration_seconds_bucket{job="$job", route=~"/rates.*"}'


def rate(series, by):
    return f"sum by ({by}) (rate({series}[$__rate_interval]))"


def share(part):
    return f"{rate(REQUESTS % part, 'job')} / {rate(REQUESTS % '', 'job')}"


def quantile(part):
    return f"histogram_quantile({part}, {rate(BUCKETS, 'le')})"


# Title, unit, width of 24, and the queries with their legends.
PANELS = [
    ("Requests", "reqps", 12, [(rate(REQUESTS % "", "route"), "{{route}}")]),
    ("Errors, share of answers", "percentunit", 12, [
        (share(', status=~"5.."'), "5xx"),
        (share(', status=~"4.."'), "4xx"),
    ]),
    ("Time to answer rates", "s", 12, [
        (quantile(0.5), "half"), (quantile(0.95), "95 %"), (quantile(0.99), "99 %"),
    ]),
    ("In flight and refused", "short", 12, [
        (f"sum(http_requests_in_flight{JOB})", "in flight"),
        (f"sum(rate(http_requests_shed_total{JOB}[$__rate_interval]))", "refused a second"),
    ]),
    ("Cache, share of lookups that hit", "percentunit", 8, [
        # Gauges that only grow; a restart begins anew, as with a counter.
        (f"sum(rate(rates_cache_hits_total{JOB}[$__rate_interval])) / (sum(rate(rates_cache_hits_total{JOB}[$__rate_interval])) "
         f"+ sum(rate(rates_cache_misses_total{JOB}[$__rate_interval])))", "hits"),
    ]),
    ("Cache size", "bytes", 8, [(f"rates_cache_bytes{JOB}", "{{instance}}")]),
    ("Connections to the database", "short", 8, [
        (f"sum(rates_database_connections{JOB})", "open"),
        (f"sum(rates_database_connections_idle{JOB})", "of these idle"),
    ]),
    ("Batches of prices in an hour, by outcome", "short", 12, [
        (f"sum(increase(rates_batches_{outcome}_total{JOB}[1h]))", outcome) for outcome in ("done", "refused", "failed")
    ]),
    ("Since data last changed", "s", 6, [(f"max(rates_data_age_seconds{JOB})", "age")]),
    ("Instances that hear of changes", "short", 6, [
        (f"sum(rates_database_listening{JOB})", "listening"), (f"count(build_info{JOB})", "running"),
    ]),
]


def panels():
    x = y = 0
    for number, (title, unit, width, queries) in enumerate(PANELS, 1):
        if x + width > 24:
            x, y = 0, y + 8
        yield {
            "id": number,
            "type": "timeseries",
            "title": title,
            "datasource": {"type": "prometheus", "uid": "${source}"},
            "gridPos": {"x": x, "y": y, "w": width, "h": 8},
            "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
            "targets": [
                {"refId": chr(65 + at), "expr": expression, "legendFormat": legend}
                for at, (expression, legend) in enumerate(queries)
            ],
        }
        x += width


DASHBOARD = {
    "uid": "freight-rates",
    "title": "Freight rates",
    "schemaVersion": 39,
    "time": {"from": "now-6h", "to": "now"},
    "refresh": "30s",
    "templating": {"list": [
        {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        {"name": "job", "type": "query", "datasource": {"type": "prometheus", "uid": "${source}"},
         "query": "label_values(build_info, job)", "current": {"text": "rates", "value": "rates"}},
    ]},
    "panels": list(panels()),
}

if __name__ == "__main__":
    target = pathlib.Path(__file__).with_name("dashboard.json")
    target.write_text(json.dumps(DASHBOARD, indent=2) + "\n")
