#!/usr/bin/env python3
"""Measures `messages` against a bare axum server and against Redis itself; prints the table of docs/messages.md.

    cargo build --locked --release -p messages -p chassis --bin messages --example constant && bench/messages.py

Every figure is the median of interleaved runs (A B A B …), so that ratios hold on a noisy machine. Needs wrk, taskset,
redis-server and redis-benchmark. BENCH_SECONDS (4), BENCH_ROUNDS (3) and BENCH_CONNECTIONS (16) change the runs.
"""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from harness import CONNECTIONS, CONSTANT, ROOT, ROUNDS, SECONDS, Server, Table, interleaved, wrk

MESSAGES = ROOT / "target/release/messages"
CPUS = "0,1"
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


def messages(folder, **environment):
    port = free_port()
    settings = {"PORT": str(port), "MESSAGES__SERVER__METRICS_PORT": "0", "MESSAGES__TLS__ENABLED": "false"}
    return Server([MESSAGES], port, CPUS, {**settings, **environment}, folder, ready="/readyz")


def post(server, text):
    body = json.dumps({"message": text}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}/messages", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=5).read()


def post_new_messages(server):
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(POSTS % time.time_ns())
        script.flush()
        return wrk(server, "/messages", script=script.name)


def redis_benchmark(server, test, rate):
    """`rate` is about what Redis reaches, so that the run takes about as long as one of wrk."""
    out = subprocess.run(
        ["redis-benchmark", "-p", str(server.port), "-c", str(CONNECTIONS), "-t", test, "-n", str(round(rate * SECONDS)), "-r", "100000000", "--csv"],
        text=True, check=True, stdout=subprocess.PIPE,
    ).stdout
    row = out.strip().splitlines()[-1].replace('"', "").split(",")
    return {"rate": float(row[1]), "p50": float(row[4]), "p99": float(row[6])}


def main():
    for program in ("wrk", "taskset", "redis-server", "redis-benchmark"):
        if not shutil.which(program):
            raise SystemExit(f"{program} is missing: apt-get install wrk util-linux redis-server redis-tools")
    table = Table()
    get = f"/messages/{DIGEST}"
    quiet = {"RUST_LOG": "warn", "MESSAGES__LOGS__FOLDER": ""}
    body = len(json.dumps({"message": "foo"}, separators=(",", ":")))
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        (Path(folder) / "second").mkdir()
        with (
            Server([CONSTANT, port, body], port, CPUS) as constant,
            messages(folder, **quiet) as ours,
            messages(Path(folder) / "second") as logging,
        ):
            post(ours, "foo")
            post(logging, "foo")
            bare, read, logged, written = interleaved(
                lambda: wrk(constant, "/rates"),
                lambda: wrk(ours, get),
                lambda: wrk(logging, get),
                lambda: post_new_messages(ours),
            )
        table.speed("GET, embedded store ÷ bare axum", read, bare, 0.7)
        table.speed("the same with every request logged, on standard output and in access.log", logged, bare)
        table.speed("POST of new messages, embedded store, synced ÷ bare axum", written, bare)
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        command = [
            "redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", folder,
            "--save", "", "--appendonly", "yes", "--appendfsync", "always",
        ]
        with (
            Server(command, port, CPUS, ready=None) as redis,
            messages(folder, **quiet, MESSAGES_REDIS_HOST="127.0.0.1", MESSAGES_REDIS_PORT=str(port)) as ours,
        ):
            post(ours, "foo")
            itself, read, setting, written = interleaved(
                lambda: redis_benchmark(redis, "get", 40_000),
                lambda: wrk(ours, get),
                lambda: redis_benchmark(redis, "set", 5_000),
                lambda: post_new_messages(ours),
            )
        table.speed("GET, Redis ÷ redis-benchmark GET", read, itself, 0.6)
        table.speed("POST of new messages, Redis ÷ redis-benchmark SET, each synced", written, setting)
    print(f"\n{os.cpu_count()} cores, {CONNECTIONS} connections, medians of {ROUNDS} runs of {SECONDS:g} s\n")
    print("\n".join(table.markdown()))


if __name__ == "__main__":
    main()
