"""The highest rate with short answers, and what a long time at half of it does."""

import itertools
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass

import pytest
from batches import Supplier
from load import lanes
from service import rates

# Questions, few enough that all are soon cached.
MIXED = 300

WRK = """
local requests = {{}}
for line in io.lines("{file}") do table.insert(requests, line) end
local next = math.random(#requests)
request = function()
  next = next % #requests + 1
  return wrk.format("GET", requests[next])
end
delay = {pause} > 0 and function() return {pause} end or nil
"""
needs_wrk = pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is missing: apt-get install wrk")


@dataclass
class Rate:
    """What wrk measured; times are in milliseconds."""

    connections: int
    requests_per_second: float
    median: float
    p99: float


def wrk(service, file, connections, seconds, pause=0):
    """Sends the requests in the file, on each connection with a pause (milliseconds) before each. Fails if one fails."""
    script = file.with_suffix(".lua")
    script.write_text(WRK.format(file=file, pause=pause))
    out = subprocess.run(
        ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--latency", "-s", script, f"http://127.0.0.1:{service.port}"],
        text=True, check=True, stdout=subprocess.PIPE,
    ).stdout
    assert "Non-2xx" not in out and "Socket errors" not in out, out
    unit = {"us": 0.001, "ms": 1, "s": 1000}
    median, p99 = (float(value) * unit[name] for value, name in re.findall(r"(?:50|99)%\s+([\d.]+)(us|ms|s)", out))
    return Rate(connections, float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), median, p99)


def highest(service, file, count):
    """The highest rate with a p99 below 10 ms, of this many questions in turn."""
    file.write_text("\n".join(request.path for request in itertools.islice(lanes(), count)) + "\n")
    wrk(service, file, 8, 3)
    measured = [wrk(service, file, connections, 5) for connections in (1, 2, 4, 8, 16, 32, 64, 128)]
    quick = [rate for rate in measured if rate.p99 < 10]
    assert quick, "no rate has a p99 below 10 ms"
    return max(quick, key=lambda rate: rate.requests_per_second)


@pytest.mark.full
@needs_wrk
@pytest.mark.parametrize("kind", ["warm", "mixed", "cold"])
def test_the_highest_rate_with_a_p99_below_10_ms(kind, database, cleanup, report, tmp_path):
    """Warm: one question. Mixed: 300, all cached after a while. Cold: without a cache."""
    service = cleanup(rates(database, **({"RATES__CACHE__SIZE_BYTES": 0} if kind == "cold" else {})))
    best = highest(service, tmp_path / "requests", {"warm": 1, "mixed": MIXED, "cold": 5000}[kind])
    report.add(
        f"{kind.capitalize()} reads are answered within 10 ms (p99)",
        f"{best.connections} connections without a pause, on the same 2 cores as the database",
        f"{best.requests_per_second:,.0f} a second, p99 {best.p99:.1f} ms",
    )


@pytest.mark.full
@needs_wrk
def test_a_soak_lets_nothing_grow(database, key, cleanup, report, tmp_path):
    """At half of the highest rate. What happens in the first fifth of the time is compared with the rest."""
    seconds = int(os.environ.get("CHAOS_SOAK_SECONDS", 600))
    service, file = cleanup(rates(database, RATES__CACHE__SIZE_BYTES=8 << 20, RUST_LOG="warn")), tmp_path / "requests"
    half = highest(service, file, MIXED).requests_per_second / 2
    with Supplier(service.port, key, rate=2) as supplier:
        fifths, memory, descriptors = [], [], []
        for _ in range(5):
            fifths.append(wrk(service, file, 64, seconds // 5, pause=1000 * 64 / half))
            # Until the connections of wrk are closed.
            time.sleep(2)
            memory.append(service.memory())
            descriptors.append(service.descriptors())
    sent = sum(fifth.requests_per_second for fifth in fifths) / 5
    report.add(
        "Memory, descriptors and latency do not grow",
        f"{seconds} s of {sent:,.0f} reads and 2 batches a second",
        f"memory {memory[0]:.0f} → {memory[-1]:.0f} MiB, descriptors {descriptors[0]} → {descriptors[-1]}, "
        f"median {fifths[0].median:.1f} → {fifths[-1].median:.1f} ms, p99 {fifths[0].p99:.1f} → {fifths[-1].p99:.1f} ms; 0 failed",
    )
    assert not supplier.failures()
    assert memory[-1] < memory[0] * 1.2 + 16
    assert descriptors[-1] <= descriptors[0] + 16
    assert fifths[-1].median < fifths[0].median * 1.5 + 1
