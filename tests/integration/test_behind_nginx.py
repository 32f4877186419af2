"""The API behind a real nginx, with the lines of contrib/prometheus/scrape.yml and with what others make of them."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.conftest import Start
from tests.support.daemon.installation import Installation
from tests.support.mmdb.published import NotToBeHadError, default_cache
from tests.support.servers import nginx

SCRAPE = Path(__file__).resolve().parents[2] / "contrib" / "prometheus" / "scrape.yml"
GIVEN = re.findall(r"^# {3}(server \{\n(?:#.*\n)*?)# {3}\}$", SCRAPE.read_text(), flags=re.MULTILINE)
LISTEN = "listen 127.0.0.1:9842;"
SOCKET = "unix:/run/bangeod/bangeod.sock"
VERSION = "proxy_http_version 1.1;"
NO_CONNECTION = 'proxy_set_header Connection "";'
KEEPING = f"upstream bangeod {{ server {SOCKET}; keepalive 32; }}"


def given() -> str:
    """Return the server block, as one puts it into nginx's config."""
    (block,) = map(str, GIVEN)
    return block.replace("\n#", "\n") + "}"


@pytest.fixture(scope="module")
def program() -> Path:
    try:
        return nginx.find(default_cache())
    except NotToBeHadError as error:
        pytest.skip(str(error))


@pytest.fixture
def daemon_socket(start: Start, place: Installation) -> Path:
    """Give the socket of a daemon that runs."""
    start({"api.enabled": True})
    return place.socket


@pytest.fixture(params=["as given", "HTTP/1.0", "connections kept"])
def front(
    request: pytest.FixtureRequest, program: Path, daemon_socket: Path, tmp_path: Path
) -> Iterator[tuple[httpx.Client, Path]]:
    """Give a client of nginx, which has the figures at /metrics and everything below /all, and nginx's errors."""
    blocks = {
        "as given": given(),
        "HTTP/1.0": given().replace(VERSION, "proxy_http_version 1.0;").replace(NO_CONNECTION, ""),
        # What nginx does from 1.29.7 on without being told, said to an older one.
        "connections kept": f"{KEEPING}\n{given().replace(f'{SOCKET}:', 'bangeod')}",
    }
    block = blocks[request.param]
    both = block.rindex("}")
    location = block[block.index("location") : both].replace("= /metrics", "/v1/").replace("/metrics;", "/v1/;")
    listens = tmp_path / "nginx.sock"
    servers = f"{block[:both]}{location}}}".replace(LISTEN, f"listen unix:{listens};")
    with (
        nginx.running(program, tmp_path, servers.replace(SOCKET, f"unix:{daemon_socket}"), listens) as errors,
        httpx.Client(transport=httpx.HTTPTransport(uds=str(listens)), base_url="http://nginx") as client,
    ):
        yield client, errors


def test_figures_and_status_come_through_nginx(front: tuple[httpx.Client, Path]) -> None:
    client, errors = front
    for _ in range(20):
        figures = client.get("/metrics")
        assert figures.status_code == 200
        assert figures.text.count("bangeod_info{") == 1
        assert client.get("/v1/status").json()["healthy"] is True
    answer = client.post("/v1/lookup", json={"ips": ["8.8.8.8"]})
    assert [entry["country_code"] for entry in answer.json()["entries"]] == ["US"]
    assert not re.search(r"\[(warn|error|crit|alert|emerg)\]", errors.read_text())
    assert client.get("/v1/status").json()["api"]["connections"] <= 2
