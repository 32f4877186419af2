"""The job geo_re_resolve: what it tries, in which order, at which pace, and what it says."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from bangeod.clock import to_text
from bangeod.errors import SourceError, StoreError, StoreFullError
from bangeod.jobs.ban_watch import BanCounts, BanWatch
from bangeod.jobs.geo_re_resolve import FOR_AN_ANSWER, GeoReResolve
from bangeod.jobs.job import LONGEST_MARGIN, Result, Run
from bangeod.model import DirtyEntry, Geo
from bangeod.store.memory import MemoryStore
from bangeod.store.port import endless
from tests.support.fakes import FRANCE, GERMANY, Bans, RefusingStore, World

IP, OTHER, THIRD = "8.8.8.8", "9.9.9.9", "1.1.1.1"
TIMEOUT = 540.0


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def run(world: World) -> Callable[..., Awaitable[Result]]:
    """Run the job; sleeping moves the clock."""

    async def sleep(seconds: float) -> None:
        world.clock.advance(seconds)
        await asyncio.sleep(0)

    async def run(bans: Bans | None = None, *, dry: bool = False, within: float = TIMEOUT) -> Result:
        job = GeoReResolve(world.store, world.cache, BanWatch(lambda: bans), sleep=sleep)
        return await job.run(Run.within(within, world.clock, dry=dry))

    return run


Runs = Callable[..., Awaitable[Result]]


def put(world: World, *keys: str, age: int = 0, **columns: object) -> None:
    for key in keys:
        world.store.put_geo(key, **{"last_seen": to_text(world.now - age), **columns})


def countries(world: World) -> dict[object, object]:
    return {key: row["country_code"] for key, row in world.store.geo_cache.items()}


def events(lines: list[Any]) -> list[tuple[str, str]]:
    return [(line["event"], line["log_level"]) for line in lines]


# --- the work ---


async def test_rows_without_a_country_get_one(world: World, run: Runs) -> None:
    put(world, IP, OTHER, THIRD)
    put(world, "1.0.0.1", country_code="SE")
    world.local.places |= {IP: GERMANY, OTHER: FRANCE, "1.0.0.1": GERMANY}
    with capture_logs() as lines:
        result = await run()
    assert countries(world) == {IP: "DE", OTHER: "FR", THIRD: None, "1.0.0.1": "SE"}
    assert world.store.geo_cache[IP]["org"] == "Example"
    assert result.finished
    assert result.figures == {"unresolved": 3, "retried": 3, "resolved": 2, "left_for_ip_api": 0, "invalid": 0}
    start, complete = lines
    assert start == {"event": "geo_re_resolve_start", "log_level": "info", "unresolved": 3}
    assert (complete["event"], complete["log_level"]) == ("geo_re_resolve_complete", "info")
    assert (complete["retried"], complete["resolved"]) == (3, 2)


async def test_what_has_an_autonomous_system_alone_is_retried_and_not_counted_as_resolved(
    world: World, run: Runs
) -> None:
    put(world, IP, OTHER)
    world.local.places |= {IP: Geo(asn="AS64496"), OTHER: FRANCE}
    assert (await run(dry=True)).figures["would_resolve_locally"] == 1
    result = await run()
    assert (result.figures["retried"], result.figures["resolved"]) == (2, 1)
    assert world.cache.known(IP) == Geo(asn="AS64496")
    world.clock.advance(600)
    world.local.places[IP] = FRANCE
    await run()
    row = world.store.geo_cache[IP]
    assert (row["country_code"], row["asn"]) == ("FR", "AS64496")


async def test_ip_api_is_asked_for_the_country_and_what_is_known_stays(world: World, run: Runs) -> None:
    put(world, IP)
    world.local.places[IP] = Geo(asn="AS64496")
    remote = world.with_remote({IP: Geo("FR", "France", "AS64511", "Another")})
    result = await run()
    assert remote.asked == [IP]
    assert (result.figures["retried"], result.figures["resolved"]) == (1, 1)
    row = world.store.geo_cache[IP]
    assert (row["country_code"], row["asn"]) == ("FR", "AS64496")


async def test_bans_are_counted_by_what_is_known_after_the_run(world: World) -> None:
    world.local.places |= {IP: GERMANY, OTHER: FRANCE}
    watch = BanWatch(lambda: Bans(IP, OTHER, THIRD))
    job = GeoReResolve(world.store, world.cache, watch)
    await job.run(Run.within(TIMEOUT, world.clock, dry=True))
    assert watch.counts is None  # a dry run changes nothing
    for _ in range(2):  # in the second nothing is due
        await job.run(Run.within(TIMEOUT, world.clock))
        assert watch.counts == BanCounts({"DE": 1, "FR": 1}, without_country=1, networks=0)


async def test_a_banned_address_without_a_row_gets_one_with_what_is_known(world: World, run: Runs) -> None:
    world.local.places[IP] = Geo(asn="AS64496")
    await run(Bans(IP))
    row = world.store.geo_cache[IP]
    assert (row["country_code"], row["asn"]) == (None, "AS64496")


class NotingStore(MemoryStore):
    """Notes what is to be written."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[DirtyEntry] = []

    def write(
        self, entries: Sequence[DirtyEntry], *, time_left: Callable[[], float] = endless
    ) -> AsyncGenerator[Sequence[DirtyEntry], None]:
        self.entries += entries
        return super().write(entries, time_left=time_left)


