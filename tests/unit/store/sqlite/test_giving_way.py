"""When a job keeps quiet for others who read, and for how long: looks passed in, on a clock of the test's own."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest

from bangeod.store.sqlite.giving_way import (
    COPY_SPEED,
    GAP_EVERY,
    GAP_FOR_COPY,
    GAP_SHARE,
    GONE,
    LONGEST_PAUSE,
    LOOK_EVERY,
    NEEDED_BY,
    NEW_RUN,
    SHARE_OF_RUN,
    SHORTEST_GAP,
    GivingWay,
)
from bangeod.store.sqlite.readers import Reader, WalView

BACKUP, REPLICATOR, WEB_APP = 11, 22, 33
SLICE = 0.007  # seconds from one slice to the next
SLOW = 0.03  # seconds of one that takes longer
FAST = 0.000_7  # seconds of one on a fast machine
SMALL = 1_000_000  # bytes
RUN = 60.0  # seconds

Readers = Callable[["World"], Iterable[Reader]]


@dataclass
class World:
    """A job that writes a slice whenever it may, and others who read, as ``readers`` says."""

    readers: Readers
    size: int = SMALL
    run: float = RUN
    blind: bool = False  # nothing can be seen of readers
    slice: float = SLICE
    others: float = math.inf  # seconds from one commit of others to the next
    now: float = 1_000.0
    began: float = 1_000.0
    commits: int = 0
    slices: int = 0
    pauses: list[tuple[float, float]] = field(default_factory=list)  # from when to when, since the begin
    way: GivingWay = field(default_factory=GivingWay)

    @property
    def time(self) -> float:
        return self.now - self.began

    def view(self) -> WalView | None:
        if self.blind:
            return None
        committed = self.commits + int(self.time / self.others)
        return WalView(committed, 4096, frames=committed, moved=0, readers=tuple(self.readers(self)))

    def go_on(self, until: float) -> "World":
        """Let the job write and wait, until ``until`` seconds after its begin."""
        while self.time < until:
            if self.way.waits(self.now, self.view(), time_left=self.run - self.time, size=self.size):
                if not self.pauses or self.pauses[-1][1] < self.time - 1.5 * LOOK_EVERY:
                    self.pauses.append((self.time, self.time))
                self.now += LOOK_EVERY
                self.pauses[-1] = (self.pauses[-1][0], self.time)
            else:
                self.commits += 1
                self.slices += 1
                self.now += self.slice
        return self

    @property
    def paused(self) -> float:
        return sum(until - since for since, until in self.pauses)


def nobody(_world: World) -> Iterable[Reader]:
    return ()


def stepping(since: float, until: float = math.inf, *, process: int = BACKUP, share: int = 1) -> Readers:
    """Read the newest state anew at each step, and be seen at each look, or at each ``share``-th."""
    looks = 0

    def readers(world: World) -> Iterable[Reader]:
        nonlocal looks
        looks += 1
        if since <= world.time < until and looks % share == 0:
            yield Reader(process, 1, world.commits)

    return readers


def standing(since: float, until: float = math.inf, *, process: int = BACKUP) -> Readers:
    """Read one state for all the time."""
    state: list[int] = []

    def readers(world: World) -> Iterable[Reader]:
        if since <= world.time < until:
            state[:] = state or [world.commits]
            yield Reader(process, 1, state[0])

    return readers


def both(*all_readers: Readers) -> Readers:
    return lambda world: [reader for readers in all_readers for reader in readers(world)]


# --- readers that are noticed ---


@pytest.mark.parametrize("duration", [FAST, SLICE, SLOW])
@pytest.mark.parametrize("reader", [stepping, standing])
def test_a_long_reader_is_noticed_within_a_second_and_given_way_to_until_it_ends(
    reader: Callable[..., Readers], duration: float
) -> None:
    world = World(reader(1.0, 4.0), slice=duration).go_on(4.9)
    ((since, until),) = world.pauses
    assert since < 2.0
    assert 4.0 <= until < 4.0 + 2 * GONE


def test_one_that_is_between_two_steps_at_many_looks_is_noticed_too() -> None:
    world = World(stepping(1.0, 4.0, share=3)).go_on(4.9)
    assert world.pauses[0][0] < 2.0
    assert world.paused > 2.0


@pytest.mark.parametrize("reader", [stepping, standing])
def test_one_that_does_not_end_is_given_way_to_for_ten_seconds_and_then_ignored(
    reader: Callable[..., Readers],
) -> None:
    world = World(reader(1.0), slice=SLOW).go_on(30.0)
    assert world.pauses[0][1] - world.pauses[0][0] == pytest.approx(LONGEST_PAUSE, abs=2 * LOOK_EVERY)
    assert all(until - since < 0.5 + SHORTEST_GAP for since, until in world.pauses[1:])


@pytest.mark.parametrize("reader", [stepping, standing])
def test_all_pauses_for_readers_take_no_more_than_their_share_of_the_run(reader: Callable[..., Readers]) -> None:
    """A timeout is not eaten up by one backup after the other."""
    many = both(*(reader(1.0 + i, 3.0 + i, process=100 + i) for i in range(0, 40, 2)))
    world = World(many, run=20.0, slice=0.015).go_on(20.0)
    assert world.paused <= SHARE_OF_RUN * 20.0 + len(world.pauses) * 2 * LOOK_EVERY
    assert world.slices > 900


def test_who_was_standing_there_before_the_run_is_not_waited_for() -> None:
    """Litestream keeps a transaction open for good."""
    world = World(standing(-1.0, process=REPLICATOR)).go_on(4.0)
    assert world.pauses == []
    assert world.way.is_held_back


def test_it_is_not_waited_for_after_it_has_renewed_its_transaction() -> None:
    renewed = both(*(standing(since, since + 0.98, process=REPLICATOR) for since in range(-1, 30)))
    world = World(renewed).go_on(4.5)
    assert world.pauses == []


def test_a_backup_is_noticed_beside_it() -> None:
    world = World(both(standing(-1.0, process=REPLICATOR), stepping(2.0, 3.0))).go_on(4.5)
    assert len(world.pauses) == 1
    assert world.paused == pytest.approx(1.0, abs=0.4)


def test_a_backup_that_began_before_the_run_is_given_way_to() -> None:
    assert World(stepping(-1.0, 2.0)).go_on(4.0).paused > 1.5


def test_a_web_app_that_reads_now_and_then_is_not_waited_for() -> None:
    world = World(stepping(0.0, process=WEB_APP, share=8)).go_on(GAP_EVERY - 0.1)
    assert world.pauses == []
    assert not world.way.is_held_back


def test_a_pause_ends_soon_where_others_commit_all_the_time() -> None:
    """The copy would begin anew with each of their commits."""
    world = World(stepping(1.0), others=0.05, size=200_000_000).go_on(4.9)
    assert world.paused < 0.5


def test_a_few_commits_of_others_do_not_end_it() -> None:
    world = World(stepping(1.0, 3.0), others=0.6, size=200_000_000).go_on(4.9)
    assert world.paused > 1.5


def test_after_a_while_without_any_writing_a_run_begins_anew() -> None:
    first = World(standing(1.0), slice=SLOW).go_on(13.0)
    later = first.now + NEW_RUN + 1
    assert World(standing(1.0), now=later, began=later, way=first.way).go_on(4.0).paused > 1.0


# --- gaps ---


def test_a_gap_in_which_nobody_reads_ends_at_once() -> None:
    world = World(nobody, slice=SLOW).go_on(RUN)
    assert len(world.pauses) > 5
    assert world.paused <= len(world.pauses) * (NEEDED_BY + 2 * LOOK_EVERY)


def test_where_readers_cannot_be_seen_each_gap_is_whole() -> None:
    world = World(nobody, blind=True).go_on(2 * GAP_EVERY)
    ((since, until),) = world.pauses
    assert since == pytest.approx(GAP_EVERY, abs=0.02)
    assert until - since == pytest.approx(SHORTEST_GAP, abs=0.02)


def test_a_gap_stays_for_one_that_reads_too_seldom_to_be_noticed() -> None:
    world = World(stepping(0.0, share=8)).go_on(GAP_EVERY + 2.0)
    assert world.paused == pytest.approx(SHORTEST_GAP, abs=0.05)


@pytest.mark.parametrize("blind", [True, False], ids=["unseen", "seen"])
@pytest.mark.parametrize("megabytes", [1, 300, 1_000, 2_500])
def test_a_whole_copy_fits_into_a_gap_and_all_gaps_take_a_fifth_at_most(megabytes: int, *, blind: bool) -> None:
    world = World(stepping(0.0, share=8), size=megabytes * 1_000_000, blind=blind, slice=SLOW).go_on(RUN)
    needed = GAP_FOR_COPY * world.size / COPY_SPEED
    assert world.pauses
    assert all(until - since >= needed - 0.02 for since, until in world.pauses)
    assert world.paused <= GAP_SHARE * RUN + 0.1


@pytest.mark.parametrize(
    ("run", "megabytes", "gaps"), [(28.0, 1_200, 1), (28.0, 1_300, 0), (58.0, 2_500, 1), (58.0, 2_700, 0)]
)
def test_up_to_which_size_a_copy_finds_a_gap_depends_on_the_time_of_the_run(
    run: float, megabytes: int, gaps: int
) -> None:
    assert len(World(nobody, size=megabytes * 1_000_000, run=run, blind=True, slice=SLOW).go_on(run).pauses) == gaps


@pytest.mark.parametrize("time_left", [0.0, -1.0, math.inf])
def test_without_time_nothing_waits_nor_for_one_who_does_not_say(time_left: float) -> None:
    world = World(stepping(0.0)).go_on(1.0)
    assert world.pauses
    assert not world.way.waits(world.now, world.view(), time_left=time_left, size=SMALL)


def test_a_gap_ends_soon_where_others_commit_all_the_time() -> None:
    world = World(stepping(0.0, share=8), others=0.05, size=200_000_000).go_on(GAP_EVERY + 2.0)
    assert 0 < world.paused < 0.3
