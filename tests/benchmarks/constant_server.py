"""The plain way of the API: an aiohttp handler that returns a constant, on a Unix socket, until the input ends.

python -m tests.benchmarks.constant_server SOCKET
"""

import asyncio
import sys

from aiohttp import web

ENTRY = (
    b'{"ip":"93.184.216.34","status":"resolved","country_code":"US","country_name":"United States of America",'
    b'"asn":"AS64500","org":"Nordic Cloud 17 GmbH"}'
)


async def answer(_request: web.Request) -> web.Response:
    """Answer."""
    return web.Response(body=ENTRY, content_type="application/json")


async def main(socket: str) -> None:
    """Serve."""
    application = web.Application()
    application.router.add_get("/v1/lookup/{ip}", answer)
    runner = web.AppRunner(application, access_log=None, handle_signals=False)
    await runner.setup()
    await web.UnixSite(runner, socket).start()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
