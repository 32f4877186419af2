"""The key of ip-api.com and the line it travels on: it goes into the query, and nowhere else."""

import json
import ssl
import traceback
from collections.abc import AsyncIterator

import httpx
import pytest
from structlog.testing import capture_logs

from bangeod.errors import SourcePausedError
from bangeod.geo.sources.ip_api.client import IpApi
from bangeod.geo.sources.ip_api.transport import Transport
from tests.support.manual_clock import ManualClock
from tests.support.servers.ip_api import IpApiServer, Pauses
from tests.support.servers.loopback import Reply, raw, respond

KEY = "S3cret+key/&?"
A = "8.8.8.8"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def server(clock: ManualClock) -> AsyncIterator[IpApiServer]:
    async with IpApiServer(clock) as server:
        yield server


@pytest.fixture
async def client(server: IpApiServer, clock: ManualClock) -> AsyncIterator[IpApi]:
    client = IpApi(url=server.url, key=KEY, timeout=10, clock=clock, pause_store=Pauses())
    yield client
    await client.close()


async def paused(client: IpApi) -> SourcePausedError:
    """Ask, and return the error that the request ends in."""
    with pytest.raises(SourcePausedError) as caught:
        await client.resolve([A])
    return caught.value


async def test_the_key_goes_into_the_query(server: IpApiServer, client: IpApi) -> None:
    await client.resolve([A])
    assert server.requests[0].query["key"] == [KEY]
    assert server.offences == []


class Unhelpful(httpx.AsyncBaseTransport):
    """Fails with an error that holds all that it was given."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"can't reach {request.url} with {KEY}", request=request)


async def test_the_key_is_in_no_error_log_or_repr(server: IpApiServer, client: IpApi, clock: ManualClock) -> None:
    replies: list[Reply] = [respond(403), respond(500), respond(302, {"Location": "/?key=" + KEY}), raw(b"")]
    server.script.extend(replies)
    errors: list[SourcePausedError] = []
    with capture_logs() as logs:
        for _ in replies:
            errors.append(await paused(client))
            clock.advance(client.wait())
        assert client._transport
        await client._transport.close()
        client._transport = Transport(httpx.AsyncClient(transport=Unhelpful()))
        errors.append(await paused(client))
    told = [json.dumps(logs), repr(client), str(vars(errors[0]))]
    told += ["".join(traceback.format_exception(error)) for error in errors]
    assert "S3cret" not in "".join(told)
    assert all(error.__cause__ is None and error.__context__ is None for error in errors)


async def test_neither_proxies_nor_credentials_are_taken_from_the_environment(
    server: IpApiServer, client: IpApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert len(await client.resolve([A])) == 1
    assert server.offences == []


async def test_https_is_verified(clock: ManualClock) -> None:
    client = IpApi(url="https://127.0.0.1:1/batch", timeout=10, clock=clock, pause_store=Pauses())
    await paused(client)
    context = client._transport._client._transport._pool._ssl_context  # type: ignore[union-attr]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    await client.close()
