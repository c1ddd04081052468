"""Networks that are slow, silent, or break connections, between the service and its databases."""

import time

import pytest
from batches import Supplier
from conftest import only_in_full
from load import Load, lanes, one_lane
from proxy import HALF_OPEN, PASS, REFUSE, STALL, Proxy
from service import rates

FAULTS = {
    "50 ms late": (PASS, 0.05),
    "cut": (REFUSE, 0),
    "silent": (STALL, 0),
    "half-open": (HALF_OPEN, 0),
}

# The limit of a request, and what a loaded machine adds.
LIMIT = 10 + 5


@pytest.fixture
def proxy(database):
    proxy = Proxy(database.port)
    yield proxy
    proxy.close()


@pytest.mark.parametrize("fault", only_in_full(FAULTS, "silent"))
def test_no_request_outlasts_its_limit_when_the_way_to_the_primary_breaks(fault, database, proxy, key, cleanup, report, is_full):
    mode, delay = FAULTS[fault]
    service = cleanup(rates(database.url(proxy.port)))
    healthy = cleanup(rates(database))
    duration = 30 if is_full else 8
    with (
        Load(service.port, lanes(), connections=16, rate=100) as reads,
        Load(service.port, one_lane(), connections=2, rate=50) as cached,
        Supplier(service.port, key, rate=5, timeout=60) as supplier,
    ):
        time.sleep(3)
        broken = time.monotonic()
        proxy.set(mode, delay)
        time.sleep(duration / 2)
        # The orphan of a broken connection must not keep its locks from others.
        with Supplier(healthy.port, key, rate=5) as other:
            time.sleep(duration / 2)
        readiness = service.status()
        proxy.set(PASS)
        mended = time.monotonic()
        time.sleep(8)
    ready = service.wait_until_ready(20)
    late = [answer for answer in reads.answers if answer.at > mended + 5 and answer.status != 200]
    stored = supplier.check(database)
    bad = [answer for answer in cached.answers if answer.at > broken and answer.status != 200]
    report.add(
        f"No request outlasts its limit while the way to the primary is {fault}",
        f"reads and batches for {duration} s of it",
        f"slowest read {reads.slowest():.1f} s; {len(bad)} of {len(cached.answers)} cached reads failed; "
        f"readiness {readiness}; 0 of {stored} acknowledged batches lost; all reads well 5 s after",
    )
    assert reads.slowest() < LIMIT
    assert not bad, bad[:5]
    assert not late, late[:5]
    assert other.counts()[201] > 0, f"other writers hang: {other.counts()}"
    assert readiness == (200 if delay else 503)
    assert ready < (5 if is_full else 15)


@pytest.mark.parametrize("fault", only_in_full(["cut", "silent", "half-open"], "silent"))
def test_a_broken_replica_is_left_out(fault, database, cleanup, report, is_full):
    standby = cleanup(database.standby())
    way = Proxy(standby.port)
    service = cleanup(rates(database, DATABASE_READ_URL=database.url(way.port)))
    duration = 20 if is_full else 6
    with Load(service.port, lanes(), connections=16, rate=100) as reads:
        time.sleep(3)
        way.set(*FAULTS[fault])
        broken = time.monotonic()
        time.sleep(duration)
        median = reads.percentile(50, since=broken)
        way.set(PASS)
        time.sleep(3)
    way.close()
    failures = reads.failures()
    report.add(
        f"A replica that is {fault} fails no read",
        f"100 reads a second, none cached, for {duration} s of it",
        f"{len(failures)} of {len(reads.answers)} failed; median {median:.1f} ms, slowest {reads.slowest():.1f} s",
    )
    assert not failures, failures[:5]
    assert median < (50 if is_full else 300)
    assert reads.slowest() < LIMIT


def test_a_stop_does_not_wait_for_a_silent_database(database, proxy, cleanup, report):
    service = cleanup(rates(database.url(proxy.port), RATES__SERVER__DRAIN_SECONDS="11"))
    with Load(service.port, lanes(), connections=4, rate=50):
        time.sleep(2)
        proxy.set(STALL)
        time.sleep(1)
        code, took = service.terminate()
    report.add(
        "A stop ends in time while the database is silent", "SIGTERM under reads", f"exit code {code} after {took:.1f} s"
    )
    assert took < 25
