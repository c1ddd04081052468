#!/usr/bin/env python3
"""The network of the tasks that test_boot.py starts: a database and a cache that speak TLS, at addresses of their own.

network.py FOLDER SOCKET

Runs in a network namespace without any other interface. FOLDER has the certificate, SOCKET is a PostgreSQL server's.
Prints its process id when all is there, and ends with its standard input.
"""

import asyncio
import fcntl
import os
import socket
import ssl
import struct
import sys
from pathlib import Path

SIOCSIFFLAGS, IFF_UP = 0x8914, 1
# The first packet of a client that wants TLS.
SSL_REQUEST = struct.pack("!ii", 8, 80877103)


def turn_on_loopback():
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))


async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def main(folder, postgres):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")

    async def connect(reader, writer):
        """Speaks TLS for the server, which only has a Unix socket. Refuses whoever does not."""
        if await reader.readexactly(8) != SSL_REQUEST:
            writer.close()
            return
        writer.write(b"S")
        await writer.start_tls(context)
        there, back = await asyncio.open_unix_connection(postgres)
        await asyncio.gather(copy(reader, back), copy(there, writer))

    database = await asyncio.start_server(connect, "127.0.0.1", 5432)
    files = ["--tls-cert-file", "server.pem", "--tls-key-file", "server.key", "--tls-ca-cert-file", "ca.pem"]
    options = ["--port", "0", "--tls-port", "6379", "--tls-auth-clients", "no", "--save", ""]
    cache = await asyncio.create_subprocess_exec(
        "redis-server", *options, *files, cwd=folder, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        print(os.getpid(), flush=True)
        await asyncio.to_thread(sys.stdin.read)
    finally:
        database.close()
        cache.terminate()
        await cache.wait()


if __name__ == "__main__":
    turn_on_loopback()
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
