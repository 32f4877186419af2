"""What geo_cache_cleanup keeps because of fail2ban's bans: networks, jails that are gone, and what can't be read."""

import pytest
from structlog.testing import capture_logs

from bangeod.banned import Reading, sort_out
from bangeod.clock import SECONDS_A_DAY, to_text
from bangeod.errors import StoreError, StoreIncompleteError, StoreLockedError
from bangeod.jobs.ban_watch import BanWatch
from bangeod.jobs.disabled_jails import APART
from bangeod.jobs.geo_cache_cleanup import GeoCacheCleanup
from bangeod.jobs.job import Result, Run
from tests.support.fakes import Bans, World

OLD, IN_FORCE, NEVER = "7.7.7.7", "8.8.8.8", "1.1.1.1"
LOCKED = StoreLockedError("/f2b", "is locked", "tried again")
CUT_SHORT = StoreIncompleteError("/f2b", "takes too long", "look at the disk")
CLOSED = StoreError("/f2b", "can't be read", "setfacl")


def look(*enabled: str) -> Reading:
    """Make a reading with two jails: which of them are enabled."""
    return sort_out([(IN_FORCE, "sshd"), (OLD, "old")], frozenset(enabled))


ONE_GONE, BOTH = look("sshd"), look("sshd", "old")


class Place:
    """A table, a fail2ban, and the job; sleeping moves the clock."""

    def __init__(self) -> None:
        self.world = World()
        self.bans = Bans()
        self.slept: list[float] = []

    def put(self, *keys: str, days: float = 100) -> None:
        for key in keys:
            self.world.store.put_geo(
                key, country_code="DE", last_seen=to_text(self.world.now - int(days * SECONDS_A_DAY))
            )

    def fail2ban_says(self, *readings: Reading) -> None:
        """Let it answer so, the last one from then on."""
        *self.bans.next_readings, self.bans.reading = readings

    async def run(self, *, dry: bool = False, max_rows: int = 0, within: float = 60) -> Result:
        watch = BanWatch(lambda: self.bans, sleep=self._sleep)
        job = GeoCacheCleanup(self.world.store, self.world.cache, watch, retention_days=90, max_rows=max_rows)
        return await job.run(Run.within(within, self.world.clock, dry=dry))

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.world.clock.advance(seconds)

    @property
    def keys(self) -> set[object]:
        return set(self.world.store.geo_cache)


@pytest.fixture
def place() -> Place:
    return Place()


async def test_rows_within_a_banned_network_stay_under_any_spelling(place: Place) -> None:
    place.bans = Bans("8.8.4.0/24", "2001:db8::/32")
    inside = {"8.8.4.4", "::ffff:8.8.4.5", "8.8.4.0/24", "2001:DB8:0:0:0:0:0:1"}
    place.put(*inside, "8.8.5.0", "2001:db9::1")
    await place.run()
    assert place.keys == inside


async def test_rows_whose_address_cannot_be_read_stay_and_are_said_once(place: Place) -> None:
    place.put("root", "1.2.3", NEVER, "9.9.9.0/24")
    with capture_logs() as lines:
        result = await place.run()
    assert place.keys == {"root", "1.2.3", "9.9.9.0/24"}
    assert (result.figures["deleted"], result.figures["invalid"], result.finished) == (1, 3, True)
    assert [line for line in lines if line["log_level"] == "warning"] == [
        {"event": "invalid_addresses_kept", "log_level": "warning", "of": "stale rows", "rows": 3, "example": "1.2.3"}
    ]


# --- jails that are gone ---


async def test_a_row_that_only_a_gone_jail_protects_goes_when_two_looks_agree(place: Place) -> None:
    place.put(OLD, IN_FORCE, NEVER)
    place.fail2ban_says(ONE_GONE)
    result = await place.run()
    assert place.keys == {IN_FORCE}
    assert (result.figures["deleted"], result.finished) == (2, True)
    assert (place.slept, place.bans.asked) == ([APART], 2)


async def test_a_row_stays_where_the_second_look_finds_its_jail_enabled(place: Place) -> None:
    place.put(OLD, IN_FORCE, NEVER)
    place.fail2ban_says(ONE_GONE, BOTH)
    result = await place.run()
    assert place.keys == {IN_FORCE, OLD}
    assert result.finished


async def test_while_fail2ban_starts_a_row_stays_and_the_run_is_tried_again_soon(place: Place) -> None:
    place.put(OLD, NEVER)
    place.fail2ban_says(*(look("sshd", *(f"jail {n}" for n in range(more))) for more in range(9)))
    result = await place.run()
    assert place.keys == {OLD}
    assert (result.figures["deleted"], result.finished) == (1, False)
    assert place.slept == [APART] * 3


