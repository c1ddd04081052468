"""Debian 12 machines with ssh, for the tests of packages and playbooks.

RATES_DEBIAN_HOSTS names a program that supplies them: `up COUNT` boots machines 1 to COUNT and prints an inventory with the
group `rates`, `down` removes them, `kill N` takes the power from machine N and `boot N` gives it back, `cut N` pulls its
network cable and `heal N` plugs it in again.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("RATES_DEBIAN_HOSTS")


def pytest_sessionstart(session):
    if not PROGRAM:
        pytest.exit("set RATES_DEBIAN_HOSTS to the program that boots machines; see tests/hosts/conftest.py", 2)


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout[-8000:]}"
    return done.stdout


class Machine:
    def __init__(self, number, line):
        self.number, self.line = number, line
        self.name = line.split()[0]
        self.address = re.search(r"ansible_host=(\S+)", line)[1]
        self.key = re.search(r"ansible_ssh_private_key_file=(\S+)", line)[1]
        # ssh runs it as one command, with our environment's language and without asking anything.
        self.ssh = ["ssh", "-q", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "StrictHostKeyChecking=no"]
        self.ssh += ["-o", "UserKnownHostsFile=/dev/null", "-i", self.key, f"root@{self.address}"]

    def run(self, command):
        """Runs a shell command as root; returns its output."""
        return run(*self.ssh, command)

    def status(self, command):
        return subprocess.run([*self.ssh, command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode

    def put(self, file, path):
        with open(file, "rb") as content:
            subprocess.run([*self.ssh, f"cat >{path}"], stdin=content, check=True)

    def is_active(self, unit):
        return self.status(f"systemctl is-active {unit}") == 0

    def kill(self):
        run(PROGRAM, "kill", self.number)

    def boot(self):
        subprocess.run([PROGRAM, "boot", str(self.number)], check=True, stdout=subprocess.DEVNULL)

    def cut(self):
        run(PROGRAM, "cut", self.number)

    def heal(self):
        run(PROGRAM, "heal", self.number)


def fresh_machines(count):
    subprocess.run([PROGRAM, "down"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # Not through a pipe: the machines would keep it open.
    inventory = ROOT / ".run/hosts/inventory"
    inventory.parent.mkdir(parents=True, exist_ok=True)
    with open(inventory, "w") as output:
        subprocess.run([PROGRAM, "up", str(count)], check=True, stdout=output, stderr=subprocess.DEVNULL)
    lines = [line for line in inventory.read_text().splitlines() if "ansible_host=" in line]
    return inventory, [Machine(number, line) for number, line in enumerate(lines, start=1)]


def package(name):
    (file,) = (ROOT / "target/dist").glob(f"{name}_*-1_*.deb")
    return file
