"""Who is banned now, read from databases as fail2ban makes them."""

import asyncio
import getpass
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bangeod.ban_spans import LAST, BanKey, BanSpan
from bangeod.banned import Banned
from bangeod.clock import SECONDS_A_DAY
from bangeod.errors import (
    StoreDamagedError,
    StoreError,
    StoreIncompleteError,
    StoreLockedError,
    StoreMissingError,
    StoreReadOnlyError,
)
from bangeod.store import fail2ban_pages
from bangeod.store.fail2ban import LATELY, Fail2banReader
from bangeod.store.fail2ban_pages import Locks, PageSize
from bangeod.store.sqlite import queries
from bangeod.store.sqlite.engine import engine

if TYPE_CHECKING:
    from sqlite3 import Connection

NOW = 1_795_305_600
ME = getpass.getuser()
LET_IN = rf"as root: setfacl -m u:{ME}:x /\S+ && setfacl -m u:{ME}:r '/.+/fail2ban 100%\.sqlite3'"
_LASTS = "timeofban INTEGER NOT NULL, bantime INTEGER NOT NULL, bancount INTEGER NOT NULL DEFAULT 1, data JSON"
BANS = f"CREATE TABLE bans (jail TEXT NOT NULL, ip TEXT, {_LASTS})"
BIPS = f"CREATE TABLE bips (ip TEXT NOT NULL, jail TEXT NOT NULL, {_LASTS}, PRIMARY KEY (ip, jail))"
BAN_OF_GOOGLE = "INSERT INTO bips VALUES ('8.8.8.8', 'sshd', 0, -1, 1, '{}')"
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
    return set((await Fail2banReader(path, busy_timeout=0.01).banned(NOW, within=30)).banned.addresses)


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
    reading = await Fail2banReader(path, busy_timeout=0).read(NOW)
    assert (reading.banned, reading.ends_are_known) == (Banned({"8.8.8.1", "8.8.8.2"}), False)


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (BIPS, "bips (ip, timeofban, jail, bantime) VALUES (?, ?, 'sshd', -1)"),
        (OLD_BANS, "bans (ip, timeofban, jail) VALUES (?, ?, 'sshd')"),
    ],
)
async def test_only_bans_that_began_lately_may_be_asked_for(path: Path, table: str, row: str) -> None:
    with fail2ban(path, table) as connection:
        for ip, ago in (("8.8.8.1", 0), ("8.8.8.2", 60), ("8.8.8.3", 61)):
            connection.execute(f"INSERT INTO {row}", (ip, NOW - ago))
    reader = Fail2banReader(path, busy_timeout=0.01)
    assert (await reader.banned(NOW, 30, begun=NOW - 60)).banned == Banned({"8.8.8.1", "8.8.8.2"})
    assert len((await reader.banned(NOW, 30)).banned.addresses) == 3


async def test_a_ban_that_is_over_does_not_count_however_lately_it_began(path: Path) -> None:
    with fail2ban(path, BANS, BIPS) as connection:
        connection.execute("INSERT INTO bips VALUES ('8.8.8.8', 'sshd', ?, 10, 1, '{}')", (NOW - 20,))
    assert not (await Fail2banReader(path, busy_timeout=0.01).banned(NOW, 30, begun=NOW - 60)).banned


async def test_a_ban_that_an_upgrade_from_0_10_left_without_an_end_goes_on(path: Path) -> None:
    with fail2ban(path, BANS, BIPS) as connection:
        connection.execute("INSERT INTO bips VALUES ('8.8.8.8', 'sshd', ?, -2, 1, '{}')", (NOW - 10**6,))
    assert await banned(path) == {"8.8.8.8"}


