"""The highest rate with short answers, and what a long time at half of it does."""

import os
import re
import shutil
import statistics
import subprocess
import time

import pytest
from batches import Supplier
from load import Load, lanes, one_lane
from service import rates

WRK = """
local requests = {{}}
for line in io.lines("{file}") do table.insert(requests, line) end
local next = math.random(#requests)
request = function()
  next = next % #requests + 1
  return wrk.format("GET", requests[next])
end
"""


def wrk(service, file, connections, seconds):
    """Requests a second and the p99 in milliseconds."""
    script = file.with_suffix(".lua")
    script.write_text(WRK.format(file=file))
    out = subprocess.run(
        ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--latency", "-s", script, f"http://127.0.0.1:{service.port}"],
        text=True, check=True, stdout=subprocess.PIPE,
    ).stdout
    assert "Non-2xx" not in out and "Socket errors" not in out, out
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", out).groups()
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])
    return rate, float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


@pytest.mark.full
@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is missing: apt-get install wrk")
@pytest.mark.parametrize("kind", ["warm", "mixed", "cold"])
def test_the_highest_rate_with_a_p99_below_10_ms(kind, database, cleanup, report, tmp_path):
    """Warm: one question. Mixed: 300, all cached after a while. Cold: without a cache."""
    service = cleanup(rates(database, **({"RATES__CACHE__SIZE_BYTES": 0} if kind == "cold" else {})))
    count = {"warm": 1, "mixed": 300, "cold": 5000}[kind]
    paths = [request.path for request, _ in zip(lanes(), range(count))]
    file = tmp_path / "requests"
    file.write_text("\n".join(paths) + "\n")
    wrk(service, file, 8, 3)
    best, p99_of_best, clients = 0, 0, 0
    for connections in (1, 2, 4, 8, 16, 32, 64, 128):
        rate, p99 = wrk(service, file, connections, 5)
        if p99 < 10 and rate > best:
            best, p99_of_best, clients = rate, p99, connections
    assert best > 0, "no rate has a p99 below 10 ms"
    report.add(
        f"{kind.capitalize()} reads are answered within 10 ms (p99)",
        f"{clients} connections without a pause, on the same 2 cores as the database",
        f"{best:,.0f} a second, p99 {p99_of_best:.1f} ms",
    )


@pytest.mark.full
def test_a_soak_lets_nothing_grow(database, key, cleanup, report):
    seconds = int(os.environ.get("CHAOS_SOAK_SECONDS", 600))
    service = cleanup(rates(database, RATES__CACHE__SIZE_BYTES=8 << 20))
    with Load(service.port, lanes(), connections=8, rate=800) as reads, Supplier(service.port, key, rate=2):
        time.sleep(seconds / 5)
        memory, descriptors, middle = service.memory(), service.descriptors(), time.monotonic()
        time.sleep(seconds * 4 / 5)
        after = service.memory(), service.descriptors()
    early = [answer.took for answer in reads.answers if answer.at < middle]
    late = [answer.took for answer in reads.answers if answer.at >= time.monotonic() - seconds / 5]
    report.add(
        "Memory, descriptors and latency do not grow",
        f"{seconds} s of 800 reads and 2 batches a second",
        f"memory {memory:.0f} → {after[0]:.0f} MiB, descriptors {descriptors} → {after[1]}, "
        f"median {1000 * statistics.median(early):.1f} → {1000 * statistics.median(late):.1f} ms; {len(reads.failures())} of {len(reads.answers):,} failed",
    )
    assert not reads.failures()
    assert after[0] < memory * 1.2 + 16
    assert after[1] <= descriptors + 16
