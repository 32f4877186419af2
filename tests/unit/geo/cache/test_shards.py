"""Packed maps against a plain dict; how small they stay, and what a walk sees while they change."""

import sys
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bangeod.geo.cache.shards import FEW, FULL, LARGEST, LARGEST_NARROW, SPARSE, Shards

WIDTH = 4
# Keys of few different octets look like one another where one ends and the next begins.
KEYS = st.one_of(
    st.lists(st.sampled_from([0, 1, 8]), min_size=WIDTH, max_size=WIDTH).map(bytes),
    st.integers(0, 600).map(lambda number: number.to_bytes(WIDTH)),
)
NUMBERS = st.one_of(st.sampled_from([0, 1, LARGEST_NARROW, LARGEST_NARROW + 1, LARGEST]), st.integers(0, LARGEST))


class AgainstADict(RuleBasedStateMachine):
    """Whatever is done to them, they hold what a dict would."""

    def __init__(self) -> None:
        super().__init__()
        self.shards = Shards(WIDTH)
        self.model: dict[bytes, tuple[int, int]] = {}

    @rule(key=KEYS, first=NUMBERS, second=NUMBERS)
    def add(self, key: bytes, first: int, second: int) -> None:
        assert self.shards.add(key, first, second) == (key not in self.model)
        self.model.setdefault(key, (first, second))

    @rule(start=st.integers(0, 600), count=st.integers(1, 300), second=NUMBERS)
    def add_many(self, start: int, count: int, second: int) -> None:
        for number in range(start, start + count):
            self.add(number.to_bytes(WIDTH), number, second)

    @rule(records=st.lists(st.tuples(KEYS, NUMBERS, NUMBERS), max_size=200))
    def add_all(self, records: list[tuple[bytes, int, int]]) -> None:
        there = []
        for number, (key, first, second) in enumerate(records):
            if key in self.model:
                there.append(number)
            self.model.setdefault(key, (first, second))
        assert self.shards.add_all([(*record, number) for number, record in enumerate(records)]) == there

    @rule(key=KEYS, first=NUMBERS, second=NUMBERS)
    def change(self, key: bytes, first: int, second: int) -> None:
        if key in self.model:
            self.shards.change(key, first, second)
            self.model[key] = first, second

    @rule(key=KEYS, first=NUMBERS)
    def raise_first(self, key: bytes, first: int) -> None:
        self.shards.raise_first(key, first)
        if key in self.model:
            self.model[key] = max(first, self.model[key][0]), self.model[key][1]

    @rule(keys=st.integers(0, 2_000))
    def expect(self, keys: int) -> None:
        self.shards.expect(keys)
        assert self.shards.count > keys // FULL

    @rule(most=st.integers(0, 30))
    def settle(self, most: int) -> None:
        before = self.shards.count
        left = self.shards.settle(most)
        assert before - most <= self.shards.count <= before
        assert left == (len(self.shards) < (self.shards.count - 1) * SPARSE)

    @rule(least=NUMBERS)
    def tally(self, least: int) -> None:
        counts: Counter[int] = Counter()
        assert set(self.shards.tally(counts, least)) == {None}
        assert counts == Counter(second for first, second in self.model.values() if first >= least)

    @rule(key=KEYS)
    def remove(self, key: bytes) -> None:
        assert self.shards.remove(key) == (self.model.pop(key, None) is not None)

    @rule(start=st.integers(0, 600), count=st.integers(1, 300))
    def remove_many(self, start: int, count: int) -> None:
        for number in range(start, start + count):
            self.remove(number.to_bytes(WIDTH))

    @rule(keys=st.lists(KEYS))
    def get(self, keys: list[bytes]) -> None:
        expected = [self.model.get(key) for key in keys]
        assert [self.shards.get(key) for key in keys] == expected
        assert self.shards.get_all(Shards(2), keys) == expected

    @invariant()
    def they_hold_the_same(self) -> None:
        assert len(self.shards) == len(self.model)
        pairs = [pair for number in range(self.shards.count) for pair in self.shards.pairs_of(number)]
        assert sorted(pairs) == sorted(self.model.items())
        assert sorted(key for keys in self.shards.walk() for key in keys) == sorted(self.model)


AgainstADict.TestCase.settings = settings(deadline=None, stateful_step_count=20)
TestAgainstADict = AgainstADict.TestCase


def filled(count: int, second: int = 0) -> Shards:
    shards = Shards(WIDTH)
    for number in range(count):
        shards.add(number.to_bytes(WIDTH), number, second)
    return shards


