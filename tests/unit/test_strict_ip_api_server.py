"""The server that the tests put in ip-api.com's place is strict: each way of breaking its rules is an offence."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest

from tests.support.manual_clock import ManualClock
from tests.support.servers.ip_api import FIELDS, IpApiServer

GOOD = ["8.8.8.8"]
QUERY = f"?fields={','.join(sorted(FIELDS))}"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def server(clock: ManualClock) -> AsyncIterator[IpApiServer]:
    async with IpApiServer(clock) as server:
        yield server


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as http:
        yield http


async def ask(
    http: httpx.AsyncClient, server: IpApiServer, asked: object = GOOD, *, method: str = "POST", query: str = QUERY
) -> httpx.Response:
    headers = {"Content-Type": "application/json"}
    return await http.request(method, server.url + query, headers=headers, content=json.dumps(asked))


async def test_a_good_request_is_no_offence(server: IpApiServer, http: httpx.AsyncClient) -> None:
    response = await ask(http, server, [f"9.9.9.{octet}" for octet in range(100)])
    assert response.status_code == 200
    assert (response.headers["X-Rl"], response.headers["X-Ttl"]) == ("14", "60")
    assert (server.offences, server.offending) == ([], 0)


@pytest.mark.parametrize(
    ("asked", "offence"),
    [
        ([f"9.9.9.{octet}" for octet in range(101)], "101 addresses"),
        ([], "0 addresses"),
        (["8.8.8.8", "8.8.8.8"], "an address twice"),
        (["10.0.0.1"], "10.0.0.1 is not routable"),
        (["100.64.0.1"], "100.64.0.1 is not routable"),
        (["fe80::1"], "fe80::1 is not routable"),
        (["224.0.0.1"], "224.0.0.1 is not routable"),
        (["example.org"], "'example.org' is no address"),
        ([""], "'' is no address"),
        ([8], "the content is not an array of strings"),
        ({"query": "8.8.8.8"}, "the content is not an array of strings"),
    ],
)
async def test_what_is_asked_may_be_an_offence(
    server: IpApiServer, http: httpx.AsyncClient, asked: Sequence[object], offence: str
) -> None:
    server.script.append(server._limited)  # it need not make sense of it
    await ask(http, server, asked)
    assert (server.offences, server.offending) == ([offence], 1)


async def test_another_method_another_query_and_another_content_are_offences(
    server: IpApiServer, http: httpx.AsyncClient
) -> None:
    await ask(http, server, method="PUT")
    await ask(http, server, query="?fields=country")
    await http.post(server.url + QUERY, content=json.dumps(GOOD))
    server.script.append(server._limited)
    await http.post(server.url + QUERY, content=b"8.8.8.8", headers={"Content-Type": "application/json"})
    assert len(server.offences) == server.offending == 4


async def test_a_request_over_the_limit_is_refused_and_an_offence(
    server: IpApiServer, http: httpx.AsyncClient, clock: ManualClock
) -> None:
    left = [(await ask(http, server)).headers["X-Rl"] for _ in range(15)]
    assert left == [str(number) for number in range(14, -1, -1)]
    assert server.offences == []
    clock.advance(59.9)
    assert (await ask(http, server)).status_code == 429
    assert server.offences == ["a request while none may be sent", "more requests than the limit"]
    assert server.offending == 1
    clock.advance(0.1)
    assert (await ask(http, server)).status_code == 200
    assert server.offending == 1


@pytest.mark.parametrize(("reply", "seconds"), [("refuse", 3600), ("limit_passed", 20)])
async def test_a_request_while_it_has_forbidden_them_is_an_offence(
    server: IpApiServer, http: httpx.AsyncClient, clock: ManualClock, reply: str, seconds: float
) -> None:
    server.script.append(server.refuse() if reply == "refuse" else server.limit_passed(20))
    await ask(http, server)
    clock.advance(seconds - 1)
    assert server.offences == []
    await ask(http, server)
    assert server.offences == ["a request while none may be sent"]
    clock.advance(1)
    await ask(http, server)
    assert server.offending == 1


async def test_two_requests_at_a_time_are_an_offence(server: IpApiServer, http: httpx.AsyncClient) -> None:
    await asyncio.gather(ask(http, server), ask(http, server))
    assert server.offences == ["a second request while one is in flight"]
