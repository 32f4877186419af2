"""Who is banned now, read from a database that fail2ban's own modules write in another process."""

import asyncio
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bangeod.ban_spans import BanKey, BanSpan
from bangeod.banned import Banned, Reading
from bangeod.clock import SECONDS_A_DAY
from bangeod.errors import StoreLockedError
from bangeod.store.fail2ban import LATELY, Fail2banReader
from bangeod.store.fail2ban_pages import Locks
from bangeod.store.sqlite.engine import engine
from tests.support.fail2ban.database import Ban, Fail2ban

NOW = 1_795_305_600
HOUR = 3_600
FOR_GOOD = -1
IPS = ["8.8.8.8", "9.9.9.9", "2001:4860:4860::8888"]


@pytest.fixture
def fail2ban(tmp_path: Path, fail2bans_modules: Path) -> Iterator[Fail2ban]:
    directory = tmp_path / "fail2ban"
    directory.mkdir()
    with Fail2ban(directory / "fail2ban.sqlite3", fail2bans_modules) as fail2ban:
        fail2ban.tell("clock", now=NOW)
        yield fail2ban


async def banned(fail2ban: Fail2ban, now: int = NOW) -> set[str]:
    return set((await read(fail2ban, now)).banned.addresses)


async def read(fail2ban: Fail2ban, now: int = NOW) -> Reading:
    return await Fail2banReader(fail2ban.path, busy_timeout=5).banned(now, within=30)


async def test_bans_end_or_stay_for_good(fail2ban: Fail2ban) -> None:
    fail2ban.ban(
        Ban("8.8.8.1", NOW - 600, 601),
        Ban("8.8.8.2", NOW - 600, 600),
        Ban("8.8.8.3", NOW - 10**8, FOR_GOOD),
        Ban("8.8.8.4", NOW - 0.4, 1),  # fail2ban rounds the time
    )
    assert await banned(fail2ban) == {"8.8.8.1", "8.8.8.3", "8.8.8.4"}


async def test_addresses_of_every_form_are_canonical_and_what_is_none_is_left_out(fail2ban: Fail2ban) -> None:
    forms = ["8.8.8.8", "::ffff:9.9.9.9", "2001:DB8:0::1", "10.0.0.1", "203.0.113.0/24", "host.example.org", "x'; --"]
    fail2ban.ban(*(Ban(form, NOW) for form in forms))
    assert await banned(fail2ban) == {"8.8.8.8", "9.9.9.9", "2001:db8::1", "10.0.0.1"}


async def test_an_address_of_several_jails_is_banned_until_the_last_lets_go(fail2ban: Fail2ban) -> None:
    fail2ban.ban(Ban("8.8.8.8", NOW, 600, jail="sshd"), Ban("8.8.8.8", NOW, HOUR, jail="recidive"))
    assert await banned(fail2ban, NOW + 600) == {"8.8.8.8"}
    fail2ban.tell("unban", ip="8.8.8.8", jail="recidive")
    assert await banned(fail2ban, NOW + 599) == {"8.8.8.8"}
    assert await banned(fail2ban, NOW + 600) == set()