async def test_what_a_row_has_already_is_not_written_to_it_again() -> None:
    world = World(store := NotingStore())
    put(world, IP, asn="AS64496", org="Known")
    world.local.places[IP] = Geo(asn="AS64496", org="Known")
    job = GeoReResolve(store, world.cache, BanWatch())
    result = await job.run(Run.within(TIMEOUT, world.clock))
    assert (result.figures["retried"], result.figures["resolved"]) == (1, 0)
    assert store.entries == []


async def test_what_the_database_refuses_is_not_called_resolved() -> None:
    world = World(RefusingStore([IP]))
    put(world, IP, OTHER)
    world.local.places |= {IP: GERMANY, OTHER: FRANCE}
    job = GeoReResolve(world.store, world.cache, BanWatch())
    for unresolved, resolved in ((2, 1), (1, 0)):
        with capture_logs() as lines:
            result = await job.run(Run.within(TIMEOUT, world.clock))
        assert (result.figures["unresolved"], result.figures["resolved"]) == (unresolved, resolved)
        assert result.figures["refused"] == 1
        assert (lines[-1]["resolved"], lines[-1]["refused"]) == (resolved, 1)
    assert countries(world) == {IP: None, OTHER: "FR"}


@pytest.mark.parametrize("code", ["XX", "--", "Unknown"])
async def test_a_row_with_a_placeholder_gets_a_country(world: World, run: Runs, code: str) -> None:
    put(world, IP, country_code=code)
    world.local.places[IP] = GERMANY
    assert (await run()).figures["resolved"] == 1
    assert countries(world) == {IP: "DE"}


async def test_a_table_without_such_rows_is_skipped(world: World, run: Runs) -> None:
    put(world, IP, country_code="DE")
    with capture_logs() as lines:
        result = await run()
    assert lines == [{"event": "geo_re_resolve_skip", "log_level": "debug", "reason": "no_unresolved_ips"}]
    assert result.figures["skipped"] == "no_unresolved_ips"


async def test_a_run_takes_only_what_is_due(world: World, run: Runs) -> None:
    put(world, IP)
    await run()
    world.local.asked.clear()
    with capture_logs() as lines:
        await run()
    assert lines == [{"event": "geo_re_resolve_skip", "log_level": "debug", "reason": "none_due"}]
    assert world.local.asked == []
    world.clock.advance(600)
    await run()
    world.clock.advance(600)
    await run()
    assert world.local.asked == [IP]
    world.clock.advance(600)
    await run()
    assert world.local.asked == [IP, IP]


async def test_what_was_seen_last_is_tried_first(world: World, run: Runs) -> None:
    put(world, IP, age=100)
    put(world, OTHER, age=1)
    put(world, THIRD, last_seen="long ago")
    await run()
    assert world.local.asked == [OTHER, IP, THIRD]


async def test_resolving_a_row_does_not_count_as_seeing_its_address(world: World, run: Runs) -> None:
    put(world, IP, age=80 * 86_400)
    world.local.places[IP] = GERMANY
    await run()
    assert countries(world)[IP] == "DE"
    assert world.store.geo_cache[IP]["last_seen"] == to_text(world.now - 80 * 86_400)


async def test_a_row_that_was_never_seen_counts_as_seen_now(world: World, run: Runs) -> None:
    put(world, IP, last_seen=None)
    world.local.places[IP] = GERMANY
    await run()
    assert world.store.geo_cache[IP]["last_seen"] == to_text(world.now)


