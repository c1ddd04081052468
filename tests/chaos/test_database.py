"""The database stops, restarts, or hands over to its standby under load."""

import time

import pytest
from batches import Supplier
from load import Load, lanes, one_lane
from service import rates, run


def first_success(load, since):
    """Seconds until the first answer from the database after this time."""
    good = [answer.at + answer.took for answer in load.answers if answer.at >= since and answer.status in (200, 201, 202)]
    assert good, "no request succeeded again"
    return min(good) - since


@pytest.mark.parametrize("asynchronous", [False, True], ids=["at once", "queued"])
def test_a_crash_of_the_database_loses_no_acknowledged_batch(asynchronous, database, key, cleanup, report, is_full):
    crashes = 10 if is_full else 1
    service = cleanup(rates(database))
    recoveries = []
    with (
        Load(service.port, lanes(), rate=200, timeout=15) as reads,
        Load(service.port, one_lane(), connections=1, rate=50, timeout=15) as cached,
        Supplier(service.port, key, rate=30, asynchronous=asynchronous) as supplier,
    ):
        time.sleep(2)
        for _ in range(crashes):
            database.stop(immediately=True)
            time.sleep(1)
            database.start()
            up = time.monotonic()
            time.sleep(4)
            recoveries.append(first_success(supplier, up))
    stored = supplier.check(database)
    run("rates", "verify", DATABASE_URL=database.url())
    unexpected = [answer for answer in reads.answers + cached.answers if answer.status not in (200, 503)]
    kind = "queued batches" if asynchronous else "batches"
    report.add(
        f"A crash of the database loses no acknowledged batch ({kind})",
        f"crashes under reads and batches, each of a second: {crashes}",
        f"0 of {stored} acknowledged lost; writes work again after {max(recoveries):.1f} s at most; "
        f"{cached.counts()[503]} of {len(cached.answers)} cached reads failed; slowest read {reads.slowest():.1f} s",
    )
    assert not unexpected, unexpected[:5]
    assert max(recoveries) < (3 if is_full else 10)
    assert cached.counts()[503] == 0, "cached answers stand in"


def test_a_promoted_standby_is_found_without_a_restart(database, key, cleanup, report, is_full):
    standby = cleanup(database.standby())
    # A commit that the standby does not have must not be acknowledged.
    database.psql("alter system set synchronous_standby_names = '*'; ")
    database.psql("select pg_reload_conf()")
    hosts = f"127.0.0.1:{database.port},127.0.0.1:{standby.port}"
    url = f"postgres://rates@{hosts}/rates?sslmode=disable&target_session_attrs=read-write"
    service = cleanup(rates(url))
    with Load(service.port, lanes(), rate=200, timeout=15) as reads, Supplier(service.port, key, rate=30) as supplier:
        time.sleep(3)
        database.stop(immediately=True)
        standby.psql("alter system set synchronous_standby_names = ''")
        standby.promote()
        standby.psql("select pg_reload_conf()")
        up = time.monotonic()
        time.sleep(12)
        recovery = first_success(supplier, up)
    stored = supplier.check(standby)
    report.add(
        "A promoted standby takes over without a restart of the service",
        "the primary crashes under reads and batches, the standby is promoted; DATABASE_URL names both",
        f"0 of {stored} acknowledged batches lost; writes work again {recovery:.1f} s after the promotion",
    )
    assert not [answer for answer in reads.answers if answer.status not in (200, 503)]
    assert recovery < (4 if is_full else 10)
