"""Questions as analysts ask them: any range of days of any lane, some lanes far more often than others."""

import datetime
import random
import statistics
import subprocess
import threading
import time

from harness import BROWSER, CONSTANT, ROOT, Server, database, interleaved, path, psql, rates, wrk

QUESTIONS = 100_000
LARGE_CACHE = {"RATES__CACHE__SIZE_BYTES": str(256 * 1024 * 1024)}


def pairs(name):
    """All pairs of places with prices, the same order each time."""
    rows = psql(
        "select o.name, d.name from (select distinct origin, destination from daily_rates) pairs "
        "join places o on o.id = origin join places d on d.id = destination order by md5(o.name || d.name)",
        name,
    )
    return [dict(zip(("orig_code", "dest_code"), row.split("|"))) for row in rows.split()]


def questions(name, suffix="", seed=1):
    """Ranges of 7 to 365 days that end in the two newest years; lanes by Zipf's law."""
    dice = random.Random(seed)
    lanes = pairs(name)
    weights = [1 / (rank + 1) for rank in range(len(lanes))]
    for lane in dice.choices(lanes, weights, k=QUESTIONS):
        last = datetime.date(2021, 12, 31) - datetime.timedelta(days=dice.randrange(730))
        first = last - datetime.timedelta(days=dice.randint(6, 364))
        yield path(lane, str(first), str(last)) + suffix


def script(uris, file):
    """A script of wrk that asks these in turn."""
    listed = ROOT / f".run/{file}.txt"
    listed.write_text("\n".join(uris))
    lua = ROOT / f".run/{file}.lua"
    lua.write_text(
        # In `init`, because wrk adds Host only before that.
        f'local uris, at = {{}}, 0\nfunction init() for uri in io.lines("{listed}") do uris[#uris + 1] = wrk.format("GET", uri) end end\n'
        "request = function() at = at % #uris + 1; return uris[at] end\n"
    )
    return lua


class Writer:
    """Small commits on one lane, so many a second, and a batch of 10,000 prices every five seconds, until it ends."""

    def __init__(self, name, commits=10):
        self.pause, self.done = 1 / commits, threading.Event()
        # One session, because a process for each commit would cost more than the commit.
        command = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", database(name)]
        self.session = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self.run)

    def run(self):
        small = "insert into prices select 'CNGGZ', 'EETLL', '2021-12-01', 1000;\n"
        batch = (
            "insert into prices select o.code, 'EETLL', date '2021-01-01' + n % 360, 1000 + n "
            "from generate_series(1, 10000) n join (select code, row_number() over (order by code) - 1 as number from ports) o "
            "on o.number = n % 20;\n"
        )
        next_batch = time.monotonic() + 2
        while not self.done.wait(self.pause):
            self.session.stdin.write(small)
            if time.monotonic() > next_batch:
                self.session.stdin.write(batch)
                next_batch += 5
            self.session.stdin.flush()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        self.session.stdin.close()
        if self.session.wait() != 0:
            raise SystemExit("the writer failed")


def measure(table, name="scaled"):
    mixed = script(questions(name), "mixed")
    with rates(8120, "0", name=name, environment=LARGE_CACHE) as server:
        size = round(statistics.mean(len(server.get(uri)) for uri in list(questions(name, seed=2))[:300]))
        with Server([CONSTANT, 8121, size], 8121, "0") as constant:
            ask = lambda of=server, **how: wrk(of, path({"orig_code": "asia", "dest_code": "europe"}), "1", **how)
            ask(script=mixed, seconds=10)
            quiet, browser, bare = interleaved(
                lambda: ask(script=mixed), lambda: ask(script=mixed, headers=BROWSER), lambda: ask(constant, script=mixed)
            )
            what = f"9. mixed ranges on 10 million prices, {size} bytes on average"
            table.speed(f"{what} ÷ bare axum with a body of that size", quiet, bare, 0.6)
            ratio = quiet["p99"] / bare["p99"]
            table.add(f"{what}, p99 ÷ that of bare axum", f"{quiet['p99']:.2f} ms", f"{bare['p99']:.2f} ms", f"{ratio:.2f}", "≤ 3", ratio <= 3)
            table.speed(f"{what}, as browsers ask ÷ the same without compression", browser, quiet, 0.5)

            def while_prices_come_in():
                with Writer(name):
                    return ask(script=mixed, seconds=12)

            before, busy = interleaved(lambda: ask(script=mixed, seconds=12), while_prices_come_in)
            table.speed(f"{what}, while 10 commits a second and batches come in ÷ quiet", busy, before, 0.9)
            ratio = busy["p99"] / before["p99"]
            table.add(f"{what}, p99 while prices come in ÷ quiet", f"{busy['p99']:.2f} ms", f"{before['p99']:.2f} ms", f"{ratio:.2f}", "≤ 2", ratio <= 2)
            resident = server.resident_mib()
            table.add("9. resident memory after that, cache of 256 MiB", f"{resident:.0f} MiB", "", "", "≤ 288 MiB", resident <= 288)
