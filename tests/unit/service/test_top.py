"""What is counted where: the table as memory has it, or who is banned, by country or by network."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from bangeod.api.messages import Top, TopQuery
from bangeod.clock import SECONDS_A_DAY, to_text
from bangeod.config import Settings
from bangeod.errors import Fail2banOffError, FleetOffError, StoreError, StoreUnreachableError
from bangeod.model import Geo
from bangeod.service.components import Components
from bangeod.service.lock import DatabaseLock
from bangeod.service.settings_in_force import SettingsInForce
from bangeod.service.top import FLEET_SECONDS, count
from bangeod.store.postgres.url import parse
from bangeod.store.sqlite import schema
from bangeod.store.sqlite.engine import engine
from tests.support.manual_clock import ManualClock
from tests.unit.service.test_fleet_bans import Everyones

if TYPE_CHECKING:
    from sqlite3 import Connection

replace = msgspec.structs.replace
DAY = SECONDS_A_DAY


def opened(path: Path) -> "closing[Connection]":
    return closing(engine.connect(path, isolation_level=None))


class Place:
    """A database with rows, fail2ban's with bans, and components for both."""

    def __init__(self, home: Path) -> None:
        self.database, self.fail2ban = home / "bangui.db", home / "fail2ban.sqlite3"
        schema.create(self.database)
        self.clock = ManualClock()
        self.now = int(self.clock.now())
        self.settings = Settings()
        self.settings = replace(
            self.settings,
            database=replace(self.settings.database, path=self.database),
            state=replace(self.settings.state, directory=home),
            fail2ban=replace(self.settings.fail2ban, database=self.fail2ban),
        )

    def put(self, *rows: tuple[str, str | None, str | None, str | None], ago: int = 0) -> None:
        """Insert rows: key, country, AS and organisation."""
        seen = to_text(self.now - ago)
        with opened(self.database) as connection:
            statement = "INSERT INTO geo_cache (ip, country_code, asn, org, last_seen) VALUES (?, ?, ?, ?, ?)"
            connection.executemany(statement, [(*row, seen) for row in rows])

    def ban(self, *ips: str, ago: int = 0) -> None:
        with opened(self.fail2ban) as connection:
            columns = "ip TEXT, jail TEXT, timeofban INTEGER, bantime INTEGER"
            connection.execute(f"CREATE TABLE IF NOT EXISTS bips ({columns})")
            connection.executemany("INSERT INTO bips VALUES (?, 'sshd', ?, -1)", [(ip, self.now - ago) for ip in ips])

    def components(self) -> Components:
        return Components(SettingsInForce(self.settings), self.clock, DatabaseLock(self.database), look_only=True)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
async def components(place: Place) -> AsyncIterator[Callable[[], Components]]:
    made: list[Components] = []

    def make() -> Components:
        made.append(place.components())
        return made[-1]

    yield make
    for each in made:
        await each.close()


Make = Callable[[], Components]


def figures(counted: Top) -> dict[str, int]:
    """Return how many addresses each group has, and each of the other parts that there are."""
    names = ("in_other_groups", "unknown", "not_routable", "banned_networks")
    rest = {name: number for name in names if (number := getattr(counted, name))}
    found = {group.country_code or group.asn or group.org or "": group.count for group in counted.groups} | rest
    assert counted.total == sum(found.values())
    return found


async def loaded(components: Components) -> Components:
    await components.cache.load_from_db()
    return components


async def test_the_table_is_counted_by_country_and_by_network(place: Place, components: Make) -> None:
    place.put(
        ("8.8.8.8", "US", "AS15169", "Google LLC"),
        ("8.8.4.4", "US", "AS15169", "Google LLC"),
        ("1.1.1.1", "AU", "AS13335", "Cloudflare"),
        ("9.9.9.9", None, None, None),
    )
    ours = await loaded(components())
    assert figures(await count(ours, TopQuery())) == {"US": 2, "AU": 1, "unknown": 1}
    networks = await count(ours, TopQuery(by="networks"))
    assert figures(networks) == {"AS15169": 2, "AS13335": 1, "unknown": 1}
    assert networks.groups[0].org == "Google LLC"


async def test_an_address_counts_once_whatever_its_rows_and_what_is_no_routable_address_does_not(
    place: Place, components: Make
) -> None:
    place.put(("8.8.8.8", "US", None, None), ("::ffff:8.8.8.8", "US", None, None))
    place.put(("10.0.0.1", None, None, None), ("example.org", "DE", None, None))
    assert figures(await count(await loaded(components()), TopQuery())) == {"US": 1}


