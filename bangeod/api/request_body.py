"""Receiving the body of a request: never more than the limit, and nothing of it kept after an error."""

from typing import Final

from bangeod.api.problems import RequestError
from bangeod.api.web import StreamReader

LARGEST_BODY: Final = 1 << 20  # bytes; 10,000 of the longest addresses take half of it


def too_large() -> RequestError:
    """Return the error for a body that is too large."""
    return RequestError(413, "too_large", f"a body of at most {LARGEST_BODY} bytes is taken")


async def received(content: StreamReader) -> bytes:
    """Return the body when it has come completely. Raises RequestError, ConnectionError.

    aiohttp's own ``read`` lets each connection buffer twice the largest body before it slows the sender down.
    """
    body, chunk = bytearray(), b""
    try:
        while chunk := await content.readany():
            body += chunk
            if len(body) > LARGEST_BODY:
                raise too_large()
        return bytes(body)
    finally:
        # An exception refers to this frame, and may be in a reference cycle that is not collected for long.
        body.clear()
        chunk = b""
