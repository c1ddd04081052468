"""What programs that look for weaknesses find."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from service import ROOT, rates


@pytest.mark.full
def test_sqlmap_finds_no_way_in(database, cleanup, report, tmp_path):
    service = cleanup(rates(database))
    path = "/rates?date_from=2021-01-01&date_to=2021-01-05&orig_code=CNGGZ&dest_code=EETLL"
    before = service.metric("http_request_duration_seconds_count")
    out = subprocess.run(
        ["sqlmap", "-u", f"http://127.0.0.1:{service.port}{path}", "--batch", "--level", "3", "--risk", "2", "--threads", "4",
         "--technique", "BEUSQ", "--dbms", "PostgreSQL", "--disable-coloring", "--output-dir", tmp_path, "--ignore-code", "400,404"],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "HOME": str(tmp_path)}, timeout=1800,
    ).stdout
    sent = service.metric("http_request_duration_seconds_count") - before
    faults = Path(service.log_file).read_text().count('"status":500')
    report.add("sqlmap finds no way in", f"{sent:,.0f} requests to /rates (level 3, risk 2)", f"nothing found; {faults} answers of 500")
    assert "do not appear to be injectable" in out, out[-2000:]
    assert sent > 1000 and faults == 0


# 50,000 requests in all. Four seeds take less time than one seed with four times the examples.
@pytest.mark.full
@pytest.mark.parametrize("seed", ["1", "2", "3", "4"])
def test_schemathesis_finds_no_fault(seed, database, key, cleanup, report):
    service = cleanup(rates(database, RATES__API__WRONG_KEYS_PER_MINUTE=1_000_000))
    variables = {"RATES_URL": f"http://127.0.0.1:{service.port}", "RATES_KEY": key, "SCHEMATHESIS_EXAMPLES": "900", "SCHEMATHESIS_SEED": seed}
    done = subprocess.run(
        [ROOT / "rates/tests/schemathesis.sh"], cwd=ROOT, env={**os.environ, **variables}, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=3600,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    cases = int(re.search(r"(\d+) generated", done.stdout)[1])
    faults = Path(service.log_file).read_text().count('"status":500')
    report.add(f"schemathesis finds no fault (seed {seed})", f"{cases:,} requests, made from the description of the API", f"nothing found; {faults} answers of 500")
    assert cases > 12_500 and faults == 0
