"""The runbook: every command in it works, and every alert has its section."""

import os
import re
import subprocess
import time

from batches import Supplier
from service import PROGRAMS, ROOT, rates

RUNBOOK = (ROOT / "docs/RUNBOOK.md").read_text()


def test_every_command_works(database, key, cleanup, tmp_path):
    service = cleanup(rates(database))
    with Supplier(service.port, key, rate=5) as supplier:
        while not supplier.answers:
            time.sleep(0.1)
    variables = {
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}", "HOME": str(tmp_path), "RUST_LOG": "warn", "PAGER": "",
        "DATABASE_URL": database.url(), "RATES": f"http://127.0.0.1:{service.port}",
        "METRICS": f"http://127.0.0.1:{service.metrics_port}", "LOG": service.log_file,
    }
    blocks = re.findall(r"^```sh\n(.*?)^```", RUNBOOK, re.M | re.S)
    assert len(blocks) > 10
    for block in blocks:
        done = subprocess.run(["bash", "-eu", "-c", block], env=variables, cwd=tmp_path, text=True, capture_output=True)
        assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
        assert "error" not in done.stderr.lower(), f"{block}\n{done.stderr}"


def test_every_alert_has_a_section():
    alerts = re.findall(r"- alert: (\w+)", (ROOT / "docs/monitoring/rules.yml").read_text())
    headings = " ".join(re.findall(r"^## (.*)", RUNBOOK, re.M))
    assert [alert for alert in alerts if alert not in headings] == []


def test_every_test_that_the_threat_model_names_exists():
    named = re.findall(r"`([\w/]+/[\w.]+)`", (ROOT / "SECURITY.md").read_text())
    assert len(named) > 8
    assert [path for path in named if not (ROOT / path).exists()] == []