async def test_the_negative_cache_is_cleared(world: World, run: Runs) -> None:
    await world.cache.lookup(IP)
    assert world.cache.negative == 1
    await run()
    assert world.cache.negative == 0


async def test_private_rows_are_not_counted_and_invalid_ones_are_said_once(world: World, run: Runs) -> None:
    put(world, "10.0.0.1", "192.0.2.1", "nonsense", "x" * 200, IP)
    with capture_logs() as lines:
        result = await run()
    assert (result.figures["unresolved"], result.figures["invalid"]) == (1, 2)
    warnings = [line for line in lines if line["log_level"] == "warning"]
    assert warnings == [
        {"event": "invalid_addresses_kept", "log_level": "warning", "rows": 2, "example": "nonsense"},
    ]
    assert world.local.asked == [IP]
    assert len(world.store.geo_cache) == 5


async def test_both_rows_of_one_address_are_updated_after_one_question(world: World, run: Runs) -> None:
    put(world, IP, "::ffff:8.8.8.8")
    world.local.places[IP] = GERMANY
    await run()
    assert countries(world) == {IP: "DE", "::ffff:8.8.8.8": "DE"}
    assert world.local.asked == [IP]


async def test_a_row_whose_twin_has_the_country_gets_it_without_a_question(world: World, run: Runs) -> None:
    put(world, IP, country_code="DE")
    put(world, "::ffff:8.8.8.8")
    await world.cache.load_from_db()
    result = await run()
    assert countries(world) == {IP: "DE", "::ffff:8.8.8.8": "DE"}
    assert world.local.asked == []
    assert (result.figures["retried"], result.figures["resolved"]) == (1, 1)


async def test_what_memory_knows_already_is_written_without_a_question(world: World, run: Runs) -> None:
    remote = world.with_remote({IP: GERMANY})
    await world.cache.lookup(IP)
    put(world, IP)
    await run()
    assert countries(world) == {IP: "DE"}
    assert len(remote.requests) == 1


async def test_what_was_found_is_committed_batch_by_batch(world: World, run: Runs) -> None:
    ips = [f"8.8.{i // 250}.{i % 250}" for i in range(700)]
    put(world, *ips)
    world.local.places |= dict.fromkeys(ips, GERMANY)
    pages, slices_of_one_batch = 700 // 3 + 1, 500 // 2
    world.store.fail_next(StoreFullError("memory", "full", "make room"), after=pages + slices_of_one_batch)
    with pytest.raises(StoreFullError):
        await run()
    assert sum(country == "DE" for country in countries(world).values()) == 500


async def test_a_run_whose_time_is_up_keeps_what_it_did_and_goes_on_elsewhere(world: World, run: Runs) -> None:
    ips = [f"8.8.{i // 250}.{i % 250}" for i in range(700)]
    put(world, *ips)
    result = await run(within=0)
    assert (result.finished, result.figures["retried"]) == (False, 0)

    class Slow:
        origin = world.local.origin

        def find(self, ip: str) -> Geo | None:
            world.clock.advance(1.0)
            return world.local.find(ip)

    world.sources.local = (Slow(),)
    result = await run(within=400)
    assert (result.finished, result.figures["retried"]) == (False, 500)
    result = await run(within=400)
    assert (result.finished, result.figures["retried"]) == (True, 200)
    assert len(set(world.local.asked)) == 700


# --- ip-api ---


async def test_only_what_local_sources_do_not_know_goes_to_the_remote_one(world: World, run: Runs) -> None:
    put(world, IP, OTHER)
    world.local.places[IP] = GERMANY
    remote = world.with_remote({OTHER: FRANCE})
    result = await run()
    assert remote.requests == [[OTHER]]
    assert countries(world) == {IP: "DE", OTHER: "FR"}
    assert result.figures["left_for_ip_api"] == 0


async def test_the_quota_is_waited_for_while_there_is_time(world: World, run: Runs) -> None:
    ips = [f"8.8.8.{i}" for i in range(30)]
    put(world, *ips)
    remote = world.with_remote(dict.fromkeys(ips, GERMANY))
    remote.quota = 2
    begun = world.clock.monotonic()
    result = await run(within=200)
    assert [time - begun for time in remote.times] == [0, 0, 60, 60, 120, 120, 180, 180]
    assert result.finished
    assert result.figures == {"unresolved": 30, "retried": 24, "resolved": 24, "left_for_ip_api": 6, "invalid": 0}
    assert sum(country == "DE" for country in countries(world).values()) == 24


