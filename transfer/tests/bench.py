"""Files per second, side by side: transfer and the Python programs. Usage: bench.py RELEASE_BINARY [FILES_OF_PYTHON FILES]

Each side's sender and receiver are processes of this machine. Time counts from the start of the sender until the last file
has arrived; transfer syncs every file to the disk, the Python programs sync none.
"""

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
COUNTS = [int(count) for count in sys.argv[2:]] or [1000, 10000]
HERE = pathlib.Path(__file__).parent


def measure(name, count, port, receive, send):
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as folder:
        folder = pathlib.Path(folder)
        for made in ("input", "output"):
            (folder / made).mkdir()
        (folder / "key").write_bytes(Fernet.generate_key())
        for number in range(count):
            document = {"number": number, "name": f"file {number}", "list": [1, 2.5, None, True], "object": {"a": "b"}}
            (folder / f"input/file-{number}.json").write_text(json.dumps(document))
        environment = {
            "PATH": os.environ["PATH"], "SERVER_IP": "127.0.0.1", "SERVER_PORT": str(port), "LOG_LEVEL": "WARNING",
            "OUTPUT_DIR": str(folder / "output"), "INPUT_DIR": str(folder / "input"), "ENCRYPTION_KEY": str(folder / "key"),
            "DECRYPTION_KEY": str(folder / "key"), "STATUS_DB_PATH": str(folder / "status.db"),
            "RECEIVER_ADDRESS": "127.0.0.1", "RECEIVER_PORT": str(port), "TRANSFER__SERVER__METRICS_PORT": "0",
            "TRANSFER__SEND__SETTLE_SECONDS": "0",
        }
        quiet = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        receiver = subprocess.Popen(receive, **quiet)
        try:
            for _ in range(200):
                try:
                    requests.get(f"http://127.0.0.1:{port}/", timeout=5)
                    break
                except requests.ConnectionError:
                    time.sleep(0.05)
            started = time.perf_counter()
            subprocess.run(send, check=True, timeout=600, **quiet)
            seconds = time.perf_counter() - started
        finally:
            receiver.kill()
            receiver.wait()
        arrived = len(list((folder / "output").glob("*.xml")))
        assert arrived == count, f"{arrived} of {count} arrived"
        print(f"{name}: {count} files in {seconds:.2f} s, {count / seconds:.0f} files/s", flush=True)
        return count / seconds


original = [sys.executable, HERE / "original.py"]
ratios = []
for _ in range(3):
    python = measure("Python", COUNTS[0], 18080, [*original, "receive"], [*original, "send"])
    ours = measure("transfer", COUNTS[-1], 18081, [BINARY, "receive"], [BINARY, "send", "--once"])
    ratios.append(ours / python)
print(f"ratio: {sorted(ratios)[1]:.1f} (of three)")
