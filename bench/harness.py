"""What the benchmarks share: the servers, the load generators, and the table of what they measure."""

import os
import re
import shutil
import socket
import statistics
import subprocess
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Set by db/private_postgres.sh. Benchmarks without a database leave it empty.
URL = os.environ.get("DATABASE_URL", "")
BIN = os.environ.get("PRIVATE_POSTGRES_BIN", "")
RATES = ROOT / "target/release/rates"
CONSTANT = ROOT / "target/release/examples/constant"
VENV = ROOT / ".run/bench"
SECONDS = float(os.environ.get("BENCH_SECONDS", "4"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
CONNECTIONS = int(os.environ.get("BENCH_CONNECTIONS", "16"))
BROWSER = ("Accept-Encoding: gzip, deflate, br, zstd",)
PORTS = {"orig_code": "CNGGZ", "dest_code": "EETLL"}
REGIONS = {"orig_code": "asia", "dest_code": "europe"}


def path(place, first="2021-01-01", last="2021-01-31"):
    return f"/rates?date_from={first}&date_to={last}&orig_code={place['orig_code']}&dest_code={place['dest_code']}"


def database(name):
    return re.sub(r"(//[^/]+/)[^?]*", rf"\1{name}", URL)


def psql(sql, name="rates"):
    return subprocess.run(
        ["psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", database(name)],
        input=sql, text=True, check=True, stdout=subprocess.PIPE,
    ).stdout


class Server:
    """A process that listens on a port, on given processors. It has started when it answers `ready` with a status below
    400 or, without `ready`, when it accepts a connection."""

    def __init__(self, command, port, cpus, environment=None, cwd=ROOT, ready=path(PORTS)):
        self.port = port
        self.process = subprocess.Popen(
            ["taskset", "-c", cpus, *map(str, command)],
            env={**os.environ, **(environment or {})}, cwd=cwd,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for _ in range(400):
            try:
                if ready:
                    self.get(ready)
                else:
                    socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"{command} does not answer")

    def get(self, uri):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{uri}", timeout=20) as answer:
            return answer.read()

    def resident_mib(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def rates(port, cpus="0,1", name="rates", log="warn", cache=True, environment=None, ready=path(PORTS)):
    return Server(
        [RATES, "serve"], port, cpus,
        {
            "DATABASE_URL": database(name), "PORT": str(port), "RATES__SERVER__METRICS_PORT": "0", "RUST_LOG": log,
            # `rates work` has done it before: in the background it would share the processors with what is measured.
            "RATES__SERVER__LAME_DUCK_SECONDS": "0", "RATES__BATCHES__WORKERS": "0",
            **({} if cache else {"RATES__CACHE__SIZE_BYTES": "0"}), **(environment or {}),
        },
        ready=ready,
    )


def wrk(server, uri, cpus="0,1", connections=CONNECTIONS, seconds=None, threads=1, headers=(), script=None):
    """Requests per second, and p50 and p99 in milliseconds. `script` is a file in Lua that makes the requests."""
    out = subprocess.run(
        ["taskset", "-c", cpus, "wrk", "-t", str(threads), "-c", str(connections), "-d", f"{seconds or SECONDS:g}s", "--latency",
         *(f"-H{header}" for header in headers), *(("-s", script) if script else ()), f"http://127.0.0.1:{server.port}{uri}"],
        text=True, check=True, stdout=subprocess.PIPE,
    ).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise SystemExit(out)
    unit = {"us": 0.001, "ms": 1, "s": 1000}

    def percentile(name):
        value, suffix = re.search(rf"{name}%\s+([\d.]+)(us|ms|s)", out).groups()
        return float(value) * unit[suffix]

    return {"rate": float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), "p50": percentile("50"), "p99": percentile("99")}


def pgbench(statements, name="rates", connections=CONNECTIONS):
    """Transactions per second, each one of these statements, which are at most 128."""
    files = []
    for at, sql in enumerate(statements):
        file = ROOT / f".run/pgbench-{at}.sql"
        file.write_text(sql.replace("\n", " ") + ";\n")
        files += ["-f", file]
    out = subprocess.run(
        [shutil.which("pgbench") or f"{BIN}/pgbench", "-n", "-M", "prepared", "-c", str(connections), "-j", "1", "-T",
         str(max(1, round(SECONDS))), *files, database(name)],
        text=True, check=True, stdout=subprocess.PIPE,
    ).stdout
    return {"rate": float(re.search(r"tps = ([\d.]+) \(without", out)[1])}


def interleaved(*measures, rounds=ROUNDS):
    """Each measure once a round; for each the median of each of its figures."""
    found = [[] for _ in measures]
    for _ in range(rounds):
        for measure, results in zip(measures, found):
            results.append(measure())
    return [{key: statistics.median(result[key] for result in results) for key in results[0]} for results in found]


class Table:
    """The results: printed as they are measured, and as a table in Markdown."""

    def __init__(self):
        self.rows = []

    def add(self, what, ours, theirs, ratio, goal, met):
        """`met` is None if there is no goal."""
        verdict = {True: "yes", False: "**no**", None: ""}[met]
        self.rows.append((what, ours, theirs, ratio, goal, verdict))
        print(f"{what}: {ours} / {theirs} = {ratio} (goal {goal or 'none'}, met: {verdict})", flush=True)

    def speed(self, what, ours, theirs, goal=None):
        ratio = ours["rate"] / theirs["rate"]
        shown = [f"{one['rate']:,.0f}/s" + (f" (p50 {one['p50']:.2f}, p99 {one['p99']:.2f} ms)" if "p50" in one else "") for one in (ours, theirs)]
        self.add(what, *shown, f"{ratio:.2f}" if ratio < 10 else f"{ratio:,.0f}", f"≥ {goal:g}" if goal else "", ratio >= goal if goal else None)

    def markdown(self):
        return [
            "| What | Ours | Theirs | Ratio | Goal | Met |",
            "| --- | --- | --- | --- | --- | --- |",
            *(f"| {' | '.join(row)} |" for row in self.rows),
        ]