async def test_each_ban_in_force_comes_with_its_jail_and_its_times(path: Path) -> None:
    with fail2ban(path, BIPS, "CREATE TABLE jails (name TEXT, enabled INTEGER)") as connection:
        connection.executemany(
            "INSERT INTO bips VALUES (?, ?, ?, ?, 1, ?)",
            [
                ("8.8.8.8", "sshd", NOW - 600, 601, "{}"),
                ("8.8.8.8", "old", NOW - 9, -1, "{}"),
                ("9.9.9.9", "sshd", NOW - 600, 600, "{}"),
                ("203.0.113.7/24", "sshd", NOW, 600.5, "{}"),
                ("a user", "sshd", NOW - 1, 60, '{"ip4": "1.1.1.1", "ip6": "2001:DB8::1"}'),
            ],
        )
        connection.execute("INSERT INTO jails VALUES ('sshd', 1), ('old', 0)")
    found = await Fail2banReader(path, busy_timeout=0.01).in_force(NOW, within=30)
    assert found.enabled == {"sshd"}
    assert found.bans == {
        BanKey("sshd", "8.8.8.8"): BanSpan(NOW - 600, NOW + 1),
        BanKey("old", "8.8.8.8"): BanSpan(NOW - 9, None),
        BanKey("sshd", "203.0.113.0/24"): BanSpan(NOW, NOW + 600),
        BanKey("sshd", "1.1.1.1"): BanSpan(NOW - 1, NOW + 59),
        BanKey("sshd", "2001:db8::1"): BanSpan(NOW - 1, NOW + 59),
    }


async def test_before_0_11_a_ban_is_told_to_end_when_it_no_longer_counts(path: Path) -> None:
    with fail2ban(path, OLD_BANS) as connection:
        connection.execute("INSERT INTO bans VALUES ('sshd', '8.8.8.8', ?, '{}')", (NOW - 60,))
        connection.execute("INSERT INTO bans VALUES ('sshd', 'a user', ?, '{\"ip4\": \"1.1.1.1\"}')", (NOW - 60,))
    found = await Fail2banReader(path, busy_timeout=0).in_force(NOW, within=30)
    span = BanSpan(NOW - 60, NOW - 60 + LATELY * SECONDS_A_DAY)
    assert found.bans == {BanKey("sshd", "8.8.8.8"): span, BanKey("sshd", "1.1.1.1"): span}


async def test_a_database_that_can_not_be_read_tells_of_no_bans_but_an_error(path: Path) -> None:
    with pytest.raises(StoreMissingError):
        await Fail2banReader(path, busy_timeout=0).in_force(NOW, within=30)


@pytest.mark.parametrize("time", ["600.25", "'abc'", "NULL", "9e999", "-9e999", "x'00'"])
async def test_a_time_of_any_type_is_told_as_one_that_a_server_can_store(path: Path, time: str) -> None:
    with fail2ban(path, BIPS.replace(" NOT NULL", "")) as connection:
        connection.execute(f"INSERT INTO bips VALUES ('9.9.9.9', 'sshd', {time}, -1, 1, '{{}}')")
        connection.execute(f"INSERT INTO bips VALUES ('8.8.8.8', 'sshd', ?, {time}, 1, '{{}}')", (NOW - 6,))
    found = await Fail2banReader(path, busy_timeout=0).in_force(NOW, within=30)
    assert found.bans[BanKey("sshd", "9.9.9.9")].until is None
    assert all(0 <= span.since <= LAST and (span.until or 0) <= LAST for span in found.bans.values())


@pytest.mark.parametrize("bantime", ["600.25", "'abc'", "NULL", "9e999", "x'00'"])
async def test_a_time_of_any_type_hides_no_other_ban(path: Path, bantime: str) -> None:
    with fail2ban(path, BIPS.replace(" NOT NULL", "")) as connection:
        connection.execute(f"INSERT INTO bips VALUES ('9.9.9.9', 'sshd', {bantime}, {bantime}, 1, '{{}}')")
        connection.execute("INSERT INTO bips VALUES ('8.8.8.8', 'sshd', ?, 600.5, 1, '{}')", (NOW - 600,))
    assert "8.8.8.8" in await banned(path)


