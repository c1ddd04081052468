"""Fixtures of the chaos tests: a database with the sample, and the table that they write.

`make chaos` runs all of them and writes docs/RELIABILITY.md; `make chaos-short` runs those that are not marked `full`, with
fewer rounds.
"""

from types import SimpleNamespace

import pytest
from postgres import Postgres
from report import Report
from service import ROOT, run

ONLY_IN_FULL = "runs with --full only"
# Names of tests, for want of a program or of a right.
SKIPPED = []


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="run every scenario, each in full")
    parser.addoption("--write", action="store_true", help="write docs/RELIABILITY.md, if nothing failed")


def only_in_full(names, *few):
    """Parameters of which a short run takes only a few."""
    return [name if name in few else pytest.param(name, marks=pytest.mark.full) for name in names]


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--full"):
        for item in items:
            if item.get_closest_marker("full"):
                item.add_marker(pytest.mark.skip(reason=ONLY_IN_FULL))


@pytest.fixture(scope="session")
def is_full(request):
    return request.config.getoption("--full")


def pytest_runtest_logreport(report):
    if report.skipped and ONLY_IN_FULL not in str(report.longrepr):
        SKIPPED.append(report.nodeid.rpartition("::")[2])


@pytest.fixture(scope="session")
def report(request, is_full):
    report = Report(is_full)
    yield report
    if request.config.getoption("--write") and not request.session.testsfailed:
        report.write(SKIPPED)


@pytest.fixture(scope="session")
def template():
    """A stopped server with the sample and the key of a supplier, to be copied."""
    server = Postgres().create()
    run("rates", "migrate", DATABASE_URL=server.url())
    run("rates", "load", ROOT / "db/rates.sql", DATABASE_URL=server.url())
    key = run("rates", "key", "create", "acme", DATABASE_URL=server.url())
    server.psql("vacuum analyze")
    server.stop()
    yield SimpleNamespace(server=server, key=key)
    server.remove()


@pytest.fixture
def key(template):
    return template.key


@pytest.fixture
def cleanup():
    """Takes servers and services, which it removes at the end, the newest first."""
    taken = []

    def take(one):
        taken.append(one)
        return one

    yield take
    for one in reversed(taken):
        one.remove()


@pytest.fixture
def database(template, cleanup):
    """A running server with the sample, for one test."""
    server = cleanup(Postgres())
    server.copy(template.server)
    server.start()
    return server
