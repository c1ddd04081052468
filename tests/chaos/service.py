"""Processes of the services, as a platform runs them: settings from the environment, log on standard output."""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from postgres import free_port

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / os.environ.get("CHAOS_PROGRAMS", "target/release")


def run(program, *arguments, **variables):
    """Runs a command of a service to its end and returns what it printed."""
    done = subprocess.run(
        [PROGRAMS / program, *map(str, arguments)], env=environment(variables), text=True, capture_output=True, timeout=600
    )
    assert done.returncode == 0, f"{program} {arguments}: {done.returncode}\n{done.stderr}"
    return done.stdout.strip()


def environment(variables):
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "RUST_LOG": "info", **{name: str(value) for name, value in variables.items()}}


class Service:
    """A running service. `prefix` is a command that starts it with limits, such as `prlimit`."""

    def __init__(self, program, *arguments, prefix=(), ready=True, **variables):
        self.program, self.arguments, self.prefix = program, arguments or ("serve",), prefix
        self.port, self.metrics_port = free_port(), free_port()
        name = program.upper()
        self.variables = {
            "PORT": self.port, f"{name}__SERVER__HOST": "127.0.0.1", f"{name}__SERVER__METRICS_PORT": self.metrics_port,
            # Only load balancers need it, and every stop would take as long.
            f"{name}__SERVER__LAME_DUCK_SECONDS": 0, **variables,
        }
        descriptor, self.log_file = tempfile.mkstemp(prefix=f"chaos-{program}-", suffix=".log")
        os.close(descriptor)
        self.process = None
        self.start(ready)

    def start(self, ready=True):
        self.process = subprocess.Popen(
            [*self.prefix, PROGRAMS / self.program, *self.arguments], env=environment(self.variables), cwd="/",
            stdout=open(self.log_file, "ab"), stderr=subprocess.STDOUT,
        )
        if ready:
            self.wait_until_ready()

    def status(self, path="/readyz", timeout=5):
        """The status of a health check; 0 if nothing answers in time."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}{path}", timeout=timeout) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def wait_until_ready(self, seconds=30, status=200):
        """Seconds until `/readyz` has this status."""
        begun = time.monotonic()
        while self.status() != status:
            assert time.monotonic() - begun < seconds, f"/readyz is not {status} after {seconds} s:\n{self.log()}"
            assert self.process.poll() is None, f"{self.program} ended with {self.process.returncode}:\n{self.log()}"
            time.sleep(0.05)
        return time.monotonic() - begun

    def get(self, path, headers=None, timeout=30):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers or {})
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.read()

    def metric(self, line):
        """The value of a metric, by the start of its line."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        return sum(float(found) for found in re.findall(rf"^{re.escape(line)}(?:{{[^}}]*}})? (\S+)$", text, re.M))

    def memory(self):
        """Resident memory in MiB."""
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())[1]) / 1024

    def descriptors(self):
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def log(self):
        return "\n".join(Path(self.log_file).read_text(errors="replace").splitlines()[-15:])

    def messages(self):
        """The log's messages."""
        lines = Path(self.log_file).read_text(errors="replace").splitlines()
        return [json.loads(line).get("message", "") for line in lines if line.startswith("{")]

    def terminate(self, seconds=60):
        """Sends SIGTERM; returns the exit code and how many seconds the end took."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds), time.monotonic() - begun

    def kill(self):
        self.process.kill()
        self.process.wait()

    def remove(self):
        if self.process.poll() is None:
            self.kill()
        Path(self.log_file).unlink(missing_ok=True)


def rates(database, *arguments, prefix=(), ready=True, **variables):
    """`database` is a server or a URL."""
    url = database if isinstance(database, str) else database.url()
    limits = {"RATES__BATCHES__PER_MINUTE_BY_KEY": 1_000_000, "RATES__BATCHES__PER_MINUTE_BY_ADDRESS": 1_000_000}
    return Service("rates", *arguments, prefix=prefix, ready=ready, **{"DATABASE_URL": url, **limits, **variables})
