"""A supplier that sends batches all the time, and the proof that none of those acknowledged is lost or stored twice."""

import datetime
import itertools
import time

from load import Load, Request

# A lane and days that no other client asks for or writes.
LANE = ("CNXAM", "CAHAL")
DAY = "2020-01-01"
OTHER_DAYS = [datetime.date(2000, 1, 1) + datetime.timedelta(days) for days in range(5000)]
HEAD = "orig_code,dest_code,day,price\n"
NUMBERS = itertools.count(1)


def batches(key, asynchronous=False, rows=1):
    """Batches of so many prices. The first price, of the day `DAY`, tells which batch it is."""
    for number in NUMBERS:
        days = [DAY, *OTHER_DAYS[: rows - 1]]
        body = (HEAD + "".join(f"{LANE[0]},{LANE[1]},{day},{number}\n" for day in days)).encode()
        headers = {"authorization": f"Bearer {key}", "content-type": "text/csv", "idempotency-key": f"chaos-{number}"}
        if asynchronous:
            headers["prefer"] = "respond-async"
        yield Request("/prices", "POST", headers, body, tag=number)


class Supplier(Load):
    """Sends a new batch whatever became of the one before."""

    def __init__(self, port, key, rate=10, asynchronous=False, timeout=30, rows=1):
        super().__init__(port, batches(key, asynchronous, rows), connections=2, rate=rate, timeout=timeout)

    def acknowledged(self):
        return {answer.tag for answer in self.answers if answer.status in (200, 201, 202)}

    def check(self, database):
        """Every acknowledged batch is stored once, and no batch twice; returns how many were acknowledged."""
        deadline = time.monotonic() + 60
        while database.psql("select count(*) from jobs") != "0":
            assert time.monotonic() < deadline, "queued batches are not stored"
            time.sleep(0.2)
        stored = database.psql(
            f"select price from prices where orig_code = '{LANE[0]}' and dest_code = '{LANE[1]}' and day = '{DAY}'"
        ).split()
        stored = [int(price) for price in stored]
        assert len(stored) == len(set(stored)), "a batch is stored twice"
        lost = self.acknowledged() - set(stored)
        assert not lost, f"lost: {sorted(lost)}"
        assert self.acknowledged(), "no batch was acknowledged"
        return len(self.acknowledged())
