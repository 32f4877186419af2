"""The body of a request while it comes: never more of it than there may be, and nothing of it left behind."""

from typing import Final

from aiohttp import StreamReader

from bangeod.api.problems import RequestError

LARGEST_BODY: Final = 1 << 20  # bytes; 10,000 of the longest addresses are half of it


def too_large() -> RequestError:
    """Return what a body gets that is larger."""
    return RequestError(413, "too_large", f"a body of at most {LARGEST_BODY} bytes is taken")


async def received(content: StreamReader) -> bytes:
    """Return the body once all of it has come. Raises RequestError, ConnectionError.

    aiohttp's own ``read`` would have each connection buffer twice the largest body before it may be slowed down.
    """
    body, chunk = bytearray(), b""
    try:
        while chunk := await content.readany():
            body += chunk
            if len(body) > LARGEST_BODY:
                raise too_large()
        return bytes(body)
    finally:
        # Whatever is raised has hold of this frame, and may be in a circle that is not cleared away for long.
        body.clear()
        chunk = b""