@pytest.mark.parametrize(("more", "requests"), [(0, 1), (1, 2)])
async def test_the_quota_is_waited_for_only_where_there_is_time_for_an_answer_then(
    world: World, run: Runs, more: float, requests: int
) -> None:
    ips = [f"8.8.8.{i}" for i in range(6)]
    put(world, *ips)
    remote = world.with_remote(dict.fromkeys(ips, GERMANY))
    remote.quota = 1
    await run(within=60 + FOR_AN_ANSWER + LONGEST_MARGIN + more)
    assert len(remote.requests) == requests


async def test_lookups_are_answered_while_the_job_waits_for_the_quota(world: World) -> None:
    put(world, *[f"8.8.8.{i}" for i in range(6)])
    remote = world.with_remote({})
    remote.quota = 1
    waiting = asyncio.Event()

    async def sleep(seconds: float) -> None:
        if seconds:
            waiting.set()
            await asyncio.Event().wait()

    job = GeoReResolve(world.store, world.cache, BanWatch(), sleep=sleep)
    running = asyncio.create_task(job.run(Run.within(TIMEOUT, world.clock)))
    await waiting.wait()
    world.local.places[OTHER] = GERMANY
    assert (await world.cache.lookup(OTHER)).geo == GERMANY
    assert (await world.cache.lookup(THIRD)).geo.country_code is None
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_pause_that_outlasts_the_run_is_not_waited_for(world: World, run: Runs) -> None:
    put(world, IP)
    remote = world.with_remote({IP: GERMANY})
    remote.pause(3_600)
    result = await run()
    assert remote.requests == []
    assert (result.finished, result.figures["left_for_ip_api"]) == (True, 1)
    assert world.resolver.due([IP]) == [IP]


async def test_a_request_that_failed_is_made_again_after_its_pause(world: World, run: Runs) -> None:
    put(world, IP)
    remote = world.with_remote({IP: GERMANY})
    remote.quota = 1
    remote.faults.append(SourceError("ip-api", "broken"))
    await run()
    assert [time - remote.times[0] for time in remote.times] == [0, 60]
    assert countries(world) == {IP: "DE"}


async def test_a_source_that_fails_without_saying_for_how_long_is_left_alone(world: World, run: Runs) -> None:
    put(world, IP)
    remote = world.with_remote({IP: GERMANY})
    remote.faults += [SourceError("ip-api", "closed")] * 9
    result = await run()
    assert len(remote.requests) == 1
    assert result.figures["left_for_ip_api"] == 1


async def test_a_request_that_outlasts_the_run_is_no_failure(world: World, run: Runs) -> None:
    put(world, IP)
    remote = world.with_remote({IP: GERMANY})
    remote.gate.clear()
    result = await run(within=0.01)
    assert result.finished
    assert countries(world) == {IP: None}


async def test_what_cost_quota_is_committed_before_the_next_request(world: World, run: Runs) -> None:
    ips = [f"8.8.8.{i}" for i in range(6)]
    put(world, *ips)
    remote = world.with_remote(dict.fromkeys(ips, GERMANY))
    stored: list[int] = []
    ask = remote.resolve

    async def resolve(asked: Any, unknown_for: Any) -> Any:
        stored.append(sum(country == "DE" for country in countries(world).values()))
        return await ask(asked, unknown_for)

    remote.resolve = resolve  # type: ignore[method-assign, assignment]
    await run()
    assert stored == [0, 3]


async def test_what_another_host_asks_about_is_left_to_it_and_batches_are_filled_up_with_the_rest(
    world: World, run: Runs
) -> None:
    ips = [f"8.8.8.{i}" for i in range(9)]
    put(world, *ips)
    remote = world.with_remote(dict.fromkeys(ips, GERMANY))
    remote.elsewhere = {*ips[:3], ips[5]}
    result = await run()
    assert sorted(len(request) for request in remote.requests) == [2, 3]
    assert set(remote.asked) == set(ips) - remote.elsewhere
    assert result.figures["claimed"] == 4
    assert result.finished
    remote.elsewhere = set()
    result = await run()  # as soon as that: not knowing it was no failure
    assert countries(world) == dict.fromkeys(ips, "DE")
    assert "claimed" not in result.figures


async def test_an_address_that_the_remote_source_does_not_know_is_put_off(world: World, run: Runs) -> None:
    put(world, IP)
    remote = world.with_remote({IP: None})
    await run()
    await run()
    assert remote.requests == [[IP]]


