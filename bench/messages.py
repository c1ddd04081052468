#!/usr/bin/env python3
"""Measures `messages` against a bare axum server and against Redis itself; prints the table of docs/messages.md.

    cargo build --locked --release -p messages -p chassis --bin messages --example constant && bench/messages.py

Every figure is the median of interleaved runs in one sitting, all on the same processors, so that ratios hold on a noisy
machine. Needs wrk, redis-server and redis-benchmark.
"""

import hashlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MESSAGES = ROOT / "target/release/messages"
CONSTANT = ROOT / "target/release/examples/constant"
SECONDS = int(os.environ.get("BENCH_SECONDS", "2"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
CONNECTIONS = int(os.environ.get("BENCH_CONNECTIONS", "16"))
DIGEST = hashlib.sha256(b"foo").hexdigest()

# Each text is new: a prefix of this run, the thread and a counter.
POSTS = """
local run = "%s"
local threads = 0
function setup(thread) thread:set("number", threads); threads = threads + 1 end
function init() count = 0 end
function request()
  count = count + 1
  return wrk.format("POST", "/messages", {["content-type"] = "application/json"},
    string.format('{"message":"%%s %%d %%d"}', run, number, count))
end
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


class Process:
    """A server that listens on a port."""

    def __init__(self, command, port, environment=None, cwd=None):
        self.port = port
        self.process = subprocess.Popen(
            list(map(str, command)), env={**os.environ, **(environment or {})}, cwd=cwd,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"{command} does not listen")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def messages(folder, **environment):
    port = free_port()
    given = {"PORT": str(port), "MESSAGES__SERVER__METRICS_PORT": "0", "MESSAGES__TLS__ENABLED": "false"}
    return Process([MESSAGES], port, {**given, **environment}, folder)


def post(port, text):
    body = json.dumps({"message": text}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/messages", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=5).read()


def wrk(port, path, script=None):
    """Requests per second, and p50 and p99 in milliseconds."""
    command = ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{SECONDS}s", "--latency", f"http://127.0.0.1:{port}{path}"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        if script:
            file.write(script)
            file.flush()
            command += ["-s", file.name]
        out = subprocess.run(command, text=True, check=True, stdout=subprocess.PIPE).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise SystemExit(out)
    unit = {"us": 0.001, "ms": 1, "s": 1000}

    def percentile(name):
        value, suffix = re.search(rf"{name}%\s+([\d.]+)(us|ms|s)", out).groups()
        return float(value) * unit[suffix]

    return {"rate": float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), "p50": percentile("50"), "p99": percentile("99")}


def redis_benchmark(port, test, rate):
    """As many requests as take about as long as a run of wrk."""
    out = subprocess.run(
        ["redis-benchmark", "-p", str(port), "-c", str(CONNECTIONS), "-t", test, "-n", str(rate * SECONDS), "-r", "100000000", "--csv"],
        text=True, check=True, stdout=subprocess.PIPE,
    ).stdout
    row = out.strip().splitlines()[-1].replace('"', "").split(",")
    return {"rate": float(row[1]), "p50": float(row[4]), "p99": float(row[6])}


def interleaved(*measures):
    """Each measure once a round; for each the median of each of its figures."""
    found = [[] for _ in measures]
    for _ in range(ROUNDS):
        for measure, results in zip(measures, found):
            results.append(measure())
    return [{key: statistics.median(result[key] for result in results) for key in results[0]} for results in found]


def row(what, ours, theirs, goal=None):
    ratio = ours["rate"] / theirs["rate"]
    shown = [f"{one['rate']:,.0f}/s (p50 {one['p50']:.2f}, p99 {one['p99']:.2f} ms)" for one in (ours, theirs)]
    met = "" if goal is None else f"≥ {goal:g}: {'yes' if ratio >= goal else '**no**'}"
    print(f"| {what} | {shown[0]} | {shown[1]} | {ratio:.2f} | {met} |", flush=True)


def new_texts():
    return POSTS % time.time_ns()


def main():
    for program in ("wrk", "redis-server", "redis-benchmark"):
        if not shutil.which(program):
            sys.exit(f"{program} is missing")
    print(f"{CONNECTIONS} connections, {ROUNDS} runs of {SECONDS} s each, {os.cpu_count()} processors shared with the client\n")
    print("| | `messages` | compared with | ratio | goal |\n| --- | --- | --- | --- | --- |")
    get = f"/messages/{DIGEST}"
    quiet = {"RUST_LOG": "warn", "MESSAGES__LOGS__FOLDER": ""}
    body = len(json.dumps({"message": "foo"}, separators=(",", ":")))
    with tempfile.TemporaryDirectory() as folder:
        constant = free_port()
        (Path(folder) / "second").mkdir()
        with Process([CONSTANT, constant, body], constant), messages(folder, **quiet) as ours, messages(Path(folder) / "second") as logging:
            post(ours.port, "foo")
            post(logging.port, "foo")
            bare, read, logged, written = interleaved(
                lambda: wrk(constant, "/rates"),
                lambda: wrk(ours.port, get),
                lambda: wrk(logging.port, get),
                lambda: wrk(ours.port, "/messages", new_texts()),
            )
        row("GET, embedded store ÷ bare axum", read, bare, 0.7)
        row("the same with every request logged, on standard output and in access.log", logged, bare)
        row("POST of new messages, embedded store, synced ÷ bare axum", written, bare)
    with tempfile.TemporaryDirectory() as folder:
        redis = free_port()
        server = ["redis-server", "--bind", "127.0.0.1", "--port", redis, "--dir", folder, "--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        with Process(server, redis), messages(folder, **quiet, MESSAGES_REDIS_HOST="127.0.0.1", MESSAGES_REDIS_PORT=str(redis)) as ours:
            post(ours.port, "foo")
            itself, read, setting, written = interleaved(
                lambda: redis_benchmark(redis, "get", 40_000),
                lambda: wrk(ours.port, get),
                lambda: redis_benchmark(redis, "set", 5_000),
                lambda: wrk(ours.port, "/messages", new_texts()),
            )
        row("GET, Redis ÷ redis-benchmark GET", read, itself, 0.6)
        row("POST of new messages, Redis ÷ redis-benchmark SET, each synced", written, setting)


if __name__ == "__main__":
    main()
