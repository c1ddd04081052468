"""The first answer after a restart, and after a change of its lane, against that of a lane that nobody has asked for."""

import http.client
import statistics
import subprocess
import time

import mixed
from harness import PORTS, database, path, rates

CHANGE = "update prices set price = price where orig_code = '{orig_code}' and dest_code = '{dest_code}' and day between '2021-01-01' and '2021-01-31';\n"


def measure(table, name="rates"):
    restarted, cold, changed = [], [], []
    others = [lane for lane in mixed.pairs(name) if lane != PORTS][:20]
    command = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", database(name)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as session:
        for _ in range(10):
            with rates(8122, name=name, ready="/readyz") as server:
                connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)

                def read(lane):
                    """The time until this lane is read from the database and answered, in milliseconds."""
                    for _ in range(5000):
                        # Reads in a row are quicker, and those after a change cannot be in a row.
                        time.sleep(0.002)
                        started = time.perf_counter()
                        connection.request("GET", path(lane))
                        answer = connection.getresponse()
                        answer.read()
                        if answer.getheader("cache-status") == "rates; fwd=miss":
                            return (time.perf_counter() - started) * 1000
                        # Else the server has not heard of the change yet.
                    raise SystemExit(f"{lane} is not read again")

                restarted.append(read(PORTS))
                cold.extend(read(lane) for lane in others)
                for _ in range(20):
                    session.stdin.write(CHANGE.format(**PORTS))
                    session.stdin.flush()
                    changed.append(read(PORTS))
        session.stdin.close()
    theirs = statistics.median(cold)
    for what, times, goal in (("a restart", restarted, None), ("a change of its lane", changed, 1.2)):
        ours = statistics.median(times)
        ratio = ours / theirs
        table.add(
            f"12. p50 of the first answer after {what} ÷ that of a lane that nobody has asked for, 1 connection", f"{ours:.2f} ms",
            f"{theirs:.2f} ms", f"{ratio:.2f}", f"≤ {goal}" if goal else "", ratio <= goal if goal else None,
        )
