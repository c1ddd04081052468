"""Fixtures of the chaos tests: a database with the sample, and the table that they write.

`make chaos` runs all of them and writes docs/RELIABILITY.md; `make chaos-short` runs those that are not marked `full`, with
fewer rounds.
"""

from types import SimpleNamespace

import pytest
from postgres import Postgres
from report import Report
from service import ROOT, run


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="run every scenario, each in full")
    parser.addoption("--write", action="store_true", help="write docs/RELIABILITY.md, if nothing failed or was skipped")


def only_in_full(names, *few):
    """Parameters of which a short run takes only a few."""
    return [name if name in few else pytest.param(name, marks=pytest.mark.full) for name in names]


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--full"):
        for item in items:
            if item.get_closest_marker("full"):
                item.add_marker(pytest.mark.skip(reason="runs with --full only"))


@pytest.fixture(scope="session")
def is_full(request):
    return request.config.getoption("--full")


SKIPPED = []


def pytest_runtest_logreport(report):
    if report.skipped:
        SKIPPED.append(report.nodeid)


@pytest.fixture(scope="session")
def report(request, is_full):
    report = Report(is_full)
    yield report
    if request.config.getoption("--write") and not request.session.testsfailed:
        if SKIPPED:
            print(f"\nThe table is not written, because these were skipped: {', '.join(SKIPPED)}")
        else:
            report.write()


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
