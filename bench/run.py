#!/usr/bin/env python3
"""Measures the service against the alternatives and writes docs/BENCHMARKS.md.

Run it with `make bench`. Rates and times are medians of interleaved runs (A B A B …), so that ratios hold on a noisy
machine; memory, and the reads of row 8, are measured once. Needs wrk, pgbench, psql, taskset and at least two cores.
Flask and FastAPI are installed into .run/bench.

BENCH_SECONDS (4), BENCH_ROUNDS (3) and BENCH_CONNECTIONS (16) change the runs.
"""

import datetime
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import batches
import first_answers
import mixed
from harness import (
    BROWSER, CONNECTIONS, CONSTANT, PORTS, RATES, REGIONS, ROOT, ROUNDS, SECONDS, VENV, Server, Table, database,
    interleaved, path, pgbench, psql, rates, wrk,
)
from query import RATES as RECURSIVE_SELECT, is_port

DAYS = """select day, price_sum, price_count from daily_rates
where origin = $1 and destination = $2 and day between $3 and $4 order by day desc"""


def lanes(name, ports):
    """The pairs of ports, or of regions, that have prices."""
    return [lane for lane in mixed.pairs(name) if all(is_port(place) == ports for place in lane.values())]


def januaries(name, ports):
    """A script of wrk that asks for January of each lane: equal requests would share a read."""
    return mixed.script([path(lane) for lane in lanes(name, ports)], f"januaries-{name}-{'ports' if ports else 'regions'}")


def service_select():
    """The statement of the service, from where the service has it."""
    source = (ROOT / "rates/src/lanes/sql/mod.rs").read_text()
    return re.search(r'fn read_days\(.*?query!\(\s*r#"(.*?)"#', source, re.S)[1]


def selects(statement, ports):
    """This statement for January of a hundred lanes, with its parameters written out, for pgbench."""
    ids = dict(row.split("|") for row in psql("select name, id from places").split())
    for lane in lanes("rates", ports)[:100]:
        values = {"$1": ids[lane["orig_code"]], "$2": ids[lane["dest_code"]], "$3": "2021-01-01", "$4": "2021-01-31"}
        written = statement
        for parameter, value in values.items():
            written = written.replace(parameter, f"'{{{value}}}'" if "unnest" in statement else f"'{value}'")
        yield written


def raw_select(place):
    return RECURSIVE_SELECT.format(
        origin=f"'{place['orig_code']}'", destination=f"'{place['dest_code']}'", first="'2021-01-01'", last="'2021-01-31'"
    )


def prepare():
    for program in ("wrk", "psql", "taskset"):
        if not shutil.which(program):
            raise SystemExit(f"{program} is missing: apt-get install wrk postgresql-client")
    if not (VENV / "bin/uvicorn").exists():
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([VENV / "bin/pip", "install", "-q", "flask", "psycopg2-binary", "gunicorn", "fastapi", "asyncpg", "uvicorn[standard]"], check=True)
    for name, script in (("rates", None), ("month", "month.sql"), ("scaled", "scale.sql")):
        if psql(f"select count(*) from pg_database where datname = '{name}'", "postgres").strip() == "0":
            psql(f"create database {name}", "postgres")
        if psql("select to_regclass('public.daily_rates') is null", name).strip() == "t":
            print(f"loading {name}", flush=True)
            # The dump first and the migrations after: one pass over all prices makes the rollup.
            subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", ROOT / "db/rates.sql", database(name)], check=True, stdout=subprocess.DEVNULL)
            if script:
                psql((ROOT / "bench" / script).read_text(), name)
        # Always: what an earlier run left may be of an earlier schema.
        subprocess.run([RATES, "migrate"], env={**os.environ, "DATABASE_URL": database(name), "RUST_LOG": "warn"}, check=True)
        if name != "month":
            work_off(name)
        psql("vacuum analyze", name)


def statistics_of_a_year(table, large, small):
    """Percentiles and pictures of a year between continents, from a large and a small database, nothing in memory."""
    year = path(REGIONS, "2021-01-01", "2021-12-31")
    (mean,) = interleaved(lambda: wrk(large, year, connections=1))
    for uri, what in ((f"{year}&statistics=full", "`statistics=full`"), (year.replace("/rates", "/rates.svg"), "a picture")):
        of_large, of_small = interleaved(*(lambda server=server: wrk(server, uri, connections=1) for server in (large, small)))
        ours = f"{of_large['p50']:.2f} ms (p99 {of_large['p99']:.2f})"
        for what_else, theirs, goal in (("the same of 73 thousand prices", of_small, 1.5), ("the means alone", mean, 3)):
            ratio = of_large["p50"] / theirs["p50"]
            table.add(
                f"11. cold p50 of {what} of a year between continents, 10 million prices ÷ {what_else}, 1 connection", ours,
                f"{theirs['p50']:.2f} ms (p99 {theirs['p99']:.2f})", f"{ratio:.2f}", f"≤ {goal:g}", ratio <= goal,
            )