async def test_the_last_of_ever_longer_bans_counts(fail2ban: Fail2ban) -> None:
    for nth, (ago, bantime) in enumerate([(3 * HOUR, HOUR), (2 * HOUR, 2 * HOUR), (HOUR // 2, 4 * HOUR)], start=1):
        fail2ban.ban(Ban("8.8.8.8", NOW - ago, bantime, nth))
    assert await banned(fail2ban, NOW + 3 * HOUR) == {"8.8.8.8"}
    fail2ban.ban(Ban("8.8.8.8", NOW, 60, 4))  # a shorter one takes its place
    assert await banned(fail2ban, NOW + 60) == set()


async def test_who_is_unbanned_by_hand_is_not_banned(fail2ban: Fail2ban) -> None:
    fail2ban.ban(*(Ban(ip, NOW, FOR_GOOD) for ip in IPS))
    fail2ban.tell("unban", ip=IPS[0], jail="sshd")
    assert await banned(fail2ban) == set(IPS[1:])


async def test_fail2bans_purge_leaves_who_is_still_banned(fail2ban: Fail2ban) -> None:
    long_ago = NOW - 300 * SECONDS_A_DAY
    fail2ban.ban(
        Ban(IPS[0], long_ago, FOR_GOOD), Ban(IPS[1], long_ago, 301 * SECONDS_A_DAY), Ban(IPS[2], long_ago, 600)
    )
    fail2ban.tell("purge")
    assert await banned(fail2ban) == set(IPS[:2])


BANS = st.builds(
    Ban,
    ip=st.sampled_from(IPS) | st.integers(0, 2**32 - 1).map(IPv4Address).map(str) | st.ip_addresses(v=6).map(str),
    at=st.integers(NOW - 1_000, NOW + 10),
    bantime=st.just(FOR_GOOD) | st.integers(0, 1_000),
    nth=st.integers(1, 50),
    jail=st.sampled_from(["sshd", "recidive"]),
)


async def test_bans_are_told_with_the_times_that_fail2ban_gave_them(fail2ban: Fail2ban) -> None:
    fail2ban.ban(Ban("8.8.8.8", NOW - 60, 600), Ban("8.8.8.8", NOW, FOR_GOOD, jail="recidive"))
    fail2ban.ban(Ban("9.9.9.9", NOW - 600, 60))
    found = await Fail2banReader(fail2ban.path, busy_timeout=5).in_force(NOW, within=30)
    assert found.bans == {
        BanKey("sshd", "8.8.8.8"): BanSpan(NOW - 60, NOW + 540),
        BanKey("recidive", "8.8.8.8"): BanSpan(NOW, None),
    }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bans=st.lists(BANS, max_size=12), later=st.integers(0, 1_000))
def test_it_is_always_those_whom_fail2ban_itself_takes_for_banned(
    fail2ban: Fail2ban, bans: list[Ban], later: int
) -> None:
    fail2ban.ban(*bans)  # to those of the examples before
    theirs = {canonical(ip) for ip in fail2ban.tell("banned", now=NOW + later)}
    assert asyncio.run(banned(fail2ban, NOW + later)) == theirs


def canonical(ip: str) -> str:
    if ":" not in ip:
        return ip
    address = IPv6Address(ip)
    return str(address.ipv4_mapped or address)


# --- side by side ---


async def test_reading_leaves_no_file_behind_and_changes_none(fail2ban: Fail2ban) -> None:
    fail2ban.ban(Ban("8.8.8.8", NOW))
    assert fail2ban.tell("journal_mode") == "memory"  # no -journal, no -wal: a reader has but the one file
    before = fail2ban.path.read_bytes(), fail2ban.path.stat().st_mtime_ns
    assert await banned(fail2ban) == {"8.8.8.8"}
    assert [path.name for path in fail2ban.path.parent.iterdir()] == ["fail2ban.sqlite3"]
    assert (fail2ban.path.read_bytes(), fail2ban.path.stat().st_mtime_ns) == before


async def test_neither_waits_long_for_the_other(fail2ban: Fail2ban) -> None:
    """fail2ban gives up after 5 seconds without the lock, and has lost a ban then."""
    fail2ban.ban(*(Ban(ip, time.time(), FOR_GOOD) for ip in IPS))
    fail2ban.tell("keep_busy")
    reader, reads, longest = Fail2banReader(fail2ban.path, busy_timeout=5), 0, 0.0
    ends = time.monotonic() + 2
    while time.monotonic() < ends:
        began = time.monotonic()
        for seen in await asyncio.gather(*(reader.banned(int(time.time()), within=30) for _ in range(2))):
            assert set(IPS) <= seen.banned.addresses
        longest = max(longest, time.monotonic() - began)
        reads += 1
    report = fail2ban.tell("rest")
    assert report["locked"] == 0
    assert report["written"] > 50
    assert report["longest"] < 3
    assert reads > 5
    assert longest < 3


async def test_a_lock_that_fail2ban_keeps_is_an_error_until_it_ends(fail2ban: Fail2ban) -> None:
    fail2ban.ban(Ban("8.8.8.8", NOW))
    fail2ban.tell("lock")
    with pytest.raises(StoreLockedError, match="tried again at the next run"):
        await Fail2banReader(fail2ban.path, busy_timeout=0.2).banned(NOW, within=30)
    fail2ban.tell("unlock")
    assert await banned(fail2ban) == {"8.8.8.8"}


async def test_a_hundred_thousand_bans_do_not_stop_the_event_loop(fail2ban: Fail2ban) -> None:
    ips = [str(IPv4Address(0x08000000 + number)) for number in range(100_000)]
    fail2ban.ban_quickly(ips, NOW, FOR_GOOD)
    reading = asyncio.create_task(banned(fail2ban))
    steps = []
    while not reading.done():
        began = time.monotonic()
        await asyncio.sleep(0)
        steps.append(time.monotonic() - began)
    assert len(await reading) == 100_000
    steps.sort()
    assert steps[int(len(steps) * 0.99)] < 0.02
    assert sum(steps) < 10


async def test_beside_a_reading_of_a_million_bans_fail2ban_goes_on_writing(
    fail2ban: Fail2ban, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fail2ban loses the row of a ban that it can't write within 5 s."""
    fail2ban.tell("ban_very_many", count=1_000_000, at=NOW)
    held: list[float] = []
    read_page = Locks.page

    def listen(self: Locks, work: Callable[..., object]) -> tuple[object, float] | None:
        done = read_page(self, work)
        held.append(done[1] if done else 0.25)  # cut off
        return done

    monkeypatch.setattr(Locks, "page", listen)
    fail2ban.tell("keep_busy")
    found = await Fail2banReader(fail2ban.path, busy_timeout=5).read(NOW)
    report = fail2ban.tell("rest")
    assert len(found.banned.addresses) >= 1_000_000
    assert max(held) < 0.35  # of 0.25; a look at the time may come late
    assert report["locked"] == 0
    assert report["written"] > 100
    assert report["longest"] < 1


# --- upgrades ---

SCHEMA_OF_0_10 = (  # as fail2ban 0.9 and 0.10 made it
    "CREATE TABLE fail2banDb(version INTEGER)",
    "INSERT INTO fail2banDb VALUES (2)",
    "CREATE TABLE jails(name TEXT NOT NULL UNIQUE, enabled INTEGER NOT NULL DEFAULT 1)",
    "INSERT INTO jails VALUES ('sshd', 1)",
    "CREATE TABLE bans(jail TEXT NOT NULL, ip TEXT, timeofban INTEGER NOT NULL, data JSON)",
)


async def test_a_database_of_0_10_is_read_before_and_after_fail2ban_upgrades_it(
    tmp_path: Path, fail2bans_modules: Path
) -> None:
    path, month = tmp_path / "fail2ban.sqlite3", LATELY * SECONDS_A_DAY
    connection = engine.connect(path, isolation_level=None)
    for statement in SCHEMA_OF_0_10:
        connection.execute(statement)
    for ip, ago in ((IPS[0], HOUR), (IPS[1], month + 1)):
        connection.execute("INSERT INTO bans VALUES ('sshd', ?, ?, '{}')", (ip, NOW - ago))
    connection.close()
    reader = Fail2banReader(path, busy_timeout=5)
    before = await reader.read(NOW)
    assert (before.banned, before.ends_are_known) == (Banned({IPS[0]}), False)
    with Fail2ban(path, fail2bans_modules) as fail2ban:
        fail2ban.tell("clock", now=NOW)
        after = await reader.read(NOW)
        assert (after.banned, after.ends_are_known) == (Banned(set(IPS[:2])), True)
        fail2ban.tell("purge")
        assert (await reader.read(NOW)).banned == Banned({IPS[0]})