async def test_after_a_normal_stop_who_was_banned_still_is(place: Place) -> None:
    place.put(OLD, IN_FORCE)
    place.fail2ban_says(look())
    assert (await place.run()).finished
    assert place.keys == {OLD, IN_FORCE}
    assert place.slept == []


@pytest.mark.parametrize("keys", [(NEVER,), ("7.7.7.8",), ()])
async def test_where_no_row_hangs_on_it_nobody_waits(place: Place, keys: tuple[str, ...]) -> None:
    place.put(*keys)
    place.fail2ban_says(ONE_GONE)
    await place.run()
    assert (place.slept, place.keys) == ([], set())


async def test_where_the_row_is_fresh_nobody_waits(place: Place) -> None:
    place.put(OLD, days=1)
    place.fail2ban_says(ONE_GONE)
    await place.run()
    assert (place.slept, place.keys) == ([], {OLD})


async def test_a_dry_run_waits_for_nothing(place: Place) -> None:
    place.put(OLD, IN_FORCE, NEVER)
    place.fail2ban_says(ONE_GONE)
    result = await place.run(dry=True)
    assert (place.slept, result.figures["would_delete"]) == ([], 2)


async def test_above_the_cap_rows_of_gone_jails_go_as_others_do(place: Place) -> None:
    place.put(IN_FORCE, days=3)
    place.put(OLD, days=2)
    place.put(NEVER, days=1)
    place.fail2ban_says(ONE_GONE)
    await place.run(max_rows=2)
    assert place.keys == {IN_FORCE, NEVER}


async def test_a_network_of_a_gone_jail_protects_no_more(place: Place) -> None:
    place.put("9.9.9.9")
    (network,) = Bans("9.9.9.0/24").reading.banned.networks
    place.fail2ban_says(sort_out([(IN_FORCE, "sshd"), (network, "old")], frozenset({"sshd"})))
    await place.run()
    assert (place.slept, place.keys) == ([APART], set())


async def test_a_run_without_time_for_a_second_look_keeps_what_is_in_doubt(place: Place) -> None:
    place.put(OLD, NEVER)
    place.fail2ban_says(ONE_GONE)
    result = await place.run(within=2 * APART)
    assert (place.slept, place.keys, result.finished) == ([], {OLD}, False)


async def test_a_second_look_that_fails_keeps_what_is_in_doubt(place: Place) -> None:
    place.put(OLD, NEVER)
    place.fail2ban_says(ONE_GONE)
    place.bans.errors_after = {1: LOCKED}
    result = await place.run()
    assert (place.keys, result.finished) == ({OLD}, False)


# --- what can't be read ---


@pytest.mark.parametrize("error", [LOCKED, CUT_SHORT])
async def test_nothing_is_deleted_where_a_lock_or_time_hides_who_is_banned(place: Place, error: StoreError) -> None:
    place.put(IN_FORCE, NEVER)
    place.bans.error = error
    await place.world.cache.lookup("9.9.9.9")
    with capture_logs() as lines:
        result = await place.run()
    assert place.keys == {IN_FORCE, NEVER, "9.9.9.9"}  # what was to be written has been
    assert result == Result({"skipped": "bans_unread", "deleted": 0, "retention_days": 90}, finished=False)
    assert [line["event"] for line in lines] == ["fail2ban_unreadable", "geo_cache_cleanup_skip"]
    assert await place.run(dry=True) == Result(
        {"skipped": "bans_unread", "would_delete": 0, "retention_days": 90}, finished=False
    )
    place.bans.error = None
    place.fail2ban_says(BOTH)
    assert (await place.run()).figures["deleted"] == 1


async def test_a_database_that_nobody_lets_it_read_does_not_let_the_table_grow(place: Place) -> None:
    place.put(IN_FORCE, NEVER)
    place.bans.error = CLOSED
    assert (await place.run()).finished
    assert place.keys == set()


@pytest.mark.parametrize("loaded", [False, True])
async def test_what_is_banned_counts_as_seen_now_also_before_its_row_is_in_memory(*, loaded: bool) -> None:
    place = Place()
    place.put("::ffff:8.8.8.8", days=80)
    place.put("10.0.0.1", days=80)
    if loaded:
        await place.world.cache.load_from_db()
    place.fail2ban_says(sort_out([(IN_FORCE, "sshd"), ("10.0.0.1", "sshd")], frozenset(["sshd"])))
    await place.run()
    seen = {key: row["last_seen"] for key, row in place.world.store.geo_cache.items()}
    assert seen["::ffff:8.8.8.8"] == to_text(place.world.now)
    assert place.world.cache.entries == 1  # what is not routable has no place in memory
