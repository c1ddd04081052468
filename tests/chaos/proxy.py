"""A TCP proxy that behaves as broken networks do."""

import asyncio
import threading

PASS, REFUSE, STALL, HALF_OPEN = "pass", "refuse", "stall", "half-open"


class Ended(Exception):
    """One direction of a connection has ended, and the other is to end with it."""


class Proxy:
    """Forwards connections to a port of this machine. `mode` and `delay` may change while connections are open:

    - `PASS`: forwards both ways, each piece `delay` seconds late.
    - `REFUSE`: closes every connection, old and new.
    - `STALL`: accepts and keeps connections, and forwards nothing: a black hole, as dropped packets make one.
    - `HALF_OPEN`: forwards what the client sends, but no answer.
    """

    def __init__(self, target):
        self.target = target
        self.mode = PASS
        self.delay = 0.0
        self.connections = set()
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self.thread.start()
        ready.wait()

    def set(self, mode, delay=0.0):
        self.mode, self.delay = mode, delay
        if mode == REFUSE:
            self.loop.call_soon_threadsafe(self._cut)

    def close(self):
        asyncio.run_coroutine_threadsafe(self._end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _end(self):
        self.server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _run(self, ready):
        asyncio.set_event_loop(self.loop)
        listening = asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024)
        self.server = self.loop.run_until_complete(listening)
        self.port = self.server.sockets[0].getsockname()[1]
        ready.set()
        self.loop.run_forever()

    def _cut(self):
        for writer in list(self.connections):
            writer.transport.abort()

    async def _accept(self, reader, writer):
        self.connections.add(writer)
        upstream = None
        try:
            while self.mode == STALL:
                await asyncio.sleep(0.05)
            if self.mode == REFUSE:
                raise Ended
            upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self.target)
            self.connections.add(upstream)
            async with asyncio.TaskGroup() as directions:
                directions.create_task(self._copy(reader, upstream, (STALL,)))
                directions.create_task(self._copy(upstream_reader, writer, (STALL, HALF_OPEN)))
        except* (OSError, Ended, asyncio.CancelledError):
            pass
        finally:
            for one in (writer, upstream):
                if one:
                    self.connections.discard(one)
                    one.transport.abort()

    async def _copy(self, reader, writer, held_in):
        while piece := await reader.read(65536):
            while self.mode in held_in:
                await asyncio.sleep(0.02)
            if self.delay:
                await asyncio.sleep(self.delay)
            writer.write(piece)
            await writer.drain()
        raise Ended