async def test_with_rndtime_a_ban_ends_at_a_fraction_of_a_second(path: Path) -> None:
    with fail2ban(path, BIPS) as connection:
        connection.execute("INSERT INTO bips VALUES ('8.8.8.1', 'sshd', ?, 600.5, 1, '{}')", (NOW - 600,))
        connection.execute("INSERT INTO bips VALUES ('8.8.8.2', 'sshd', ?, 599.5, 1, '{}')", (NOW - 600,))
    assert await banned(path) == {"8.8.8.1"}


async def test_networks_are_told_from_addresses(path: Path) -> None:
    with fail2ban(path, BIPS) as connection:
        for text in ("8.8.4.0/24", "2001:DB8::1/32", "8.8.8.8/32", "2001:db9::1/128"):
            connection.execute("INSERT INTO bips VALUES (?, 'sshd', 0, -1, 1, '{}')", (text,))
    found = (await Fail2banReader(path, busy_timeout=0).read(NOW)).banned
    assert found.addresses == {"8.8.8.8", "2001:db9::1"}
    assert {str(network) for network in found.networks} == {"8.8.4.0/24", "2001:db8::/32"}


DATA: list[tuple[object, set[str]]] = [
    (b'{"matches": ["a", ["b", "c"]], "failures": 3, "ip4": "8.8.8.8", "user": "root"}', {"8.8.8.8"}),
    (b'{"ip": "8.8.8.8", "ip4": "8.8.8.8"}', {"8.8.8.8"}),
    (b'{"ip6": "2001:DB8::1", "ip4": "8.8.8.8"}', {"8.8.8.8", "2001:db8::1"}),
    (b'{"ip": "8.8.4.0/24", "ip4": "8.8.4.4", "cidr": "24"}', {"8.8.4.0/24"}),
    (b'{"ip": "8.8.8.8/32"}', {"8.8.8.8"}),
    (b'{"ip": "nobody", "ip4": "8.8.8.8"}', {"8.8.8.8"}),
    ('{"ip": "8.8.8.8"}', {"8.8.8.8"}),  # text
    (b'{"matches": ["\xff\xfe"], "ip": "8.8.8.8"}', {"8.8.8.8"}),  # in another encoding
    (b'{"ip": ["8.8.8.8"]}', set()),
    (b'{"ip": {"ip": "8.8.8.8"}, "ip4": 134744072, "ip6": null}', set()),
    (b'{"matches": {"ip": "8.8.8.8"}}', set()),
    (b'["8.8.8.8", {"ip": "8.8.8.8"}]', set()),
    (b'{"ip": "8.8.8.8"', set()),
    (b"[" * 100_000, set()),
    (b"", set()),
    (b"\0\xff", set()),
    (b"null", set()),
    (None, set()),
    (8, set()),
]


@pytest.mark.parametrize(("data", "expected"), DATA)
async def test_where_the_id_is_no_address_the_data_has_it(path: Path, data: object, expected: set[str]) -> None:
    with fail2ban(path, BANS, BIPS) as connection:
        connection.execute("INSERT INTO bips VALUES ('user:root', 'web', 0, -1, 1, ?)", (data,))
        connection.execute("INSERT INTO bips VALUES ('9.9.9.9', 'web', 0, -1, 1, ?)", (b'{"ip": "1.1.1.1"}',))
        connection.execute("INSERT INTO bips VALUES ('over', 'web', 0, 1, 1, ?)", (b'{"ip": "1.1.1.1"}',))
    found = (await Fail2banReader(path, busy_timeout=0).read(NOW)).banned
    assert {*found.addresses, *map(str, found.networks)} == expected | {"9.9.9.9"}


# --- jails ---

