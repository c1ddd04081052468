"""Accepted posts per second of multivac beside Flask, gunicorn, rq and Redis.

    bench/multivac/bench.py MULTIVAC    (DATABASE_URL names a database; see `make multivac-bench`)

Load comes from this machine, by wrk. Rounds are interleaved, and the median counts: the machine may be shared. Redis
syncs each write (appendfsync always) for both, and so does the file. No worker runs meanwhile but that of the file,
which has no other place.
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
from pathlib import Path

ROUNDS, SECONDS, CONNECTIONS = 3, 4, 32
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


def posts_per_second(port, script, duration=SECONDS):
    command = ["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{duration}s", "--latency", "-s", str(script)]
    output = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/multivac/data"], check=True, capture_output=True, text=True
    ).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise SystemExit(output)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])
    p99 = re.search(r"99%\s+(\S+)", output)[1]
    return rate, p99


def main(binary):
    if not shutil.which("wrk"):
        raise SystemExit("wrk is not installed (Debian: apt-get install wrk)")
    database = os.environ["DATABASE_URL"]
    folder = Path(tempfile.mkdtemp())
    script = folder / "post.lua"
    script.write_text(POST)
    redis, ports = free_port(), [free_port() for _ in range(8)]
    redis_url = f"redis://127.0.0.1:{redis}"
    quiet = {"RUST_LOG": "warn", "MULTIVAC__SERVER__METRICS_PORT": "0"}
    subprocess.run([binary, "migrate"], check=True, env={**os.environ, "RUST_LOG": "warn"})
    gunicorn = [str(Path(sys.executable).parent / "gunicorn"), "--chdir", str(HERE), "original:app"]
    subjects = {
        "Flask, gunicorn, rq, Redis": (ports[0], [*gunicorn, "--workers", "4", "--bind", f"127.0.0.1:{ports[0]}"],
                                       {"REDIS_URL": redis_url}),
        "multivac, Redis": (ports[1], [binary], {**quiet, "PORT": str(ports[1]), "DATABASE_URL": database,
                                                 "REDIS_URL": redis_url}),
        "multivac, file": (ports[2], [binary], {**quiet, "PORT": str(ports[2]),
                                                "MULTIVAC_FILE": str(folder / "multivac.redb")}),
        "multivac, PostgreSQL": (ports[3], [binary], {**quiet, "PORT": str(ports[3]), "DATABASE_URL": database}),
    }
    results = {name: [] for name in subjects}
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(redis), "--dir", str(folder), "--save", "",
             "--appendonly", "yes", "--appendfsync", "always"], url=None))
        time.sleep(1)
        for port, command, environment in subjects.values():
            stack.enter_context(running(command, f"http://127.0.0.1:{port}/", **environment))
        for port, _, _ in subjects.values():
            posts_per_second(port, script, 1)
        for _ in range(ROUNDS):
            for name, (port, _, _) in subjects.items():
                results[name].append(posts_per_second(port, script))
    shutil.rmtree(folder, ignore_errors=True)
    base = statistics.median(rate for rate, _ in results["Flask, gunicorn, rq, Redis"])
    print("| | accepted posts per second | p99 | ratio |\n| --- | --- | --- | --- |")
    for name, rounds in results.items():
        rate, p99 = sorted(rounds)[len(rounds) // 2]
        print(f"| {name} | {rate:,.0f} | {p99} | {rate / base:.1f} |")


if __name__ == "__main__":
    main(sys.argv[1])
