"""fail2ban's database behind a symbolic link: its log lies beside the file that the link leads to."""

import asyncio
import getpass
import shlex
from contextlib import closing
from pathlib import Path

import pytest

from bangeod.errors import StoreReadOnlyError
from bangeod.store.fail2ban import Fail2banReader
from bangeod.store.sqlite import read_only
from bangeod.store.sqlite.engine import engine
from tests.support.daemon.installation import make_fail2ban

NOW = 1_795_305_600
ADD = "INSERT INTO bips VALUES ('9.9.9.9', 'sshd', 1700000000, -1)"


@pytest.fixture
def real(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return make_fail2ban(tmp_path / "data/fail2ban 100%.sqlite3", "8.8.8.8")


@pytest.fixture
def link(real: Path, tmp_path: Path) -> Path:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links/f2b.db"
    link.symlink_to(real)
    return link


async def banned(path: Path) -> set[str]:
    reading = await Fail2banReader(path, busy_timeout=0.01).banned(NOW, within=30)
    return set(reading.banned.addresses)


async def test_what_is_still_in_the_log_is_read(real: Path, link: Path) -> None:
    with closing(engine.connect(real, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(ADD)
        assert read_only.is_open_somewhere(link)
        assert await banned(link) == {"8.8.8.8", "9.9.9.9"}
    assert not read_only.is_open_somewhere(link)
    assert await banned(link) == {"8.8.8.8", "9.9.9.9"}


def test_the_remedy_opens_both_folders_the_file_and_its_log(
    real: Path, link: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root meets no closed file, so SQLite's answer to one is played."""

    def refuse(*_arguments: object, **_more: object) -> None:
        error = engine.OperationalError("unable to open database file")
        error.sqlite_errorcode = 14
        raise error

    Path(f"{real}-wal").touch()
    monkeypatch.setattr(engine, "connect", refuse)
    with pytest.raises(StoreReadOnlyError) as refusal:
        asyncio.run(banned(link))
    user, file = getpass.getuser(), shlex.quote(str(real))
    folders = f"setfacl -m u:{user}:x {link.parent} {real.parent}"
    assert f"{folders} && setfacl -m u:{user}:r {file} {file}-wal {file}-shm" in str(refusal.value)
