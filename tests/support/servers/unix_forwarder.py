"""A TCP port on loopback for a server on a Unix socket, for tools that speak TCP only.

    python -m tests.support.servers.unix_forwarder SOCKET

It prints its port, and ends when the standard input does.
"""

import asyncio
import contextlib
import sys


async def main(socket: str) -> None:
    """Forward until the input ends."""

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        their_reader, their_writer = await asyncio.open_unix_connection(socket)
        await asyncio.gather(_pump(reader, their_writer), _pump(their_reader, writer))

    async with await asyncio.start_server(forward, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until one side has enough."""
    with contextlib.suppress(OSError):
        while content := await reader.read(65_536):
            writer.write(content)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
