"""The cost of storing prices: batches over HTTP against `psql \\copy`, the memory of a large batch, and reads meanwhile."""

import http.client
import os
import random
import re
import subprocess
import threading
import time
from pathlib import Path

from harness import RATES, ROOT, REGIONS, database, interleaved, path, psql, rates, wrk

FORMATS = {"csv": "text/csv", "ndjson": "application/x-ndjson", "json": "application/json"}
HEAD = "orig_code,dest_code,day,price\n"


def rows(count, seed):
    """Prices of 400 lanes on 30 days, the same each time."""
    dice = random.Random(seed)
    ports = psql("select code from ports order by code", "batching").split()
    lanes = [(origin, destination) for origin in ports[:20] for destination in ports[40:60]]
    for _ in range(count):
        origin, destination = dice.choice(lanes)
        yield origin, destination, f"2022-01-{dice.randint(1, 30):02}", dice.randint(500, 5000)


def content(form, prices):
    if form == "csv":
        return (HEAD + "".join("%s,%s,%s,%d\n" % row for row in prices)).encode()
    objects = ('{"orig_code":"%s","dest_code":"%s","day":"%s","price":%d}' % row for row in prices)
    return ("\n".join(objects) if form == "ndjson" else '{"prices":[' + ",".join(objects) + "]}").encode()


def post(server, key, form, body, status=201):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    headers = {"content-type": FORMATS[form], "authorization": f"Bearer {key}", "idempotency-key": str(time.monotonic_ns())}
    connection.request("POST", "/prices", body, headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != status:
        raise SystemExit(f"{answer.status} {text[:300]}")


def reset(name="batching"):
    psql("delete from prices where day >= '2022-01-01'; vacuum analyze prices; vacuum analyze daily_rates; checkpoint", name)


def make_key(name):
    environment = {**os.environ, "DATABASE_URL": database(name), "RUST_LOG": "warn"}
    return subprocess.run([RATES, "key", "create", "bench"], env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def at_size(table, body, count):
    """The time of a batch with ten million prices in the database, against that with 73 thousand."""
    def timed(server, name, key):
        def measured():
            reset(name)
            started = time.monotonic()
            post(server, key, "csv", body)
            return {"seconds": time.monotonic() - started}

        return measured

    with rates(8118, name="scaled") as large, rates(8111, name="batching") as small:
        of_large, of_small = interleaved(*(timed(server, name, make_key(name)) for server, name in ((large, "scaled"), (small, "batching"))))
    reset("scaled")
    ratio = of_large["seconds"] / of_small["seconds"]
    table.add(
        f"8. time of a batch of {count:,} rows over HTTP, 10 million ÷ 73 thousand prices", f"{of_large['seconds']:.2f} s",
        f"{of_small['seconds']:.2f} s", f"{ratio:.2f}", "", None,
    )


def measure(table):
    subprocess.run(["psql", "-X", "-q", database("postgres")], input="drop database if exists batching; create database batching", text=True, check=True)
    environment = {**os.environ, "DATABASE_URL": database("batching"), "RUST_LOG": "warn"}
    subprocess.run([RATES, "migrate"], env=environment, check=True)
    subprocess.run([RATES, "load", ROOT / "db/rates.sql"], env=environment, check=True)
    key = make_key("batching")
    count = 100_000
    bodies = {form: content(form, rows(count, 1)) for form in FORMATS}
    copied = ROOT / ".run/batch.csv"
    copied.write_bytes(bodies["csv"])

    def timed(action):
        def measured():
            reset()
            started = time.monotonic()
            action()
            return {"rate": count / (time.monotonic() - started)}

        return measured

    os.environ |= {"RATES__BATCHES__PER_MINUTE_BY_KEY": "100000", "RATES__BATCHES__PER_MINUTE_BY_ADDRESS": "100000"}
    at_size(table, bodies["csv"], count)
    with rates(8111, name="batching") as server:
        copy = timed(lambda: psql(f"\\copy prices (orig_code, dest_code, day, price) from '{copied}' with (format csv, header)", "batching"))
        posts = [timed(lambda form=form: post(server, key, form, bodies[form])) for form in FORMATS]
        *ours, theirs = interleaved(*posts, copy)
        for form, found in zip(FORMATS, ours):
            table.speed(f"8. a batch of 100,000 rows over HTTP, {form} ÷ `psql \\copy` of the same with the same triggers (rows)", found, theirs, 0.9)

        unknown = HEAD + "".join(f"A{number},B{number},2022-01-01,1\n" for number in range(1_000_000))
        for what, form, body, status in (
            ("", "json", content("json", rows(1_000_000, 2)), 201), (" whose ports are unknown", "csv", unknown.encode(), 422),
        ):
            reset()
            Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")
            before = server.resident_mib()
            post(server, key, form, body, status)
            peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{server.process.pid}/status").read_text())[1]
            growth = int(peak) / 1024 - before
            table.add(f"8. memory that a batch of a million rows{what} adds", f"{growth:.1f} MiB", "", "", "< 64 MiB", growth < 64)

        reset()
        done = threading.Event()

        def stream():
            while not done.is_set():
                post(server, key, "csv", bodies["csv"])

        question = path(REGIONS)
        quiet = wrk(server, question, seconds=6)
        streaming = threading.Thread(target=stream)
        streaming.start()
        busy = wrk(server, question, seconds=12)
        done.set()
        streaming.join()
        ratio = busy["p99"] / quiet["p99"]
        table.add("8. p99 of reads while batches stream in ÷ without", f"{busy['p99']:.2f} ms", f"{quiet['p99']:.2f} ms", f"{ratio:.2f}", "≤ 3", ratio <= 3)
