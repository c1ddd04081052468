"""What docs/poolers.md says about PgBouncer. PGBOUNCER names another program than the one on the path."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from batches import Supplier
from load import Load, lanes
from postgres import free_port
from service import rates

PROGRAM = os.environ.get("PGBOUNCER") or shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")
pytestmark = pytest.mark.skipif(not PROGRAM, reason="pgbouncer is missing: apt-get install pgbouncer")
ROLE = """
alter role rates set jit = off;
alter role rates set plan_cache_mode = force_generic_plan;
alter role rates set idle_in_transaction_session_timeout = '10s';
"""


def knows_prepared_statements():
    printed = subprocess.run([PROGRAM, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return tuple(map(int, re.search(r"PgBouncer (\d+)\.(\d+)", printed).groups())) >= (1, 21)


class PgBouncer:
    """A pooler before a server; it needs no password."""

    def __init__(self, database, mode, size):
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="chaos-pgbouncer-", dir="/var/tmp"))
        settings = f"""
[databases]
rates = host=127.0.0.1 port={database.port} user=rates pool_mode={mode} pool_size={size}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = any
ignore_startup_parameters = extra_float_digits, options
{"max_prepared_statements = 200" if knows_prepared_statements() else ""}
"""
        (self.folder / "pgbouncer.ini").write_text(settings)
        user = database.owner if os.geteuid() == 0 else None
        if user:
            shutil.chown(self.folder, user)
        self.process = subprocess.Popen(
            [PROGRAM, "-q", self.folder / "pgbouncer.ini"], user=user, cwd="/", stdout=open(self.folder / "log", "ab"), stderr=subprocess.STDOUT
        )

    def remove(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        shutil.rmtree(self.folder)


def serve(database, cleanup, mode, size, ready=True, **variables):
    database.psql(ROLE)
    pooler = cleanup(PgBouncer(database, mode, size))
    return pooler, cleanup(rates(database.url(pooler.port), ready=ready, **variables))


def reads_and_stores_batches(service, database, key):
    with Load(service.port, lanes(), connections=8) as readers:
        with Supplier(service.port, key) as supplier:
            time.sleep(3)
        with Supplier(service.port, key, asynchronous=True) as asynchronous:
            time.sleep(3)
    assert {answer.status for answer in readers.answers} == {200}
    assert {answer.status for answer in supplier.answers} == {201}
    assert {answer.status for answer in asynchronous.answers} == {202}
    supplier.check(database)
    asynchronous.check(database)
    assert "listening for changes of the data" in service.messages()


def test_session_mode_works(database, key, cleanup):
    pooler, service = serve(database, cleanup, "session", 40)
    reads_and_stores_batches(service, database, key)
    assert database.psql("select count(*) > 1 from pg_stat_activity where application_name = 'rates'") == "t"
    # What the pooler leaves out of the start of a session comes from the role.
    shown = subprocess.run(["psql", "-XAtc", "show plan_cache_mode", database.url(pooler.port)], check=True, stdout=subprocess.PIPE, text=True)
    assert shown.stdout.strip() == "force_generic_plan"


def test_transaction_mode_works_since_1_21(database, key, cleanup):
    if not knows_prepared_statements():
        pytest.skip("this version does not know prepared statements")
    _, service = serve(database, cleanup, "transaction", 8, DATABASE_DIRECT_URL=database.url())
    reads_and_stores_batches(service, database, key)


def test_transaction_mode_fails_before_1_21(database, cleanup):
    if knows_prepared_statements():
        pytest.skip("this version knows prepared statements")
    _, service = serve(database, cleanup, "transaction", 4, ready=False)
    with Load(service.port, lanes(), connections=8) as readers:
        time.sleep(5)
    failed = [answer for answer in readers.answers if answer.status != 200]
    print(f"{len(failed)} of {len(readers.answers)} reads failed")
    assert failed
    assert re.search(r"prepared statement \S+ (does not exist|already exists)", Path(service.log_file).read_text())