def work_off(name):
    """Has a worker store what rows 10 and 11 need: the list of lanes, and the percentiles of 2021 between the continents."""
    done = """select (select count(*) = 12 from monthly_statistics s join places o on o.id = origin join places d on d.id = destination
        where (o.name, d.name) = ('asia', 'europe') and month between '2021-01-01' and '2021-12-01' and percentiles is not null)
        and exists (select from lane_summaries)"""
    print(f"storing the percentiles of {name}", flush=True)
    worker = subprocess.Popen([RATES, "work"], env={**os.environ, "DATABASE_URL": database(name), "RATES__SERVER__METRICS_PORT": "0", "RUST_LOG": "warn"})
    for _ in range(6000):
        if psql(done, name).strip() == "t":
            break
        time.sleep(0.1)
    else:
        raise SystemExit(f"{name}: the worker does not store percentiles and lanes")
    worker.terminate()
    worker.wait()


def loading(table):
    """Rows per second of `rates load` and of COPY with the triggers, against COPY into the table as a dump has it."""
    subprocess.run(["psql", "-X", "-q", database("postgres")], input="drop database if exists loading; create database loading", text=True, check=True)
    environment = {**os.environ, "DATABASE_URL": database("loading"), "RUST_LOG": "warn"}
    subprocess.run([RATES, "migrate"], env=environment, check=True)
    subprocess.run([RATES, "load", ROOT / "db/rates.sql"], env=environment, check=True)
    for source, what in (("month", "a month of all lanes"), ("rates", "the sample, scattered over years")):
        file = ROOT / f".run/{source}.csv"
        psql(f"\\copy (select orig_code, dest_code, day, price from prices) to '{file}' with (format csv, header)", source)
        rows = int(psql("select count(*) from prices", source))

        def timed(action, before="", after=""):
            def measure():
                psql(f"truncate prices; {before}", "loading")
                started = time.monotonic()
                action()
                took = time.monotonic() - started
                psql(after, "loading")
                return {"rate": rows / took}

            return measure

        copy = lambda: psql(f"\\copy prices (orig_code, dest_code, day, price) from '{file}' with (format csv, header)", "loading")
        with_triggers = timed(copy)
        # The table as a dump has it.
        bare_table = "alter table prices disable trigger user, add foreign key (orig_code) references ports, add foreign key (dest_code) references ports"
        with_ours = "alter table prices enable trigger user, drop constraint prices_orig_code_fkey, drop constraint prices_dest_code_fkey"
        without = timed(copy, bare_table, with_ours)
        load = timed(lambda: subprocess.run([RATES, "load", file], env=environment, check=True))
        loaded, copied, bare = interleaved(load, with_triggers, without)
        goal = 0.7 if source == "month" else 0.5
        table.speed(f"6. `rates load` ÷ COPY into the table of a dump, without rollup (rows), {what}", loaded, bare, goal)
        table.speed(f"6. COPY with the triggers ÷ COPY into the table of a dump, without rollup (rows), {what}", copied, bare, goal)
    two_writers(table, environment)


def two_writers(table, environment):
    """Rows per second of two that load prices of different lanes at the same time, against one that loads both in turn."""
    halves = [ROOT / f".run/month-{half}.csv" for half in (0, 1)]
    for half, file in enumerate(halves):
        psql(f"\\copy (select orig_code, dest_code, day, price from prices where hashtext(dest_code) & 1 = {half}) to '{file}' with (format csv, header)", "month")
    rows = int(psql("select count(*) from prices", "month"))

    def load(at_once):
        psql("truncate prices", "loading")
        started = time.monotonic()
        loads = []
        for file in halves:
            loads.append(subprocess.Popen([RATES, "load", "--append", file], env=environment))
            if not at_once:
                loads[-1].wait()
        if any(load.wait() for load in loads):
            raise SystemExit("a load failed")
        return {"rate": rows / (time.monotonic() - started)}

    two, one = interleaved(lambda: load(True), lambda: load(False))
    table.speed("6. two writers of different lanes at once ÷ one after the other (rows), a month of all lanes", two, one, 1.4)


