"""Clients that send requests all the time and keep count of every answer."""

import asyncio
import itertools
import statistics
import threading
import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Request:
    path: str
    method: str = "GET"
    headers: dict = field(default_factory=dict)
    body: bytes = b""
    tag: object = None

    def bytes(self):
        headers = {"host": "localhost", "content-length": len(self.body), **self.headers} if self.body else {"host": "localhost", **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{self.method} {self.path} HTTP/1.1\r\n{head}\r\n".encode() + self.body


@dataclass
class Answer:
    """`status` is 0 where no whole answer came; `error` says why. Times are in seconds."""

    at: float
    took: float
    status: int
    error: str = ""
    tag: object = None
    headers: dict = field(default_factory=dict)


async def exchange(reader, writer, request):
    """Sends a request; returns the status, the headers and whether the connection stays open."""
    writer.write(request.bytes())
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(head[0].split()[1])
    headers = dict((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in head[1:] if line))
    if "chunked" in headers.get("transfer-encoding", ""):
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    else:
        await reader.readexactly(int(headers.get("content-length", 0)))
    return status, headers, headers.get("connection", "").lower() != "close"


class Load:
    """Sends requests over some connections, together `rate` a second at most, until it is stopped.

    Use it as a context manager. A connection is opened anew when the server closed it or a request failed.
    """

    def __init__(self, port, requests, connections=4, rate=None, timeout=30):
        self.port, self.requests, self.timeout = port, requests, timeout
        self.connections, self.pause = connections, connections / rate if rate else 0
        self.answers = []
        self.is_stopped = False
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.is_stopped = True
        self.thread.join(self.timeout + 30)
        assert not self.thread.is_alive(), "a client hangs"

    def run_for(self, seconds):
        with self:
            time.sleep(seconds)
        return self

    async def _run(self):
        await asyncio.gather(*(self._client(number) for number in range(self.connections)))

    async def _client(self, number):
        connection = None
        due = time.monotonic() + self.pause * number / self.connections
        while not self.is_stopped:
            if self.pause:
                await asyncio.sleep(max(0, due - time.monotonic()))
                due = max(due + self.pause, time.monotonic() - 1)
            request = next(self.requests)
            begun = time.monotonic()
            try:
                async with asyncio.timeout(self.timeout):
                    connection = connection or await asyncio.open_connection("127.0.0.1", self.port)
                    status, headers, stays = await exchange(*connection, request)
                error = ""
            except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError, IndexError) as failure:
                status, headers, stays, error = 0, {}, False, f"{type(failure).__name__}: {failure}"
            now = time.monotonic()
            self.answers.append(Answer(begun, now - begun, status, error, request.tag, headers))
            if not stays and connection:
                connection[1].transport.abort()
                connection = None
            if status == 0:
                await asyncio.sleep(0.01)
        if connection:
            connection[1].close()

    def counts(self):
        return Counter(answer.status for answer in self.answers)

    def failures(self, fine=(200, 201, 304)):
        return [answer for answer in self.answers if answer.status not in fine]

    def percentile(self, percent, since=0.0):
        """In milliseconds."""
        times = [answer.took for answer in self.answers if answer.at >= since]
        return 1000 * statistics.quantiles(times, n=1000, method="inclusive")[round(percent * 10) - 1]

    def slowest(self):
        """In seconds."""
        return max(answer.took for answer in self.answers)


def lanes():
    """Requests of a month of many lanes in turn; each is a miss the first time."""
    origins = ["CNGGZ", "CNSGH", "CNNBO", "CNQIN", "china", "china_north", "china_east", "asia"]
    targets = ["EETLL", "BEANR", "baltic_sea", "north_europe", "north_sea", "nordics", "europe"]
    days = range(1, 29)
    for day, month, origin, target in itertools.cycle(itertools.product(days, range(1, 13), origins, targets)):
        lane = f"orig_code={origin}&dest_code={target}"
        yield Request(f"/rates?date_from=2021-{month:02}-{day:02}&date_to=2021-{month:02}-28&{lane}")


def one_lane():
    request = Request("/rates?date_from=2021-01-01&date_to=2021-01-31&orig_code=CNGGZ&dest_code=EETLL")
    return itertools.repeat(request)