JAILS = "CREATE TABLE jails(name TEXT NOT NULL UNIQUE, enabled INTEGER NOT NULL DEFAULT 1)"
TWO_JAILS = [("8.8.8.1", "kept"), ("8.8.8.2", "gone"), ("8.8.8.3", "kept"), ("8.8.8.3", "gone"), ("8.8.8.4", "lost")]


@pytest.mark.parametrize("schema", ["bips", "bans", "bans of 0.10"])
async def test_bans_of_a_jail_that_is_disabled_while_another_is_enabled_are_told_apart(path: Path, schema: str) -> None:
    tables = {"bips": (BANS, BIPS), "bans": (BANS,), "bans of 0.10": (OLD_BANS,)}[schema]
    lasts = "" if schema == "bans of 0.10" else ", bantime"
    insert = f"INSERT INTO {schema[:4]} (ip, jail, timeofban{lasts}) VALUES (?, ?, {NOW}{', -1' if lasts else ''})"
    with fail2ban(path, JAILS, *tables) as connection:
        connection.executemany(insert, TWO_JAILS)
        connection.execute("INSERT INTO jails VALUES ('kept', 1), ('gone', 0), ('another', 0)")
        reading = await Fail2banReader(path, busy_timeout=0).read(NOW)
        assert reading.banned == Banned({"8.8.8.1", "8.8.8.3"})
        assert reading.of_gone_jails == Banned({"8.8.8.2", "8.8.8.4"})
        assert reading.enabled == {"kept"}
        connection.execute("UPDATE jails SET enabled = 0")
        assert await banned(path) == {"8.8.8.1", "8.8.8.2", "8.8.8.3", "8.8.8.4"}


# --- pages ---


def many(path: Path, rows: int) -> None:
    with fail2ban(path, BANS, BIPS, "BEGIN") as connection:
        bans = ((f"8.{n >> 16}.{n >> 8 & 255}.{n & 255}",) for n in range(rows))
        connection.executemany("INSERT INTO bips VALUES (?, 'sshd', 0, -1, 1, '{}')", bans)
        connection.execute("COMMIT")


class Meddler:
    """In the place of waiting between two pages: something else is done to the database once."""

    def __init__(self, path: Path, *statements: str) -> None:
        self._path = path
        self._statements = list(statements)
        self.waits: list[float] = []

    def __call__(self, given_up: threading.Event, seconds: float) -> bool:
        self.waits.append(seconds)
        if len(self.waits) == 3:
            with fail2ban(self._path, *self._statements):  # no timeout: it does not wait for the reader
                pass
        return given_up.is_set()


async def test_between_two_pages_fail2ban_may_write(path: Path) -> None:
    many(path, 3_000)
    wait = Meddler(
        path,
        "INSERT OR REPLACE INTO bips VALUES ('8.0.0.0', 'sshd', 0, -1, 2, '{}')",
        "INSERT OR REPLACE INTO bips VALUES ('8.0.11.183', 'sshd', 0, -1, 2, '{}')",
        "INSERT INTO bips VALUES ('9.9.9.9', 'sshd', 0, -1, 1, '{}')",
        "DELETE FROM bips WHERE ip = '8.0.0.1'",
    )
    found = (await Fail2banReader(path, busy_timeout=0, wait=wait).read(NOW)).banned.addresses
    assert len(wait.waits) > 3
    assert len(found - {"9.9.9.9", "8.0.0.1"}) == 2_999


@pytest.mark.parametrize("change", ["ALTER TABLE bips ADD COLUMN more", "DROP TABLE bips", "VACUUM"])
async def test_what_renumbers_rows_or_alters_tables_makes_a_reading_incomplete(path: Path, change: str) -> None:
    many(path, 3_000)
    with pytest.raises(StoreIncompleteError, match="its tables were altered meanwhile; tried again at the next run"):
        await Fail2banReader(path, busy_timeout=0, wait=Meddler(path, change)).read(NOW)


