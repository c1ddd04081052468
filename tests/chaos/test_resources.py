"""What runs out or jumps: disk, descriptors, memory, the clock."""

import base64
import http.client
import json
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


def post(port, path, document):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", path, json.dumps(document), {"content-type": "application/json"})
    return connection.getresponse().status


@needs_root
@pytest.mark.parametrize("program", ["messages", "multivac"])
def test_a_full_disk_of_the_file_is_told_and_recovers(program, small_disk, cleanup, report):
    disk = small_disk(16)
    file = {f"{program.upper()}__STORE__FILE": disk.folder / "data.redb", f"{program.upper()}__LOGS__FOLDER": ""}
    service = cleanup(Service(program, **file, **({"MESSAGES__TLS__ENABLED": "false"} if program == "messages" else {})))
    path, field = {"messages": ("/messages", "message"), "multivac": ("/multivac/data", "data")}[program]
    statuses = [post(service.port, path, {field: str(number)}) for number in range(3)]
    assert set(statuses) <= {200, 201}, statuses
    disk.fill()
    deadline = time.monotonic() + 20
    while statuses[-1] < 500 and time.monotonic() < deadline:
        statuses.append(post(service.port, path, {field: str(len(statuses)) * 20_000}))
    unready = service.status()
    disk.free()
    ready = service.wait_until_ready(20)
    after = post(service.port, path, {field: "after"})
    report.add(
        f"A full disk of the file of {program} is reported, and space that is freed is used",
        "posts until the disk is full",
        f"{statuses[-1]} and readiness {unready} while full; ready {ready:.1f} s after space was freed, without a restart",
    )
    assert statuses[-1] == 503 and unready == 503
    assert after in (200, 201)


@needs_root
def test_a_full_disk_of_the_receiver_loses_no_file(small_disk, cleanup, report, tmp_path):
    disk, documents, key = small_disk(16), tmp_path / "input", tmp_path / "key"
    documents.mkdir()
    key.write_bytes(base64.urlsafe_b64encode(os.urandom(32)))
    output = disk.folder / "output"
    receiver = cleanup(Service("transfer", "receive", OUTPUT_DIR=output, DECRYPTION_KEY=key))
    cleanup(
        Service(
            "transfer", "send", INPUT_DIR=documents, STATUS_DB_PATH=tmp_path / "status.db", ENCRYPTION_KEY=key,
            RECEIVER_ADDRESS="127.0.0.1", RECEIVER_PORT=receiver.port, SCAN_INTERVAL=0.2,
        )
    )

    def drop(numbers):
        for number in numbers:
            hidden = documents / f".{number}"
            hidden.write_text(json.dumps({"number": number, "filling": "x" * 20_000}))
            hidden.rename(documents / f"{number}.json")

    def wait_for(count, seconds):
        begun = time.monotonic()
        while len(list(output.glob("*.xml"))) < count and time.monotonic() < begun + seconds:
            time.sleep(0.1)
        return time.monotonic() - begun

    drop(range(50))
    wait_for(50, 20)
    disk.fill()
    drop(range(50, 100))
    receiver.wait_until_ready(20, status=503)
    time.sleep(2)
    while_full = len(list(output.glob("*.xml")))
    disk.free()
    took = wait_for(100, 90)
    arrived = sorted(int(file.stem) for file in output.glob("*.xml") if f">{file.stem}<" in file.read_text())
    report.add(
        "A full disk of the receiver of transfer loses no file",
        "100 files, half of them sent while the disk is full",
        f"{while_full} arrived before space was freed, all {len(arrived)} {took:.1f} s after; readiness 503 while full",
    )
    assert while_full < 100, "the disk was not full"
    assert arrived == list(range(100))


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
