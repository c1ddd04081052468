"""What runs out or jumps: disk, descriptors, memory, the clock."""

import http.client
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from batches import Supplier
from conftest import only_in_full
from load import Load, lanes
from postgres import Postgres
from service import Service, rates, run

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")


@pytest.fixture
def small_disk(tmp_path_factory, cleanup):
    """A function that makes a disk of so many MiB."""
    class Disk:
        def __init__(self, mebibytes):
            self.folder = tmp_path_factory.mktemp("disk")
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", self.folder], check=True)

        def fill(self):
            with open(self.folder / "fill", "wb", buffering=0) as file:
                try:
                    while file.write(bytes(65536)):
                        pass
                except OSError:
                    pass

        def free(self):
            (self.folder / "fill").unlink()

        def remove(self):
            subprocess.run(["umount", "-l", self.folder], check=True)

    return lambda mebibytes: cleanup(Disk(mebibytes))


@needs_root
def test_a_full_disk_of_the_database_stops_writes_only(small_disk, template, key, cleanup, report):
    disk = small_disk(400)
    for parent in disk.folder.parents:
        if parent.stat().st_uid == 0 and str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    database = cleanup(Postgres(disk.folder))
    database.copy(template.server)
    database.start()
    service = cleanup(rates(database))
    with Load(service.port, lanes(), rate=100) as reads, Supplier(service.port, key, rate=5, rows=3000) as supplier:
        time.sleep(2)
        disk.fill()
        time.sleep(4)
        full = supplier.counts()
        disk.free()
        if database.process.poll() is not None:
            # PostgreSQL ends when it cannot write its log, and its supervisor starts it again.
            database.start()
        # It may have to recover first.
        deadline = time.monotonic() + 60
        while supplier.counts()[201] <= full[201] and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(3)
    stored = supplier.check(database)
    run("rates", "verify", DATABASE_URL=database.url())
    statuses = sorted(set(supplier.counts()))
    report.add(
        "A full disk of the database loses nothing",
        "reads and batches of 3,000 prices while the disk is full for 4 s",
        f"0 of {stored} acknowledged lost; batches answered {statuses}; {len(reads.failures((200, 503)))} of {len(reads.answers)} reads neither 200 nor 503",
    )
    assert not reads.failures((200, 503))
    assert not supplier.failures((200, 201, 503)), supplier.failures((200, 201, 503))[:3]
    assert full[503], "no batch met the full disk"
    assert supplier.counts()[201] > full[201], "batches are stored again"


def put_message(port, text):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/messages", text, {"content-type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read()


@needs_root
def test_a_full_disk_of_the_messages_file_is_told_and_recovers(small_disk, cleanup, report):
    disk = small_disk(16)
    service = cleanup(
        Service(
            "messages", MESSAGES__TLS__ENABLED="false", MESSAGES__STORE__FILE=disk.folder / "messages.redb",
            MESSAGES__LOGS__FOLDER="",
        )
    )
    statuses = []
    for number in range(3):
        statuses.append(put_message(service.port, '{"message":"%d"}' % number)[0])
    disk.fill()
    deadline = time.monotonic() + 20
    while statuses[-1] not in (500, 503, 507) and time.monotonic() < deadline:
        statuses.append(put_message(service.port, '{"message":"%s"}' % (str(len(statuses)) * 20_000))[0])
    unready = service.status()
    disk.free()
    ready = service.wait_until_ready(20)
    after = put_message(service.port, '{"message":"after"}')[0]
    report.add(
        "A full disk of the messages file is reported, and space that is freed is used",
        "messages until the disk is full",
        f"{statuses[-1]} and readiness {unready} while full; ready {ready:.1f} s after space was freed, without a restart",
    )
    assert statuses[-1] == 503 and unready == 503
    assert after in (200, 201)


def test_without_descriptors_connections_wait(database, cleanup, report):
    service = cleanup(rates(database, prefix=["prlimit", "--nofile=64:64"]))
    with Load(service.port, lanes(), connections=4, rate=50, timeout=40) as before:
        time.sleep(1)
        crowd = [http.client.HTTPConnection("127.0.0.1", service.port, timeout=5) for _ in range(200)]
        for one in crowd:
            one.connect()
        time.sleep(2)
        for one in crowd:
            one.close()
        time.sleep(1)
    ready = service.wait_until_ready(20)
    failures = before.failures((200, 503))
    report.add(
        "A process without free descriptors goes on and recovers",
        "64 descriptors, 200 connections",
        f"{len(failures)} of {len(before.answers)} requests on open connections neither 200 nor 503; ready {ready:.1f} s after the crowd left",
    )
    assert not failures, failures[:5]
    assert service.process.poll() is None


def test_out_of_memory_loses_no_acknowledged_batch(database, key, cleanup, report):
    """The kernel's killer is a SIGKILL; the platform starts the process again."""
    service = cleanup(rates(database))
    with Supplier(service.port, key, rate=50, asynchronous=True) as supplier:
        for _ in range(3):
            time.sleep(1.5)
            service.kill()
            service.start()
    stored = supplier.check(database)
    report.add("A process that the kernel kills loses no acknowledged batch", "3 kills under queued batches", f"0 of {stored} lost, none stored twice")


FAKETIME = shutil.which("faketime")


@pytest.mark.skipif(not FAKETIME, reason="faketime is missing: apt-get install faketime")
@pytest.mark.parametrize("jump", only_in_full(["+3d", "-3d"], "-3d"))
def test_a_jump_of_the_clock_changes_no_answer(jump, database, key, cleanup, report, tmp_path):
    clock = tmp_path / "clock"
    clock.write_text("+0")
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    fake = {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": clock, "FAKETIME_NO_CACHE": 1, "FAKETIME_DONT_FAKE_MONOTONIC": 1}
    service = cleanup(rates(database, **fake))
    with Load(service.port, lanes(), rate=50) as reads, Supplier(service.port, key, rate=5) as supplier:
        time.sleep(2)
        clock.write_text(jump)
        time.sleep(4)
    stored = supplier.check(database)
    failures = reads.failures() + supplier.failures()
    report.add(
        f"A clock that jumps by {jump} fails no request",
        "reads and batches on an instance whose clock jumps",
        f"{len(failures)} of {len(reads.answers) + len(supplier.answers)} failed; {stored} batches stored once",
    )
    assert not failures, failures[:5]
