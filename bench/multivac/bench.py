"""Accepted posts per second of multivac beside Flask, gunicorn, rq and Redis.

    bench/multivac/bench.py MULTIVAC    (DATABASE_URL names a database; see `make multivac-bench`)

Load comes from this machine, by wrk. Rounds are interleaved, and the median counts: the machine may be shared. Redis
syncs each write (appendfsync always) for both, and so does the file. No worker runs meanwhile but that of the file,
which has no other place. Afterwards workers store what the posts have put into Redis.
"""

import contextlib
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROUNDS, SECONDS, CONNECTIONS = 3, 4, 64
HERE = Path(__file__).parent
POST = """wrk.method = "POST"
wrk.body = "data=fiat+lux"
wrk.headers["content-type"] = "application/x-www-form-urlencoded"
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextlib.contextmanager
def running(command, url=None, **environment):
    process = subprocess.Popen(
        command, env={"PATH": os.environ["PATH"], **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            if process.poll() is not None:
                raise SystemExit(f"{command} ended with {process.returncode}")
            with contextlib.suppress(OSError):
                if url is None:
                    break
                try:
                    urllib.request.urlopen(url, timeout=1).close()
                except urllib.error.HTTPError:
                    pass
                break
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(20)


def wrk(port, connections, script, duration):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{duration}s", "--latency", "-s", str(script)]
    output = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/multivac/data"], check=True, capture_output=True, text=True
    ).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise SystemExit(output)
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", output).groups()
    milliseconds = float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]
    return float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1]), milliseconds


def posts_per_second(ports, script, duration=SECONDS):
    """Of all these servers together, and the highest p99 in milliseconds. Each server gets its share of the connections."""
    with ThreadPoolExecutor() as pool:
        of_each = list(pool.map(lambda port: wrk(port, CONNECTIONS // len(ports), script, duration), ports))
    return sum(rate for rate, _ in of_each), max(p99 for _, p99 in of_each)


def stored_per_second(workers, command, environment, database):
    """How much so many workers store of what waits."""
    def stored():
        count = "select count(*) from multivac.data"
        return int(subprocess.run(["psql", "-XAtc", count, database], check=True, capture_output=True, text=True).stdout)

    with contextlib.ExitStack() as stack:
        for _ in range(workers):
            stack.enter_context(running([*command, "work"], **environment))
        time.sleep(1)
        before, began = stored(), time.monotonic()
        time.sleep(SECONDS)
        return (stored() - before) / (time.monotonic() - began)


def main(binary):
    if not shutil.which("wrk"):
        raise SystemExit("wrk is not installed (Debian: apt-get install wrk)")
    database = os.environ["DATABASE_URL"]
    folder = Path(tempfile.mkdtemp())
    script = folder / "post.lua"
    script.write_text(POST)
    redis, ports = free_port(), [free_port() for _ in range(5)]
    redis_url = f"redis://127.0.0.1:{redis}"
    quiet = {"RUST_LOG": "warn", "MULTIVAC__SERVER__METRICS_PORT": "0"}
    on_redis = {**quiet, "DATABASE_URL": database, "REDIS_URL": redis_url}
    subprocess.run([binary, "migrate"], check=True, env={**os.environ, "RUST_LOG": "warn"})
    gunicorn = [str(Path(sys.executable).parent / "gunicorn"), "--chdir", str(HERE), "original:app", "--workers", "4"]
    servers = [
        ([*gunicorn, "--bind", f"127.0.0.1:{ports[0]}"], {"REDIS_URL": redis_url}),
        ([binary], on_redis),
        ([binary], on_redis),
        ([binary], {**quiet, "MULTIVAC_FILE": str(folder / "multivac.redb")}),
        ([binary], {**quiet, "DATABASE_URL": database}),
    ]
    original = "Flask, gunicorn, rq, Redis"
    subjects = {
        original: ports[:1],
        "multivac, Redis": ports[1:2],
        "multivac, Redis, two servers": ports[1:3],
        "multivac, file": ports[3:4],
        "multivac, PostgreSQL": ports[4:],
    }
    results = {name: [] for name in subjects}
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(redis), "--dir", str(folder), "--save", "",
             "--appendonly", "yes", "--appendfsync", "always"], url=None))
        time.sleep(1)
        for port, (command, environment) in zip(ports, servers):
            stack.enter_context(running(command, f"http://127.0.0.1:{port}/", PORT=str(port), **environment))
            posts_per_second([port], script, 1)
        for _ in range(ROUNDS):
            for name, of_subject in subjects.items():
                results[name].append(posts_per_second(of_subject, script))
        stored = {workers: stored_per_second(workers, [binary], on_redis, database) for workers in (1, 2)}
    shutil.rmtree(folder, ignore_errors=True)
    base = statistics.median(rate for rate, _ in results[original])
    print("| | accepted posts per second | p99 | ratio |\n| --- | --- | --- | --- |")
    for name, rounds in results.items():
        rate, p99 = sorted(rounds)[len(rounds) // 2]
        print(f"| {name} | {rate:,.0f} | {p99:.0f} ms | {rate / base:.1f} |")
    for workers, rate in stored.items():
        print(f"{workers} worker(s) on Redis stored {rate:,.0f} a second")


if __name__ == "__main__":
    main(sys.argv[1])