def test_a_value_that_looks_like_a_key_is_none() -> None:
    shards = filled(1)
    time = 1_800_000_000
    shards.add(b"\x08\x08\x08\x08", time, 0)
    looks_like_one = time.to_bytes(4, "little")
    assert shards.get(looks_like_one) is None
    assert shards.get_all(Shards(2), [looks_like_one]) == [None]
    assert shards.add(looks_like_one, 1, 1)


@pytest.mark.parametrize("keys", [999, 27, 28, 28 * 7, 28 * 8, 28 * 9, 100_000])
def test_as_many_keys_as_were_expected_divide_no_shard(keys: int) -> None:
    shards = filled(10)
    shards.expect(keys)
    before = shards.count
    for number in range(keys):
        shards.add(number.to_bytes(WIDTH), number, 1)
    assert shards.count == before == keys // FULL + 1
    assert [shards.get(number.to_bytes(WIDTH)) for number in range(10, keys)] == [(n, 1) for n in range(10, keys)]
    assert shards.get(b"\0\0\0\1") == (1, 0)
    assert max(len(shards.pairs_of(number)) for number in range(shards.count)) < 4 * FULL


def test_once_there_are_many_keys_none_is_moved_for_those_that_are_expected() -> None:
    shards = filled(FEW + 1)
    before = shards.count
    shards.expect(1_000_000)
    assert shards.count == before


def test_room_for_keys_that_did_not_come_is_given_back_in_steps() -> None:
    shards = filled(500)
    shards.expect(100_000)
    steps = 0
    while shards.settle(100):
        steps += 1
    assert steps == 100_000 // FULL // 100
    assert shards.count == 500 // SPARSE + 1
    assert all(shards.get(number.to_bytes(WIDTH)) == (number, 0) for number in range(500))


def test_during_a_walk_no_room_is_given_back() -> None:
    shards = filled(500)
    shards.expect(10_000)
    walk = shards.walk()
    next(walk)
    assert not shards.settle(100)
    assert shards.count == 10_000 // FULL + 1


def test_a_walk_misses_no_key_when_more_are_expected_meanwhile() -> None:
    shards = filled(500)
    seen: list[bytes] = []
    for step, keys in enumerate(shards.walk()):
        seen += keys
        if step == 3:
            shards.expect(5_000)
    assert set(seen) == {number.to_bytes(WIDTH) for number in range(500)}


def test_no_shard_becomes_much_larger_than_the_others() -> None:
    shards = filled(100_000)
    assert max(len(shards.pairs_of(number)) for number in range(shards.count)) < 4 * FULL


def test_an_empty_one_takes_next_to_nothing() -> None:
    assert sum(map(sys.getsizeof, Shards(WIDTH)._shards)) < 100


def test_what_is_removed_gives_its_room_back() -> None:
    shards = filled(10_000)
    for number in range(9_995):
        shards.remove(number.to_bytes(WIDTH))
    assert shards.count == 1


def test_many_second_numbers_cost_room_only_where_they_are() -> None:
    shards = filled(10_000)
    shards.add(b"\x08\x08\x08\x08", 1, LARGEST)
    assert sum(len(shard) % 2 for shard in shards._shards) == 1
    shards.change(b"\x08\x08\x08\x08", 1, 0)
    assert sum(map(len, shards._shards)) == 10_001 * (WIDTH + 6)


@pytest.mark.parametrize("change", ["add", "remove"])
def test_a_walk_sees_all_that_stays_while_others_come_and_go(change: str) -> None:
    shards = filled(2_000)
    seen: list[bytes] = []
    for step, keys in enumerate(shards.walk()):
        seen += keys
        for number in range(2_000 + step * 200, 2_200 + step * 200) if change == "add" else keys[10:]:
            if isinstance(number, int):
                if number < 10_000:
                    shards.add(number.to_bytes(WIDTH), 0, 0)
            else:
                shards.remove(number)
    assert {number.to_bytes(WIDTH) for number in range(2_000)} <= set(seen)


def test_a_tally_is_of_one_moment_whatever_comes_and_goes_while_it_is_made() -> None:
    shards = filled(10_000)
    counts: Counter[int] = Counter()
    for step, _ in enumerate(shards.tally(counts, 0)):
        for number in range(step * 1_000, step * 1_000 + 1_000):
            shards.remove((9_999 - number).to_bytes(WIDTH))
            shards.add((20_000 + number).to_bytes(WIDTH), 0, 7)
    assert step > 1
    assert counts == {0: 10_000}


def test_after_a_walk_that_was_not_ended_shards_are_joined_again() -> None:
    shards = filled(2_000)
    walk = shards.walk()
    next(walk)
    before = shards.count
    for number in range(1_000):
        shards.remove(number.to_bytes(WIDTH))
    assert shards.count == before
    del walk
    for number in range(1_000, 2_000):
        shards.remove(number.to_bytes(WIDTH))
    assert shards.count == 1
