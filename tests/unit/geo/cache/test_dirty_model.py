"""The dirty set against a model: whatever fails, each address's newest entry is in the dirty set or in the table."""

import asyncio
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bangeod.clock import to_text
from bangeod.errors import StoreError, StoreFullError, StoreLockedError
from bangeod.model import Geo
from tests.support.examples import at_most
from tests.support.fakes import World

IPS = [f"8.8.8.{i}" for i in range(6)]
ADDRESSES = st.sampled_from(IPS)
FAULTS = st.sampled_from([StoreLockedError("memory", "locked", "wait"), StoreFullError("memory", "full", "make room")])


class DirtySetMachine(RuleBasedStateMachine):
    """Lookups, flushes that go well, fail, are held up or cancelled, and restarts, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.world = World()
        self.countries: dict[str, str | None] = {}  # what must not get lost
        self.seen: dict[str, int] = {}
        self.flush: asyncio.Task[int] | None = None

    def teardown(self) -> None:
        try:
            self.end_of_flush()
            self.world.store._faults.clear()
            self.do(self.world.cache.flush_dirty())
        finally:
            self.loop.close()
        for ip, country in self.countries.items():
            row = self.world.store.geo_cache[ip]
            assert (row["country_code"], row["last_seen"]) == (country, to_text(self.seen[ip]))
        assert self.world.cache.dirty == 0

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    @rule(ip=ADDRESSES, known=st.booleans())
    def look_up(self, ip: str, known: bool) -> None:
        if self.flush is not None and not self.world.store.gate.is_set():
            return  # the lookup's own look at the database would wait as well
        self.world.clock.advance(86_400)
        if known:
            self.world.local.places[ip] = Geo("DE")
        answer = self.do(self.world.cache.lookup(ip))
        self.countries[ip] = self.countries.get(ip) or answer.geo.country_code
        self.seen[ip] = self.world.now

    @rule(ip=ADDRESSES)
    def see(self, ip: str) -> None:
        if self.world.cache.known(ip) is not None:
            self.world.clock.advance(86_400)
            self.world.cache.lookup_cached_only([ip])
            self.seen[ip] = self.world.now

    @rule(fault=FAULTS, after=st.integers(0, 3))
    def break_the_database(self, fault: StoreError, after: int) -> None:
        self.world.store.fail_next(fault, after=after)

    @precondition(lambda self: self.flush is None)
    @rule(held=st.booleans(), steps=st.integers(0, 12), left=st.sampled_from([0.0, 1.0]))
    def begin_to_flush(self, held: bool, steps: int, left: float) -> None:
        async def begin() -> None:
            self.flush = asyncio.create_task(self.world.cache.flush_dirty(lambda: left))
            for _ in range(steps):
                await asyncio.sleep(0)
            if held:
                self.world.store.gate.clear()

        self.do(begin())

    @precondition(lambda self: self.flush is not None)
    @rule(cancelled=st.booleans())
    def end_of_flush(self, cancelled: bool = False) -> None:
        if self.flush is None:
            return
        if cancelled:
            self.flush.cancel()
        self.world.store.gate.set()
        self.do(asyncio.wait([self.flush]))
        assert self.flush.cancelled() or isinstance(self.flush.exception(), StoreError | None)
        self.flush = None

    @precondition(lambda self: self.flush is None)
    @rule()
    def restart(self) -> None:
        """Carry what is left over to a new process; memory is gone, the table is not."""
        left = self.world.cache.dirty_entries()
        before = self.world
        self.world = fresh_world(before)
        self.world.cache.restore_dirty(left)
        self.do(self.world.cache.load_from_db())

    @rule()
    def clear(self) -> None:
        self.world.cache.clear()
        if self.flush is None:
            self.world.store._faults.clear()
            self.do(self.world.cache.load_from_db())

    @invariant()
    def nothing_is_lost(self) -> None:
        dirty = self.world.dirty
        for ip, country in self.countries.items():
            row = self.world.store.geo_cache.get(ip, {})
            waiting = dirty.get(ip)
            assert country in {row.get("country_code"), waiting.geo.country_code if waiting else None}
            assert to_text(self.seen[ip]) in {row.get("last_seen"), to_text(waiting.last_seen) if waiting else None}

    @invariant()
    def what_waits_is_in_memory(self) -> None:
        assert all(self.world.cache.known(ip) is not None for ip in self.world.dirty)


def fresh_world(before: World) -> World:
    """Make a new process's cache over the old one's table and clock."""
    world = World()
    world.clock.advance(before.clock.monotonic() - world.clock.monotonic())
    world.store.geo_cache = before.store.geo_cache
    return world


TestDirtySet = DirtySetMachine.TestCase
TestDirtySet.settings = settings(max_examples=at_most(60), stateful_step_count=30, deadline=None)