async def test_a_new_local_source_is_asked_about_what_is_not_due_for_the_remote_one(world: World, run: Runs) -> None:
    put(world, IP, OTHER)
    remote = world.with_remote({IP: None, OTHER: None})
    await run()
    world.local.places[IP] = GERMANY
    world.resolver.sources_changed()
    await run()
    assert countries(world) == {IP: "DE", OTHER: None}
    assert len(remote.requests) == 1
    assert not world.resolver.changed_since_asked


async def test_a_local_source_that_comes_during_a_run_is_asked_by_the_next(
    world: World, run: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.store.put_geo(IP)
    world.with_remote({IP: None})
    find = world.local.find

    def find_and_change(ip: str) -> Geo | None:
        monkeypatch.setattr(world.local, "find", find)
        world.resolver.sources_changed()
        return find(ip)

    monkeypatch.setattr(world.local, "find", find_and_change)
    await run()
    world.local.places[IP] = GERMANY
    await run()
    assert countries(world) == {IP: "DE"}


# --- bans ---


async def test_a_banned_address_without_a_row_is_resolved(world: World, run: Runs) -> None:
    world.local.places[IP] = GERMANY
    result = await run(Bans(IP, OTHER, "10.0.0.1"))
    assert countries(world) == {IP: "DE", OTHER: None}
    assert result.figures["unresolved"] == 2
    assert world.store.geo_cache[OTHER]["last_seen"] == to_text(world.now)


async def test_of_a_banned_network_no_row_is_made(world: World, run: Runs) -> None:
    world.local.places[IP] = GERMANY
    result = await run(Bans("8.8.0.0/16", "8.8.4.0/24", IP))
    assert list(world.store.geo_cache) == [IP]
    assert result.figures["resolved"] == 1


async def test_a_banned_address_comes_before_all_others(world: World, run: Runs) -> None:
    put(world, OTHER, age=5)
    await run(Bans(IP))
    assert world.local.asked == [IP, OTHER]


async def test_a_banned_address_that_is_not_due_gets_a_row_again(world: World, run: Runs) -> None:
    await run(Bans(IP))
    world.store.geo_cache.clear()
    await run(Bans(IP))
    await world.cache.flush_dirty()
    assert countries(world) == {IP: None}
    assert world.local.asked == [IP]


async def test_a_banned_address_is_seen_also_where_memory_does_not_hold_it(world: World, run: Runs) -> None:
    put(world, "::ffff:8.8.8.8", age=5 * 86_400, country_code="DE")
    await run(Bans(IP))
    await world.cache.flush_dirty()
    assert world.store.geo_cache["::ffff:8.8.8.8"]["last_seen"] == to_text(world.now)
    assert list(world.store.geo_cache) == ["::ffff:8.8.8.8"]


async def test_bans_that_cannot_be_read_are_no_reason_to_fail(world: World, run: Runs) -> None:
    put(world, IP)
    world.local.places[IP] = GERMANY
    with capture_logs() as lines:
        await run(Bans(error=StoreError("/f2b", "can't be read", "setfacl")))
    assert countries(world) == {IP: "DE"}
    assert [line for line in lines if line["log_level"] == "warning"] == [
        {
            "event": "fail2ban_unreadable",
            "log_level": "warning",
            "database": "/f2b",
            "problem": "can't be read",
            "advice": "setfacl",
        }
    ]


# --- the dry run ---


async def test_a_dry_run_says_what_it_would_do_and_changes_nothing(world: World, run: Runs) -> None:
    put(world, IP, OTHER, "nonsense")
    put(world, "1.0.0.1", country_code="SE", age=5 * 86_400)
    world.local.places[IP] = GERMANY
    remote = world.with_remote({OTHER: FRANCE})
    await world.cache.lookup(THIRD)
    before = {key: dict(row) for key, row in world.store.geo_cache.items()}
    state = world.cache.dirty_entries(), world.cache.negative, len(world.resolver.backoff), world.cache.entries
    requests = len(remote.requests)
    with capture_logs() as lines:
        result = await run(Bans("1.0.0.1", "1.2.3.4"), dry=True)
    assert result.figures == {"unresolved": 3, "would_retry": 3, "would_resolve_locally": 1, "invalid": 1}
    assert world.store.geo_cache == before
    assert state == (
        world.cache.dirty_entries(),
        world.cache.negative,
        len(world.resolver.backoff),
        world.cache.entries,
    )
    assert len(remote.requests) == requests
    assert lines == []
