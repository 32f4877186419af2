"""Who is banned now, read from databases as fail2ban makes them."""

import asyncio
import getpass
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bangeod.clock import SECONDS_A_DAY
from bangeod.errors import StoreDamagedError, StoreError, StoreLockedError, StoreMissingError, StoreReadOnlyError
from bangeod.store import queries
from bangeod.store.engine import engine
from bangeod.store.fail2ban import LATELY, Bans, Fail2banReader

if TYPE_CHECKING:
    from sqlite3 import Connection

NOW = 1_795_305_600
ME = getpass.getuser()
LET_IN = rf"as root: setfacl -m u:{ME}:x /\S+ && setfacl -m u:{ME}:r '/.+/fail2ban 100%\.sqlite3'"
_LASTS = "timeofban INTEGER NOT NULL, bantime INTEGER NOT NULL, bancount INTEGER NOT NULL DEFAULT 1, data JSON"
BANS = f"CREATE TABLE bans (jail TEXT NOT NULL, ip TEXT, {_LASTS})"
BIPS = f"CREATE TABLE bips (ip TEXT NOT NULL, jail TEXT NOT NULL, {_LASTS}, PRIMARY KEY (ip, jail))"
OLD_BANS = "CREATE TABLE bans (jail TEXT NOT NULL, ip TEXT, timeofban INTEGER NOT NULL, data JSON)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fail2ban 100%.sqlite3"


@contextmanager
def fail2ban(path: Path, *statements: str) -> Iterator["Connection"]:
    """Open the database as fail2ban does."""
    with closing(engine.connect(path, isolation_level=None, timeout=0)) as connection:
        for statement in statements:
            connection.execute(statement)
        yield connection


def whole(path: Path) -> tuple[object, ...]:
    """Return all that reading must not change: the file, when it was changed, and what lies beside it."""
    return path.read_bytes(), path.stat().st_mtime_ns, sorted(path.parent.iterdir())


async def banned(path: Path) -> set[str]:
    return set(await Fail2banReader(path, busy_timeout=0.01).banned(NOW, within=30))


CASES = [
    ("8.8.8.1", NOW - 600, 601),  # a second is left
    ("8.8.8.2", NOW - 600, 600),  # just ended
    ("8.8.8.3", NOW - 10**9, -1),  # for good
    ("8.8.8.4", NOW + 60, 600),  # fail2ban's clock was ahead
    ("2001:DB8::1", NOW, 600),
    ("::ffff:8.8.8.5", NOW, 600),
    ("10.0.0.1", NOW, 600),
    ("203.0.113.0/24", NOW, 600),  # fail2ban bans networks and names too
    ("example.org", NOW, 600),
]
BANNED = {"8.8.8.1", "8.8.8.3", "8.8.8.4", "2001:db8::1", "8.8.8.5", "10.0.0.1"}


async def test_bans_of_fail2ban_0_11_and_newer_are_read_from_bips(path: Path) -> None:
    with fail2ban(path, BANS, BIPS) as connection:
        connection.executemany("INSERT INTO bips VALUES (?, 'sshd', ?, ?, 1, '{}')", CASES)
        connection.execute("INSERT INTO bans VALUES ('sshd', '9.9.9.9', ?, 600, 1, '{}')", (NOW,))
    assert await banned(path) == BANNED


async def test_without_bips_they_are_read_from_bans(path: Path) -> None:
    with fail2ban(path, BANS) as connection:
        for _ in range(2):
            connection.executemany("INSERT INTO bans (ip, timeofban, bantime, jail) VALUES (?, ?, ?, 'sshd')", CASES)
    assert await banned(path) == BANNED


async def test_an_address_is_banned_while_one_of_its_jails_holds_it(path: Path) -> None:
    with fail2ban(path, BANS, BIPS) as connection:
        for jail, bantime in (("sshd", 10), ("recidive", 10_000)):
            connection.execute("INSERT INTO bips VALUES ('8.8.8.8', ?, ?, ?, 1, '{}')", (jail, NOW - 600, bantime))
    assert await banned(path) == {"8.8.8.8"}


async def test_no_bans_are_nobody(path: Path) -> None:
    with fail2ban(path, BANS, BIPS):
        pass
    assert await banned(path) == set()


