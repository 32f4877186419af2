"""Files behind a closed directory: nobody can say whether they are there, and nobody says that they are not.

Path.exists and its like raise PermissionError there before Python 3.14, and are False from then on.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from bangeod.check import database
from bangeod.cli import without_daemon
from bangeod.clock import SystemClock
from bangeod.config import Settings
from bangeod.config.settings import DatabaseSettings, StateSettings
from bangeod.errors import StoreReadOnlyError
from bangeod.geo.update.answers import UpdateError
from bangeod.geo.update.releases import SOURCES
from bangeod.geo.update.updater import Updater
from bangeod.model import DirtyEntry, Geo
from bangeod.service.components import Components
from bangeod.service.log import setup
from bangeod.service.state import unwritten_file
from bangeod.service.state.files import is_there
from bangeod.service.unwritten_entries import UNWRITTEN_FILE
from bangeod.store.fail2ban import Fail2banReader
from bangeod.store.sqlite import schema
from tests.support.daemon.bound import bound_by_file_modes


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """Give a closed directory."""
    directory = tmp_path / "closed"
    directory.mkdir()
    yield directory
    directory.chmod(0o700)


def shut(directory: Path) -> None:
    directory.chmod(0)


def test_check_does_not_say_of_a_database_there_that_there_is_none(closed: Path) -> None:
    path = closed / "bangui.db"
    schema.create(path)
    shut(closed)
    with bound_by_file_modes():
        findings = list(database.examine(Settings(database=DatabaseSettings(path=path)), may_read=False, now=0))
    problems = [finding.problem for finding in findings if finding.where == str(path)]
    assert problems == ["was not looked into, as it may not be read"]


def test_a_fail2ban_database_there_is_one_that_may_not_be_read(closed: Path) -> None:
    path = closed / "fail2ban.sqlite3"
    path.touch()
    shut(closed)
    with bound_by_file_modes(), pytest.raises(StoreReadOnlyError, match="setfacl"):
        asyncio.run(Fail2banReader(path, busy_timeout=0).banned(0, within=1))


def test_unwritten_entries_there_are_not_taken_for_removed(closed: Path) -> None:
    path = closed / UNWRITTEN_FILE
    unwritten_file.save(path, [DirtyEntry("8.8.8.8", Geo("US"), 1, 1)])
    shut(closed)
    with bound_by_file_modes(), capture_logs() as logged:
        assert not unwritten_file.discard(path)
        with pytest.raises(PermissionError):
            is_there(path)
    assert [line["event"] for line in logged] == ["leftover_not_removed"]


def test_a_command_does_without_unwritten_entries_there(closed: Path, tmp_path: Path) -> None:
    unwritten_file.save(closed / UNWRITTEN_FILE, [DirtyEntry("8.8.8.8", Geo("US"), 1, 1)])
    shut(closed)
    settings = Settings(database=DatabaseSettings(path=tmp_path / "bangui.db"), state=StateSettings(directory=closed))

    async def dirty(components: Components) -> int:
        return components.cache.dirty

    try:
        with bound_by_file_modes():
            assert without_daemon.work(settings, dirty) == 0
    finally:
        setup.reset()


async def test_an_update_of_a_geo_database_there_fails_with_a_reason(closed: Path) -> None:
    shut(closed)
    async with httpx.AsyncClient() as client:
        updater = Updater(closed / "geo", client, SystemClock())
        with bound_by_file_modes(), pytest.raises(UpdateError, match=r"ermission|may not") as refused:
            await updater.update(SOURCES["dbip-country-lite"], lambda *_: None)
    assert "stays as it is" not in str(refused.value)
