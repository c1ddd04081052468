"""Nothing that a process prints, logs or shows to others contains a secret."""

import subprocess
import time
from pathlib import Path

from batches import Supplier
from service import PROGRAMS, environment, rates

PASSWORD, APP_PASSWORD = "chaos-password-1", "chaos-password-2"


def test_no_secret_appears_in_logs_output_arguments_or_metrics(database, key, cleanup, report):
    url = database.url().replace("rates@", f"rates:{PASSWORD}@")
    secrets = {"password": PASSWORD, "password of the service": APP_PASSWORD, "key": key.rsplit("_", 1)[-1]}
    variables = {
        "DATABASE_URL": url, "DB_APP_USER": "rates_app", "DB_APP_PASSWORD": APP_PASSWORD, "RATES_KEY": key, "RUST_LOG": "trace",
    }
    shown = {}
    for command in (["migrate"], ["config"], ["config", "--markdown"], ["key", "list"], ["verify"], ["load", "/none"], ["nonsense"]):
        done = subprocess.run([PROGRAMS / "rates", *command], env=environment(variables), text=True, capture_output=True)
        shown[" ".join(command)] = done.stdout + done.stderr
    service = cleanup(rates(url, RUST_LOG="trace"))
    with Supplier(service.port, key, rate=5) as supplier:
        time.sleep(1)
        database.stop(immediately=True)
        time.sleep(2)
        database.start()
    assert supplier.answers
    shown["log"] = Path(service.log_file).read_text()
    shown["arguments"] = Path(f"/proc/{service.process.pid}/cmdline").read_text()
    shown["metrics"] = str(service.metric("rates_database_up"))
    found = [(what, where) for what, secret in secrets.items() for where, text in shown.items() if secret in text]
    report.add(
        "No secret is shown", "trace logs of commands and of a server whose database fails",
        f"{len(found)} found in {sum(map(len, shown.values())) // 1024:,} KiB of output",
    )
    assert len(shown["log"]) > 10_000, "the log is at trace level"
    assert not found