async def test_with_since_only_what_was_seen_since_counts(place: Place, components: Make) -> None:
    place.put(("8.8.8.8", "US", None, None), ago=10 * DAY)
    place.put(("1.1.1.1", "AU", None, None), ago=31 * DAY)
    counted = await count(await loaded(components()), TopQuery(since=30 * DAY))
    assert figures(counted) == {"US": 1}
    assert counted.since == to_text(place.now - 30 * DAY)


async def test_beyond_the_limit_the_others_are_counted_together(place: Place, components: Make) -> None:
    place.put(*((f"8.8.8.{n}", code, None, None) for n, code in enumerate(["US", "US", "DE", "FR", "SE"])))
    counted = await count(await loaded(components()), TopQuery(limit=1))
    assert figures(counted) == {"US": 2, "in_other_groups": 3}
    assert counted.other_groups == 3


async def test_an_empty_table_counts_nothing(components: Make) -> None:
    assert figures(await count(await loaded(components()), TopQuery())) == {}


# --- what memory lacks is said ---


async def test_a_table_that_was_not_read_is_noted(components: Make) -> None:
    ours = components()
    assert len((await count(ours, TopQuery())).notes) == 1
    ours.cache.progress = 0.375
    assert "38 %" in (await count(ours, TopQuery())).notes[0]
    assert (await count(await loaded(ours), TopQuery())).notes == []


async def test_a_memory_that_has_not_room_for_all_is_noted(place: Place, components: Make) -> None:
    place.put(("8.8.8.8", "US", None, None), ("1.1.1.1", "AU", None, None))
    place.settings = replace(place.settings, cache=replace(place.settings.cache, max_entries=1))
    (note,) = (await count(await loaded(components()), TopQuery())).notes
    assert "max_entries = 1)" in note


# --- who is banned ---


@pytest.mark.parametrize("in_memory", [True, False])
async def test_who_is_banned_is_counted_by_memory_and_by_rows(
    place: Place, components: Make, *, in_memory: bool
) -> None:
    place.put(("8.8.8.8", "US", None, None), ("::ffff:8.8.4.4", "US", None, None), ("1.1.1.1", "AU", None, None))
    place.put(("9.9.9.9", None, "AS1", None), ("1.0.0.1", "AU", None, None))
    place.ban("8.8.8.8", "8.8.4.4", "1.1.1.1", "9.9.9.9", "7.7.7.7", "192.168.1.1", "9.9.8.0/24", "2001:db8::/32")
    ours = components()
    if in_memory:
        await loaded(ours)
    expected = {"US": 2, "AU": 1, "unknown": 2, "not_routable": 1, "banned_networks": 2}
    assert figures(await count(ours, TopQuery(banned=True))) == expected


async def test_counting_who_is_banned_is_no_use_of_their_rows(place: Place, components: Make) -> None:
    place.put(("8.8.8.8", "US", None, None), ago=10 * DAY)
    place.ban("8.8.8.8", "7.7.7.7")
    ours = components()
    await count(ours, TopQuery(banned=True))
    assert (ours.cache.entries, ours.cache.dirty) == (0, 0)


async def test_who_was_banned_lately_is_told_from_who_was_long_ago(place: Place, components: Make) -> None:
    place.put(("8.8.8.8", "US", None, None), ("1.1.1.1", "AU", None, None))
    place.ban("8.8.8.8", ago=DAY)
    place.ban("1.1.1.1", ago=3 * DAY)
    assert figures(await count(components(), TopQuery(banned=True, since=2 * DAY))) == {"US": 1}


async def test_nobody_banned_is_an_answer_too(place: Place, components: Make) -> None:
    place.ban()
    assert figures(await count(components(), TopQuery(banned=True))) == {}


async def test_of_an_old_fail2ban_it_is_said_that_the_ends_of_bans_are_not_known(
    place: Place, components: Make
) -> None:
    with opened(place.fail2ban) as connection:
        connection.execute("CREATE TABLE bans (jail TEXT, ip TEXT, timeofban INTEGER, data JSON)")
        connection.execute("INSERT INTO bans VALUES ('sshd', '8.8.8.8', ?, '{}')", (place.now - DAY,))
    counted = await count(components(), TopQuery(banned=True))
    assert figures(counted) == {"unknown": 1}
    assert "30 days" in counted.notes[0]


async def test_without_fail2ban_in_the_config_the_error_says_what_to_do(place: Place, components: Make) -> None:
    place.settings = replace(place.settings, fail2ban=replace(place.settings.fail2ban, database=None))
    with pytest.raises(Fail2banOffError, match=r"\[fail2ban\] database"):
        await count(components(), TopQuery(banned=True))


async def test_bans_that_can_not_be_read_are_an_error(components: Make) -> None:
    with pytest.raises(StoreError, match="no such fail2ban database"):
        await count(components(), TopQuery(banned=True))


