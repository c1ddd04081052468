"""A dump of a database that is being written to is restored elsewhere, and gives the same answers."""

import subprocess
import time

from batches import Supplier
from load import lanes
from postgres import Postgres
from service import rates, run


def test_a_restored_dump_gives_the_same_answers(database, key, cleanup, report, tmp_path):
    dump = tmp_path / "rates.dump"
    service = cleanup(rates(database))
    with Supplier(service.port, key, rate=20) as supplier:
        time.sleep(2)
        before = supplier.acknowledged()
        subprocess.run(["pg_dump", "-Fc", "-f", dump, database.url()], check=True)
        time.sleep(1)
    paths = [request.path for request, _ in zip(lanes(), range(300))]
    answers = [service.get(path) for path in paths]
    service.terminate()

    restored = cleanup(Postgres()).create()
    begun = time.monotonic()
    subprocess.run(["pg_restore", "--exit-on-error", "-d", restored.url(), dump], check=True)
    took = time.monotonic() - begun
    run("rates", "verify", DATABASE_URL=restored.url())
    second = cleanup(rates(restored))
    differences = [path for path, answer in zip(paths, answers) if second.get(path) != answer]
    stored = {int(price) for price in restored.psql("select price from prices where day = '2020-01-01'").split()}
    report.add(
        "A dump taken under writes restores to the same answers",
        f"{len(supplier.acknowledged())} batches around the dump; 300 questions to both",
        f"{len(differences)} answers differ; restored in {took:.1f} s",
    )
    assert not differences
    assert before <= stored, "a batch acknowledged before the dump is missing"
