"""Files per second, side by side: transfer and the Python programs. Usage: bench.py RELEASE_BINARY [FILES [AT_ONCE]]

Sender and receiver are processes of this machine. FILES (10,000) lie in the folder when the sender starts; time counts
until the last one has arrived. Then AT_ONCE (1,000) are dropped while transfer waits for files; time counts from the
first one. transfer syncs every file to the disk, the Python programs sync none. So the bench runs on the disk, and again
in memory, where a sync costs nothing.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import requests
from cryptography.fernet import Fernet

BINARY = sys.argv[1]
FILES, AT_ONCE = [int(count) for count in sys.argv[2:]] + [10000, 1000][len(sys.argv) - 2:]
PATIENCE = 600
HERE = pathlib.Path(__file__).parent
# All files are deleted at the end: ext4 without a journal makes files slowly where many were deleted just before.
PARENTS = {"disk": HERE.parent.parent / ".run", "memory": "/dev/shm"}
FOLDERS = {where: tempfile.TemporaryDirectory(dir=parent) for where, parent in PARENTS.items()}
TRANSFER = ("transfer", 18081, [BINARY, "receive"])
PYTHON = ("Python", 18080, [sys.executable, HERE / "original.py", "receive"])


class Place:
    """Folders, a key and a receiver."""

    def __init__(self, folder, port, receive):
        self.folder, self.port = folder, port
        for made in ("input", "output", "ready"):
            (folder / made).mkdir()
        (folder / "key").write_bytes(Fernet.generate_key())
        self.receiver = self.start(receive, port + 10)
        self.wait(lambda: self.status(port) == 200)

    def start(self, command, metrics_port):
        environment = {
            "PATH": os.environ["PATH"], "SERVER_IP": "127.0.0.1", "SERVER_PORT": str(self.port), "LOG_LEVEL": "WARNING",
            "OUTPUT_DIR": str(self.folder / "output"), "INPUT_DIR": str(self.folder / "input"),
            "ENCRYPTION_KEY": str(self.folder / "key"), "DECRYPTION_KEY": str(self.folder / "key"),
            "STATUS_DB_PATH": str(self.folder / "status.db"), "RECEIVER_ADDRESS": "127.0.0.1",
            "RECEIVER_PORT": str(self.port), "TRANSFER__SERVER__METRICS_PORT": str(metrics_port),
        }
        return subprocess.Popen(command, env=environment | {"TRANSFER__SEND__SETTLE_SECONDS": "0"},
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def status(self, port, path="/"):
        try:
            return requests.get(f"http://127.0.0.1:{port}{path}", timeout=5).status_code
        except requests.ConnectionError:
            return None

    def wait(self, condition):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline and self.receiver.poll() is None, "waited in vain"
            time.sleep(0.02)

    def write(self, count, folder):
        for number in range(count):
            document = {"number": number, "name": f"file {number}", "list": [1, 2.5, None, True], "object": {"a": "b"}}
            (self.folder / f"{folder}/file-{number}.json").write_text(json.dumps(document))

    def arrived(self):
        return sum(entry.name.endswith(".xml") for entry in os.scandir(self.folder / "output"))


@contextlib.contextmanager
def place(where, port, receive):
    made = Place(pathlib.Path(tempfile.mkdtemp(dir=FOLDERS[where].name)), port, receive)
    try:
        yield made
    finally:
        made.receiver.kill()
        made.receiver.wait()


def report(name, count, started):
    seconds = time.perf_counter() - started
    print(f"{name}: {count} files in {seconds:.2f} s, {count / seconds:.0f} files/s", flush=True)
    return count / seconds


def measure(where, name, port, receive, send):
    with place(where, port, receive) as made:
        made.write(FILES, "input")
        started = time.perf_counter()
        assert made.start(send, port + 20).wait(PATIENCE) == 0
        speed = report(f"{where}, {name}", FILES, started)
        assert made.arrived() == FILES, f"{made.arrived()} of {FILES} arrived"
        return speed


def measure_at_once(where, name, port, receive, send):
    with place(where, port, receive) as made:
        made.write(AT_ONCE, "ready")
        sender = made.start(send, port + 20)
        try:
            made.wait(lambda: made.status(port + 20, "/readyz") == 200)
            started = time.perf_counter()
            for number in range(AT_ONCE):
                (made.folder / f"ready/file-{number}.json").rename(made.folder / f"input/file-{number}.json")
            made.wait(lambda: made.arrived() == AT_ONCE)
            report(f"{where}, {name}, dropped at once", AT_ONCE, started)
        finally:
            sender.kill()
            sender.wait()


original = [sys.executable, HERE / "original.py", "send"]
for where in FOLDERS:
    ratios = []
    for _ in range(3):
        python = measure(where, *PYTHON, original)
        ratios.append(measure(where, *TRANSFER, [BINARY, "send", "--once"]) / python)
        measure_at_once(where, *TRANSFER, [BINARY, "send"])
    print(f"{where}: transfer is {sorted(ratios)[1]:.1f} times as fast (median of three)")