# --- in a fleet; with a server: tests/integration/test_top_fleet.py ---


class Pages(Everyones):
    """Another host's bans as well; reading a page takes ``seconds``."""

    def __init__(self, clock: ManualClock, seconds: float = 0.0) -> None:
        super().__init__()
        self.begun: set[int] = set()
        self._clock = clock
        self._seconds = seconds

    async def pages(self, *, begun: int = 0) -> AsyncGenerator[tuple[list[str], int], None]:
        self.begun.add(begun)
        async for addresses, networks in super().pages():
            self._clock.advance(self._seconds)
            yield addresses, networks


def enter_fleet(place: Place) -> None:
    """Let the host be in a fleet, whose server nobody asks."""
    place.settings = replace(place.settings, fleet=replace(place.settings.fleet, url=parse("postgresql://a@/b")))


@pytest.fixture
def fleet(place: Place, components: Make) -> Components:
    enter_fleet(place)
    return components()


def in_place_of_server(components: Components, pages: Pages) -> None:
    assert components.fleet_bans is not None
    components.fleet_bans._everyones = pages  # type: ignore[assignment]


async def test_in_a_fleet_what_any_host_bans_counts_by_what_this_host_and_the_fleet_know(
    place: Place, fleet: Components
) -> None:
    place.put(("8.8.8.8", "US", "AS15169", None))
    pages = Pages(place.clock)
    pages.known = {"9.9.9.9": Geo("CH", asn="AS19281"), "8.8.8.8": Geo("DE", asn="AS1")}
    in_place_of_server(fleet, pages)
    counted = await count(fleet, TopQuery(banned=True, since=60))
    assert figures(counted) == {"US": 1, "CH": 1, "unknown": 1, "not_routable": 1, "banned_networks": 1}
    assert (counted.hosts, counted.notes, pages.begun) == (5, [], {place.now - 60})
    networks = await count(fleet, TopQuery(by="networks", banned=True))
    assert figures(networks) == {"AS15169": 1, "AS19281": 1, "unknown": 1, "not_routable": 1, "banned_networks": 1}


async def test_in_a_fleet_what_this_host_bans_may_be_counted_alone(place: Place, fleet: Components) -> None:
    place.ban("7.7.7.7")
    counted = await count(fleet, TopQuery(banned=True, here=True))
    assert (figures(counted), counted.hosts) == ({"unknown": 1}, None)


async def test_of_more_than_can_be_read_in_time_a_part_is_counted_and_that_is_noted(
    place: Place, fleet: Components
) -> None:
    in_place_of_server(fleet, Pages(place.clock, seconds=FLEET_SECONDS + 1))
    counted = await count(fleet, TopQuery(banned=True))
    assert figures(counted) == {"unknown": 2, "banned_networks": 1}
    assert len(counted.notes) == 1


async def test_hosts_are_counted_by_what_they_ban(place: Place, fleet: Components) -> None:
    in_place_of_server(fleet, Pages(place.clock))
    counted = await count(fleet, TopQuery(by="hosts", since=60))
    assert [(group.host, group.count) for group in counted.groups] == [("web1", 3), ("web2", 2)]
    assert {group.newest for group in counted.groups} == {to_text(place.now - 60)}
    assert (counted.banned, counted.hosts, counted.other_groups, counted.in_other_groups) == (True, 5, 3, 4)
    assert counted.total == 10


async def test_without_a_fleet_the_error_says_what_to_do(components: Make) -> None:
    with pytest.raises(FleetOffError, match=r"\[fleet\] url"):
        await count(components(), TopQuery(by="hosts"))


async def test_while_the_server_is_away_this_hosts_bans_count_with_a_note(place: Place, fleet: Components) -> None:
    place.ban("7.7.7.7")
    pages = Pages(place.clock)
    pages.error = StoreUnreachableError("postgresql:///b", "no server answers", "start it")
    in_place_of_server(fleet, pages)
    counted = await count(fleet, TopQuery(banned=True))
    assert (figures(counted), counted.hosts) == ({"unknown": 1}, None)
    assert "no server answers" in counted.notes[0]
    with pytest.raises(StoreUnreachableError):
        await count(fleet, TopQuery(by="hosts"))


async def test_while_the_server_is_away_and_fail2ban_is_not_read_its_error_is_the_answer(
    place: Place, fleet: Components
) -> None:
    off = replace(place.settings, fail2ban=replace(place.settings.fail2ban, database=None))
    fleet.in_force.change(off)
    pages = Pages(place.clock)
    pages.error = StoreUnreachableError("postgresql:///b", "no server answers", "start it")
    in_place_of_server(fleet, pages)
    with pytest.raises(StoreUnreachableError):
        await count(fleet, TopQuery(banned=True))