@pytest.mark.parametrize("with_another", [True, False])
async def test_a_file_that_is_moved_meanwhile_makes_a_reading_incomplete(path: Path, *, with_another: bool) -> None:
    many(path, 3_000)

    def wait(given_up: threading.Event, _seconds: float) -> bool:
        if not moved.exists():
            path.rename(moved)
            if with_another:
                many(path, 1)
        return given_up.is_set()

    moved = path.with_suffix(".20261130-000000")
    with pytest.raises(StoreIncompleteError, match="moved or replaced meanwhile"):
        await Fail2banReader(path, busy_timeout=0, wait=wait).read(NOW)


async def test_a_page_that_takes_too_long_is_tried_again_with_fewer_rows(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(path, 150)
    read_page = Locks.page
    tried: list[int] = []

    def too_slow_for_many(self: Locks, work: Callable[["Connection"], object]) -> tuple[object, float] | None:
        done = read_page(self, work)
        rows = getattr(done and done[0], "rows", 0)
        tried.append(rows)
        return None if rows > 12 else done

    monkeypatch.setattr(Locks, "page", too_slow_for_many)
    monkeypatch.setattr(fail2ban_pages, "GROWTH", 1.0)
    assert len(await banned(path)) == 150
    assert tried[:3] == [0, 100, 12]  # the first one looks at the tables


async def test_rows_that_can_never_be_read_in_time_make_a_reading_incomplete(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(path, 50)
    monkeypatch.setattr(fail2ban_pages, "LONGEST", 0)
    monkeypatch.setattr(fail2ban_pages, "STEPS", 1)
    with pytest.raises(StoreIncompleteError, match="in time"):
        await banned(path)


def test_the_size_of_a_page_follows_the_time_that_pages_take() -> None:
    size = PageSize()
    assert size.rows == fail2ban_pages.FIRST
    size.held(100, 0.001)
    assert size.rows == 400  # no more than four times as large
    size.held(400, 0.1)
    assert size.rows == 200  # half of it would have taken as long as it should
    size.held(200, 0.0)
    for _ in range(9):
        size.held(size.rows, 0.0)
    assert size.rows == fail2ban_pages.LARGEST
    assert size.took_too_long()
    assert size.rows == fail2ban_pages.LARGEST // 8
    while size.took_too_long():
        pass
    assert size.rows == fail2ban_pages.SMALLEST


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
    assert (await reader.read(NOW)).banned.addresses == {"8.8.8.8"}
    other.replace(path)
    assert (await reader.read(NOW)).banned.addresses == {"9.9.9.9"}


async def test_a_database_that_is_locked_is_read_at_the_next_run(path: Path) -> None:
    with fail2ban(path, BANS, BIPS, "BEGIN EXCLUSIVE") as connection:
        with pytest.raises(StoreLockedError, match="tried again at the next run"):
            await banned(path)
        connection.execute("ROLLBACK")
    assert await banned(path) == set()


async def test_a_lock_that_ends_in_time_is_waited_for(path: Path) -> None:
    with fail2ban(path, BANS, BIPS, "BEGIN EXCLUSIVE") as connection:
        loop, waiting = asyncio.get_running_loop(), asyncio.Event()

        def wait(given_up: threading.Event, _seconds: float) -> bool:
            loop.call_soon_threadsafe(waiting.set)
            return given_up.wait(0.001)

        reading = asyncio.create_task(Fail2banReader(path, busy_timeout=60, wait=wait).banned(NOW, within=120))
        await waiting.wait()
        connection.execute("ROLLBACK")
        assert (await reading).complete


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
    monkeypatch.setattr(queries, "FAIL2BAN_PAGE", endless)
    monkeypatch.setattr(fail2ban_pages, "LONGEST", 3_600)
    with fail2ban(path, BANS, BIPS, BAN_OF_GOOGLE):
        pass
    with pytest.raises(StoreIncompleteError, match=r"takes longer than a job can wait; look at the disk"):
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
