"""The fleet's bans in the daemon: told and counted in turns, troubles said once, and nothing that stops it."""

from collections.abc import AsyncGenerator, Mapping, Sequence

import pytest
from structlog.testing import capture_logs

from bangeod.ban_spans import BansInForce
from bangeod.errors import SchemaError, StoreError, StoreUnreachableError
from bangeod.fleet.all_bans import BansByHost, HostBans
from bangeod.fleet.own_bans import Told
from bangeod.jobs.ban_watch import BanWatch
from bangeod.model import Geo
from bangeod.service.fleet_bans import COUNTED_EVERY, SHARE, TOLD_EVERY, FleetBanCounts, FleetBans
from tests.support.fakes import Bans, World

AWAY = StoreUnreachableError("postgresql:///fleet", "no server answers", "start it")
NO_TABLE = SchemaError("postgresql:///fleet", 'relation "bangeod.bans" does not exist', "make it")


class Own:
    """In the place of OwnBans: notes what it is told; a telling takes ``seconds``."""

    def __init__(self, world: World) -> None:
        self.told: list[BansInForce] = []
        self.error: StoreError | None = None
        self.answer = Told()
        self.seconds = 0.0
        self._clock = world.clock

    async def tell(self, current: BansInForce) -> Told:
        self._clock.advance(self.seconds)
        if self.error is not None:
            raise self.error
        self.told.append(current)
        return self.answer


class Everyones:
    """In the place of AllBans."""

    def __init__(self) -> None:
        self.error: StoreError | None = None
        self.known: dict[str, Geo] = {}
        self.asked: list[str] = []
        self.is_open = False

    async def by_host(self, most: int, *, begun: int = 0) -> BansByHost:
        self.is_open = True
        if self.error is not None:
            raise self.error
        return BansByHost([HostBans("web1", 3, 1, begun), HostBans("web2", 2, 0, begun)], 5, 9, 1)

    async def pages(self, *, begun: int = 0) -> AsyncGenerator[tuple[list[str], int], None]:
        yield ["8.8.8.8", "9.9.9.9"], 1
        yield ["1.1.1.1", "10.0.0.1"], begun

    async def places(self, ips: Sequence[str]) -> Mapping[str, Geo]:
        self.asked += ips
        return {ip: self.known[ip] for ip in ips if ip in self.known}

    async def look_for_bad_rows(self) -> int:
        return 0

    async def close(self) -> None:
        self.is_open = False


class StoppedError(Exception):
    """The sleep that a test ends at."""


class Parts:
    """Telling and counting, with all that they stand on."""

    def __init__(self) -> None:
        self.world = World()
        self.own, self.everyones, self.source = Own(self.world), Everyones(), Bans("8.8.8.8")
        self.named: Bans | None = self.source
        self.slept: list[float] = []
        self.fleet_bans = FleetBans(
            self.own,  # type: ignore[arg-type]
            self.everyones,  # type: ignore[arg-type]
            BanWatch(lambda: self.named),
            self.world.cache,
            self.world.clock,
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) == 3:
            raise StoppedError


@pytest.fixture
def parts() -> Parts:
    return Parts()


def said(lines: Sequence[Mapping[str, object]]) -> list[tuple[object, object]]:
    return [(line["event"], line.get("problem")) for line in lines if line["log_level"] != "debug"]


async def test_what_is_banned_here_is_told(parts: Parts) -> None:
    await parts.fleet_bans.tell()
    (told,) = parts.own.told
    assert [key.ip for key in told.bans] == ["8.8.8.8"]
    assert parts.fleet_bans.told_at == parts.world.clock.now()


async def test_where_fail2ban_is_not_read_the_fleet_is_told_of_no_bans(parts: Parts) -> None:
    parts.named = None
    await parts.fleet_bans.tell()
    assert parts.own.told == [BansInForce()]


async def test_while_fail2bans_database_can_not_be_read_what_was_told_stays(parts: Parts) -> None:
    parts.source.error = StoreError("/f2b", "is locked", "wait")
    with capture_logs() as lines:
        await parts.fleet_bans.tell()
    assert parts.own.told == []
    assert parts.fleet_bans.told_at is None
    assert said(lines) == [("fail2ban_unreadable", "is locked")]


async def test_that_the_server_is_away_is_no_news_of_this_and_its_return_makes_up_for_it(parts: Parts) -> None:
    parts.own.error = AWAY
    with capture_logs() as lines:
        await parts.fleet_bans.tell()
        parts.own.error = None
        await parts.fleet_bans.tell()
    assert said(lines) == []
    assert len(parts.own.told) == 1


async def test_another_trouble_is_said_once_and_so_is_its_end(parts: Parts) -> None:
    parts.own.error = NO_TABLE
    with capture_logs() as lines:
        await parts.fleet_bans.tell()
        await parts.fleet_bans.tell()
        parts.own.error = None
        await parts.fleet_bans.tell()
    assert said(lines) == [("fleet_bans_failed", NO_TABLE.problem), ("fleet_bans_work", None)]


async def test_bans_that_the_server_refuses_are_said_once(parts: Parts) -> None:
    parts.own.answer = Told(refused=2)
    with capture_logs() as lines:
        await parts.fleet_bans.tell()
        await parts.fleet_bans.tell()
    assert said(lines) == [("fleet_bans_refused", None)]


async def test_all_hosts_bans_are_counted_by_country_and_by_host(parts: Parts) -> None:
    parts.world.store.put_geo("8.8.8.8", country_code="US")
    parts.everyones.known = {"9.9.9.9": Geo("CH", "Switzerland"), "8.8.8.8": Geo("DE")}
    await parts.fleet_bans.count()
    assert parts.fleet_bans.counts == FleetBanCounts(
        countries={"US": 1, "CH": 1},
        without_country=2,
        networks=1,
        hosts={"web1": 3, "web2": 2},
        other_hosts=3,
        in_other_hosts=4,
    )
    assert sorted(parts.everyones.asked) == ["1.1.1.1", "9.9.9.9"]  # what this host does not know
    assert not parts.everyones.is_open


async def test_figures_that_can_not_be_had_are_none_and_not_old_ones(parts: Parts) -> None:
    await parts.fleet_bans.count()
    parts.everyones.error = AWAY
    with capture_logs() as lines:
        await parts.fleet_bans.count()
    assert parts.fleet_bans.counts is None
    assert said(lines) == []
    assert not parts.everyones.is_open


async def test_the_first_turn_comes_at_once_and_the_next_each_minute(parts: Parts) -> None:
    with pytest.raises(StoppedError):
        await parts.fleet_bans.keep_told()
    assert parts.slept == [TOLD_EVERY] * 3
    assert len(parts.own.told) == 3


async def test_what_takes_long_is_done_less_often(parts: Parts) -> None:
    parts.own.seconds = 2 * TOLD_EVERY * SHARE
    with pytest.raises(StoppedError):
        await parts.fleet_bans.keep_told()
    assert parts.slept == pytest.approx([2 * TOLD_EVERY] * 3)


async def test_the_first_count_waits_for_memory(parts: Parts) -> None:
    with pytest.raises(StoppedError):
        await parts.fleet_bans.keep_counted()
    assert parts.slept == [TOLD_EVERY, COUNTED_EVERY, COUNTED_EVERY]
