"""What the API uses of aiohttp: its server, without the client that ``import aiohttp`` brings along.

Client, connector and cookie jar, and aiohttp's own routing, which is not used here either, take more than six megabytes
and half of the import; on the way the certificates of all authorities are read, for a server on a Unix socket. The
modules of aiohttp 3 that a server is made of need none of that: of the package itself they want its version, for the
header ``Server``, and nothing else.

Where that does not fit (an aiohttp with other modules), or where aiohttp was imported before, the names come from
aiohttp as usual; only the gain is lost. Tried with aiohttp 3.14.5; tests/unit/api/test_web.py notices a loss.
"""

from bangeod.api.unexecuted import unexecuted

with unexecuted("aiohttp"):
    try:
        from aiohttp.http_writer import HttpVersion10, HttpVersion11
        from aiohttp.streams import StreamReader
        from aiohttp.web_exceptions import HTTPRequestEntityTooLarge
        from aiohttp.web_protocol import RequestHandler
        from aiohttp.web_request import BaseRequest
        from aiohttp.web_response import Response, StreamResponse
        from aiohttp.web_server import Server
    except (ImportError, AttributeError):
        from aiohttp import HttpVersion10, HttpVersion11, StreamReader
        from aiohttp.web import (
            BaseRequest,
            HTTPRequestEntityTooLarge,
            RequestHandler,
            Response,
            Server,
            StreamResponse,
        )

__all__ = [
    "BaseRequest",
    "HTTPRequestEntityTooLarge",
    "HttpVersion10",
    "HttpVersion11",
    "RequestHandler",
    "Response",
    "Server",
    "StreamReader",
    "StreamResponse",
]
