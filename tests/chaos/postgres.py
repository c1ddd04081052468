"""PostgreSQL servers that can be stopped, killed, promoted and filled up."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
wal_keep_size = 256MB
max_wal_size = 256MB
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def programs():
    """The folder of the server's programs."""
    folders = Path("/usr/lib/postgresql").glob("*/bin")
    newest = max(folders, key=lambda folder: float(folder.parent.name), default=None)
    postgres = shutil.which("postgres")
    if newest is None and postgres is None:
        raise SystemExit("no PostgreSQL server found: apt-get install postgresql")
    return newest or Path(postgres).resolve().parent


class Postgres:
    """One server on a TCP port of this machine, which needs no password."""

    def __init__(self, folder=None):
        self.port = free_port()
        self.owner = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.folder = Path(folder or tempfile.mkdtemp(prefix="chaos-postgres-", dir="/var/tmp"))
        self.data = self.folder / "data"
        self.process = None
        if os.geteuid() == 0:
            shutil.chown(self.folder, self.owner, self.owner)

    def create(self):
        self.run("initdb", "-D", self.data, "-U", "rates", "-E", "UTF8", "--locale=C.UTF-8", "--auth=trust", "-N")
        with open(self.data / "postgresql.auto.conf", "a") as settings:
            settings.write(SETTINGS)
        self.start()
        self.psql("create database rates", "postgres")
        return self

    def copy(self, stopped):
        subprocess.run(["cp", "-a", stopped.data, self.data], check=True)

    def standby(self):
        """A second server that follows this one."""
        other = Postgres()
        other.run("pg_basebackup", "-h", "127.0.0.1", "-p", self.port, "-U", "rates", "-D", other.data, "-R", "-c", "fast")
        other.start()
        return other

    def start(self):
        command = [programs() / "postgres", "-D", self.data, "-p", str(self.port)]
        self.process = subprocess.Popen(
            command, user=self.owner if os.geteuid() == 0 else None, cwd="/", start_new_session=True,
            stdout=open(self.folder / "log", "ab"), stderr=subprocess.STDOUT,
        )
        self.wait()

    def wait(self, seconds=60):
        deadline = time.monotonic() + seconds
        while subprocess.run([programs() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode != 0:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise AssertionError(f"PostgreSQL does not start:\n{(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self, immediately=False):
        """An immediate stop ends without a checkpoint, as a crash does."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT if immediately else signal.SIGINT)
            self.process.wait(60)

    def promote(self):
        self.run("pg_ctl", "promote", "-w", "-D", self.data)

    def remove(self):
        self.stop(immediately=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, port=None, name="rates"):
        return f"postgres://rates@127.0.0.1:{port or self.port}/{name}?sslmode=disable"

    def psql(self, sql, name="rates"):
        return subprocess.run(
            ["psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", self.url(name=name)],
            input=sql, text=True, check=True, stdout=subprocess.PIPE, timeout=600,
        ).stdout.strip()

    def run(self, program, *arguments):
        command = [programs() / program, *map(str, arguments)]
        user = self.owner if os.geteuid() == 0 else None
        subprocess.run(command, user=user, cwd="/", check=True, stdout=subprocess.DEVNULL, timeout=600)