async def test_before_0_11_who_was_banned_lately_counts_since_nobody_knows_the_end(path: Path) -> None:
    month = LATELY * SECONDS_A_DAY
    with fail2ban(path, OLD_BANS) as connection:
        for ip, ago in (("8.8.8.1", 0), ("8.8.8.2", month - 1), ("8.8.8.3", month), ("8.8.8.3", 400 * SECONDS_A_DAY)):
            connection.execute("INSERT INTO bans VALUES ('sshd', ?, ?, '{}')", (ip, NOW - ago))
    bans = await Fail2banReader(path, busy_timeout=0).read(NOW)
    assert bans == Bans(frozenset({"8.8.8.1", "8.8.8.2"}), ends_are_known=False)


async def test_a_ban_that_an_upgrade_from_0_10_left_without_an_end_goes_on(path: Path) -> None:
    with fail2ban(path, BANS, BIPS) as connection:
        connection.execute("INSERT INTO bips VALUES ('8.8.8.8', 'sshd', ?, -2, 1, '{}')", (NOW - 10**6,))
    assert await banned(path) == {"8.8.8.8"}


async def test_an_address_that_is_not_utf_8_does_not_hide_the_others(path: Path) -> None:
    with fail2ban(path, BANS, BIPS) as connection:
        connection.execute("INSERT INTO bips VALUES (CAST(x'ff' AS TEXT), 'sshd', ?, 600, 1, '{}')", (NOW,))
        connection.execute("INSERT INTO bips VALUES (x'08080808', 'sshd', ?, 600, 1, '{}')", (NOW,))
        connection.execute("INSERT INTO bips VALUES ('8.8.8.8', 'sshd', ?, 600, 1, '{}')", (NOW,))
    assert await banned(path) == {"8.8.8.8"}


async def test_another_programs_database_is_none_of_fail2bans(path: Path) -> None:
    with fail2ban(path, "CREATE TABLE t (x)"):
        pass
    with pytest.raises(StoreError, match=r"no fail2ban database.*fail2ban-client get dbfile"):
        await banned(path)


def test_a_database_that_is_not_there_is_named_and_not_made(path: Path) -> None:
    with pytest.raises(StoreMissingError, match=r"there is no such fail2ban database.*\[fail2ban\] database"):
        asyncio.run(banned(path))
    assert not path.exists()


def test_a_file_that_is_no_database_is_named(path: Path) -> None:
    path.write_bytes(b"x" * 4_096)
    with pytest.raises(StoreDamagedError, match=r"is no SQLite database.*\[fail2ban\] database"):
        asyncio.run(banned(path))


def test_an_empty_file_is_filled_by_fail2bans_restart(path: Path) -> None:
    path.touch()
    with pytest.raises(StoreError, match=r"is empty: it has no table bans; systemctl restart fail2ban"):
        asyncio.run(banned(path))
    assert path.read_bytes() == b""


def test_a_directory_is_no_database(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreError, match=r"it is a directory; .*fail2ban-client get dbfile"):
        asyncio.run(banned(path))