def ready_in_ms():
    """From the start of the process to the first 200 of /readyz, asked every millisecond."""
    started = time.monotonic()
    environment = {**os.environ, "DATABASE_URL": database("rates"), "PORT": "8112", "RATES__SERVER__METRICS_PORT": "0", "RATES__SERVER__LAME_DUCK_SECONDS": "0", "RUST_LOG": "warn"}
    process = subprocess.Popen([RATES, "serve"], env=environment, stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                with urllib.request.urlopen("http://127.0.0.1:8112/readyz", timeout=1):
                    return {"ms": (time.monotonic() - started) * 1000}
            except OSError:
                time.sleep(0.001)
    finally:
        process.terminate()
        process.wait()


def main():
    prepare()
    table = Table()
    size = None

    with rates(8101, "0") as warm, rates(8102, "0", log="info") as logged:
        size = len(warm.get(path(PORTS)))
        idle = warm.resident_mib()
        with Server([CONSTANT, 8103, size], 8103, "0") as constant:
            ours, with_log, bare = interleaved(*(lambda server=server: wrk(server, path(PORTS), "1") for server in (warm, logged, constant)))
        table.speed("1. warm port pair, log at warn ÷ bare axum with a constant body", ours, bare, 0.85)
        table.speed("1. warm port pair, log at info ÷ bare axum with a constant body", with_log, bare, 0.5)

    with rates(8115) as warm:
        for last, what in (("2021-01-31", "a month"), ("2021-12-31", "a year"), ("2030-12-31", "ten years")):
            uri = path(PORTS, "2021-01-01", last)
            warm.get(uri)
            browser, plain = interleaved(lambda uri=uri: wrk(warm, uri, headers=BROWSER), lambda uri=uri: wrk(warm, uri))
            table.speed(f"1. warm port pair as browsers ask, compressed ÷ the same without compression, {what}", browser, plain, 0.8)

    with rates(8104, cache=False) as cold, rates(8105, name="scaled", cache=False) as scaled, rates(8113, name="month", cache=False) as month:
        for connections in (CONNECTIONS, 4 * CONNECTIONS):
            at = f"{connections} connections"
            for place, name in ((PORTS, "port pair"), (REGIONS, "region pair")):
                ports = place == PORTS
                questions = januaries("rates", ports)
                same_selects, bare_selects = list(selects(service_select(), ports)), list(selects(DAYS, ports))
                ours, same, days = interleaved(
                    lambda: wrk(cold, path(place), connections=connections, script=questions),
                    lambda: pgbench(same_selects, connections=connections),
                    lambda: pgbench(bare_selects, connections=connections),
                )
                table.speed(f"2. cold {name} ÷ pgbench of the same SELECT, {at}", ours, same, 0.6)
                table.speed(f"2. cold {name} ÷ pgbench of a bare SELECT of its days, {at}", ours, days, 0.6)
        for server, name, prices in ((month, "month", "59 thousand prices, all in the month"), (cold, "rates", "73 thousand prices, 7 thousand in the month"), (scaled, "scaled", "10 million prices")):
            questions = januaries(name, ports=False)
            ours, direct = interleaved(lambda: wrk(server, path(REGIONS), script=questions), lambda: pgbench([raw_select(REGIONS)], name))
            table.speed(f"3. cold region pair ÷ recursive SELECT over raw prices, {prices}", ours, direct, 100)
        for place, name in ((PORTS, "port pair"), (REGIONS, "region pair")):
            large, small = interleaved(lambda: wrk(scaled, path(place), connections=1), lambda: wrk(cold, path(place), connections=1))
            ratio = large["p50"] / small["p50"]
            table.add(f"4. cold p50 of a {name}, 10 million ÷ 73 thousand prices, 1 connection", f"{large['p50']:.3f} ms (p99 {large['p99']:.3f})", f"{small['p50']:.3f} ms (p99 {small['p99']:.3f})", f"{ratio:.2f}", "≤ 1.2", ratio <= 1.2)
        statistics_of_a_year(table, scaled, cold)

    python = {"PYTHONPATH": str(ROOT / "bench"), "DATABASE_URL": database("rates")}
    flask_command = [VENV / "bin/gunicorn", "-w", "2", "-b", "127.0.0.1:8106", "--chdir", ROOT / "bench", "flask_app:app"]
    fastapi_command = [VENV / "bin/uvicorn", "--port", "8107", "--workers", "2", "--log-level", "error", "--app-dir", ROOT / "bench", "fastapi_app:app"]
    with (
        rates(8108, "0") as warm, rates(8109, "0", cache=False) as cold, Server([CONSTANT, 8114, size], 8114, "0") as constant,
        Server(flask_command, 8106, "0", python) as flask, Server(fastapi_command, 8107, "0", python) as fastapi,
    ):
        answers = [json.loads(server.get(path(PORTS))) for server in (warm, cold, flask, fastapi)]
        if any(answer != answers[0] for answer in answers):
            raise SystemExit("the servers give different answers")
        questions = {cold: januaries("rates", ports=True)}
        results = interleaved(*(
            lambda server=server: wrk(server, path(PORTS), "1", script=questions.get(server)) for server in (warm, cold, flask, fastapi, constant)
        ))
        warm_result, cold_result, flask_result, fastapi_result, constant_result = results
        table.speed("5. warm port pair ÷ FastAPI with asyncpg", warm_result, fastapi_result, 40)
        table.speed("5. warm port pair ÷ Flask with psycopg2, indexed", warm_result, flask_result, 75)
        table.speed("5. for comparison: the bare axum server ÷ Flask with psycopg2, indexed", constant_result, flask_result)
        table.speed("5. cold port pair ÷ FastAPI with asyncpg", cold_result, fastapi_result, 4)

    with rates(8116) as small, rates(8117, name="scaled") as large:
        page = "/lanes?kind=ports&sort=change_30&limit=100"
        if not all(json.loads(server.get(page))["lanes"] for server in (large, small)):
            raise SystemExit("no lanes are listed")
        large, small = interleaved(lambda: wrk(large, page, connections=1), lambda: wrk(small, page, connections=1))
        ratio = large["p50"] / small["p50"]
        table.add("10. p50 of 100 lanes of `/lanes`, 10 million ÷ 73 thousand prices, 1 connection", f"{large['p50']:.3f} ms (p99 {large['p99']:.3f})", f"{small['p50']:.3f} ms (p99 {small['p99']:.3f})", f"{ratio:.2f}", "≤ 2", ratio <= 2)

    first_answers.measure(table)
    mixed.measure(table)
    loading(table)
    batches.measure(table)

    (ready,) = interleaved(ready_in_ms, rounds=5)
    table.add("7. from start to ready, database migrated, median of 5 starts", f"{ready['ms']:.0f} ms", "", "", "< 200 ms", ready["ms"] < 200)
    with rates(8110) as full:
        # Ten years of a lane take some 200 kB.
        for lane in mixed.pairs("rates")[:700]:
            full.get(path(lane, "2012-01-01", "2022-01-07"))
        wrk(full, path(PORTS))
        resident = full.resident_mib()
        table.add("7. resident memory idle", f"{idle:.1f} MiB", "", "", "< 32 MiB", idle < 32)
        table.add("7. resident memory under load, cache of 64 MiB full", f"{resident:.1f} MiB", "", "", "≤ 96 MiB", resident <= 96)

    write(table, size)


def write(table, size):
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    lines = [
        "# Benchmarks",
        "",
        f"Written by `make bench` on {datetime.date.today()}: {os.cpu_count()} cores ({model[1] if model else platform.machine()}), "
        f"PostgreSQL {psql('show server_version').split()[0]}, {CONNECTIONS} connections unless a row says otherwise. Rates and times are "
        f"medians of {ROUNDS} interleaved runs of {SECONDS:g} s; loads and batches run to their end. Memory, and the reads of row 8, are "
        f"measured once. The answer is January 2021, {size} bytes.",
        "",
        "In row 1 without compression and in row 5, each server has core 0 and the load generator (wrk, one thread) core 1. In all",
        "other rows they share cores 0 and 1. PostgreSQL and pgbench may use all cores.",
        "",
        *table.markdown(),
        "",
    ]
    parts = [
        "", "## The parts of an answer", "",
        "The time of each step of a request, without network and database, from `make microbench`:", "",
        "| Part | Median |", "| --- | --- |", *(f"| {part} | {median} |" for part, median in microbenchmarks()), "",
    ]
    notes = (ROOT / "bench/notes.md").read_text()
    (ROOT / "docs/BENCHMARKS.md").write_text("\n".join(lines) + notes + "\n".join(parts))


def microbenchmarks():
    """Each benchmark of benches/hot_path.rs with its median, of the tree that divan prints."""
    out = subprocess.run(["make", "-s", "-C", ROOT, "microbench"], check=True, text=True, stdout=subprocess.PIPE).stdout
    group = ""
    for line in out.splitlines():
        found = re.match(r"([│ ]*)[├╰]─ (\w+)(.*)", line)
        if not found:
            continue
        indent, name, figures = found.groups()
        median = figures.split("│")[2].strip()
        if not median:
            group = name
        else:
            yield (f"{group}, {name}" if indent else name), median


if __name__ == "__main__":
    main()
