"""The requests to ip-api.com as httpx sends them. Imported before the first one: httpx takes long, and much memory."""

from collections.abc import Mapping

import httpx

from bangeod.geo.sources.ip_api.reply import MAX_BODY, Reply, RequestFailedError


class Transport:
    """Sends requests, one at a time."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def post(self, url: str, query: Mapping[str, str], content: str, headers: Mapping[str, str]) -> Reply:
        """Send a request. Raises TimeoutError, RequestFailedError, OSError, ValueError."""
        try:
            whole = httpx.URL(url).copy_merge_params(query)
            async with self._client.stream("POST", whole, content=content, headers=headers) as response:
                body = await _read(response) if response.status_code == httpx.codes.OK else b""
                return Reply(response.status_code, response.headers, body)
        except httpx.TimeoutException as error:
            raise TimeoutError from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise RequestFailedError(type(error).__name__, str(error)) from error

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()


def make(timeout: float) -> Transport:
    """Make a transport. Blocks while it reads the certificates of all authorities."""
    client = httpx.AsyncClient(
        trust_env=False,  # no proxy, netrc or certificates from the environment
        follow_redirects=False,
        timeout=timeout,
        limits=httpx.Limits(max_connections=1),
    )
    return Transport(client)


async def _read(response: httpx.Response) -> bytes | None:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        return None
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_BODY:
            return None
    return bytes(body)