def test_a_pipe_is_not_waited_for(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(StoreError, match=r"it is no regular file; .*fail2ban-client get dbfile"):
        asyncio.run(banned(path))


def test_a_damaged_database_is_repaired_by_fail2bans_restart(path: Path) -> None:
    with fail2ban(path, BANS, BIPS, "BEGIN") as connection:
        connection.executemany("INSERT INTO bips VALUES (?, 'sshd', 0, -1, 1, '{}')", [(str(n),) for n in range(9_000)])
        connection.execute("COMMIT")
    with path.open("r+b") as file:
        file.seek(8_192)
        file.write(b"\xff" * (path.stat().st_size - 8_192))
    with pytest.raises(StoreDamagedError, match=r"can't be read: is no intact .*; systemctl restart fail2ban"):
        asyncio.run(banned(path))


async def test_a_table_without_the_columns_is_none_of_fail2bans(path: Path) -> None:
    with fail2ban(path, "CREATE TABLE bips (address TEXT)"):
        pass
    with pytest.raises(StoreError, match=r"no such column.*fail2ban-client get dbfile"):
        await banned(path)


async def test_a_database_in_wal_mode_is_read_without_leaving_its_files_behind(path: Path) -> None:
    with fail2ban(path, "PRAGMA journal_mode = WAL", BANS, BIPS) as connection:
        connection.execute("INSERT INTO bips VALUES ('8.8.8.8', 'sshd', 0, -1, 1, '{}')")
        assert await banned(path) == {"8.8.8.8"}  # while it is open
    before = whole(path)
    assert await banned(path) == {"8.8.8.8"}
    assert whole(path) == before


async def test_a_database_that_is_replaced_is_read_anew(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite3"
    reader = Fail2banReader(path, busy_timeout=0)
    for database, ip in ((path, "8.8.8.8"), (other, "9.9.9.9")):
        with fail2ban(database, BANS, BIPS) as connection:
            connection.execute("INSERT INTO bips VALUES (?, 'sshd', 0, -1, 1, '{}')", (ip,))
    assert await reader.banned(NOW, within=30) == {"8.8.8.8"}
    other.replace(path)
    assert await reader.banned(NOW, within=30) == {"9.9.9.9"}


async def test_a_database_that_is_locked_is_read_at_the_next_run(path: Path) -> None:
    with fail2ban(path, BANS, BIPS, "BEGIN EXCLUSIVE") as connection:
        with pytest.raises(StoreLockedError, match="tried again at the next run"):
            await banned(path)
        connection.execute("ROLLBACK")
    assert await banned(path) == set()


async def test_a_lock_that_ends_in_time_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def end_of_lock(_seconds: float) -> None:
        connection.execute("ROLLBACK")

    with fail2ban(path, BANS, BIPS, "BEGIN EXCLUSIVE") as connection:
        monkeypatch.setattr(asyncio, "sleep", end_of_lock)
        assert await Fail2banReader(path, busy_timeout=60).banned(NOW, within=120) == set()


async def test_a_lock_is_not_waited_for_to_the_end_of_the_time_that_there_is(path: Path) -> None:
    with fail2ban(path, BANS, BIPS, "BEGIN EXCLUSIVE"), pytest.raises(StoreLockedError):
        await Fail2banReader(path, busy_timeout=3_600).banned(NOW, within=0.5)


async def test_who_waits_for_a_lock_can_be_cut_short(path: Path) -> None:
    with fail2ban(path, BANS, BIPS, "BEGIN EXCLUSIVE"), pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await Fail2banReader(path, busy_timeout=3_600).banned(NOW, within=3_600)


async def test_a_reading_that_is_cut_short_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A query without an end plays a huge table on a slow disk: were it not given up, this test would not end."""
    endless = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    monkeypatch.setattr(queries, "FAIL2BAN_BIPS", endless)
    with fail2ban(path, BANS, BIPS):
        pass
    with pytest.raises(StoreError, match=r"takes longer than a job can wait; look at the disk"):
        await Fail2banReader(path, busy_timeout=0).banned(NOW, within=0.01)
    await asyncio.get_running_loop().shutdown_default_executor()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("closed", ["file", "directory"])
def test_a_database_that_may_not_be_read_names_the_remedy(path: Path, closed: str) -> None:
    with fail2ban(path, BANS, BIPS):
        pass
    shut = path if closed == "file" else path.parent
    mode = shut.stat().st_mode
    shut.chmod(0)
    try:
        with pytest.raises(StoreReadOnlyError, match=LET_IN):
            asyncio.run(banned(path))
    finally:
        shut.chmod(mode)


def test_the_remedy_for_a_file_that_may_not_be_read_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root meets no closed file, so SQLite's answer to one is played."""

    def refuse(*_arguments: object, **_more: object) -> None:
        error = engine.OperationalError("unable to open database file")
        error.sqlite_errorcode = 14
        raise error

    path.touch()
    monkeypatch.setattr(engine, "connect", refuse)
    with pytest.raises(StoreReadOnlyError, match=LET_IN):
        asyncio.run(banned(path))


async def test_it_is_opened_read_only_and_closed_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fail2ban(path, BANS, BIPS):
        pass
    before = whole(path)
    opened: list[tuple[str, object]] = []
    connect = engine.connect

    def listen(database: str, **more: object) -> object:
        connection = connect(database, check_same_thread=False, **more)  # type: ignore[call-overload]
        opened.append((database, connection))
        return connection

    monkeypatch.setattr(engine, "connect", listen)
    await banned(path)
    assert whole(path) == before
    assert opened
    for uri, connection in opened:
        assert "fail2ban%20100%25.sqlite3?mode=ro" in uri
        with pytest.raises(engine.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")  # type: ignore[attr-defined]
