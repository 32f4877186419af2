"""The table of entries against a plain dict, which entries make room, and what a walk sees."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bangeod.addresses import octets, spellings, text_of
from bangeod.geo.cache import table as table_module
from bangeod.geo.cache.places import WalkedPlaces
from bangeod.geo.cache.table import SAMPLE, EntryTable
from bangeod.model import UNKNOWN, DirtyEntry, Geo, Row
from tests.unit.geo.cache.test_places import GEOS, exactly

LAST_SECOND = 2**32 - 1
IPV4 = st.sampled_from([*(f"8.8.8.{i}" for i in range(12)), "8.8.9.8", "1.1.1.1", "1.0.0.1", "1.1.0.1"])
IPV6 = st.sampled_from(
    [
        "2a00::",
        "2a00::1",
        "2a00:1::",
        "2606:4700:4700::1111",
        "2002:808:808::1",
        "64:ff9b::808:808",
        "2001:0:1::f7f7:f7f7",
    ]
)
IPS = st.one_of(IPV4, IPV6)
SPELLED = IPS.flatmap(lambda ip: st.sampled_from(spellings(ip)))
NO_ADDRESSES = st.sampled_from(
    ["", "8.8.8", "8.8.8.8/32", " 8.8.8.8", "fe80::1%eth0", "example.org", "\ud800", "8.8\0", "<bytes>"]
)
SHARED = [UNKNOWN, Geo("DE", "Germany"), Geo("DE", "Germany"), Geo(asn="AS1"), Geo("FR", None, "AS1", "Ä")]
TIMES = st.one_of(st.integers(-(2**40), 2**40), st.integers(1_700_000_000, 1_700_000_009))


def kept(seen: int) -> int:
    """Return what the table keeps of a time."""
    return min(max(seen, 0), LAST_SECOND)


def canonical(ip: str) -> str:
    return next(known for known in ALL if ip in spellings(known))


# As in a walk, some places are the same objects.
ROWS = st.lists(st.builds(Row, SPELLED, st.one_of(st.sampled_from(SHARED), GEOS), st.one_of(st.none(), TIMES)))
ALL = [*(f"8.8.8.{i}" for i in range(12)), "8.8.9.8", "1.1.1.1", "1.0.0.1", "1.1.0.1"]
ALL += ["2a00::", "2a00::1", "2a00:1::", "2606:4700:4700::1111", "2002:808:808::1", "64:ff9b::808:808"]
ALL += ["2001:0:1::f7f7:f7f7"]


class AgainstADict(RuleBasedStateMachine):
    """Whatever is done to it, it holds what a dict by canonical address would."""

    def __init__(self) -> None:
        super().__init__()
        self.table = EntryTable()
        self.model: dict[str, tuple[Geo, int]] = {}
        self.walked = WalkedPlaces()

    @rule(ip=SPELLED, geo=GEOS, seen=TIMES)
    def put(self, ip: str, geo: Geo, seen: int) -> None:
        self.table.put(ip, geo, seen)
        known = self.model.get(canonical(ip))
        self.model[canonical(ip)] = geo, max(kept(seen), known[1] if known else 0)

    @rule(rows=ROWS)
    def add_all(self, rows: list[Row]) -> None:
        known = set(self.model)
        there = []
        for row in rows:
            ip = canonical(row.key)
            if ip in known:
                there.append((ip, row))
            else:
                self.model[ip] = row.geo, kept(row.last_seen or 0)
            known.add(ip)
        found = self.table.add_all([octets(row.key) for row in rows], rows, self.walked)
        assert sorted(((text_of(address), id(row)) for address, row in found)) == sorted(
            (ip, id(row)) for ip, row in there
        )

    @rule(
        entries=st.lists(st.builds(DirtyEntry, st.one_of(IPS, NO_ADDRESSES), GEOS, TIMES, st.just(1)), max_size=8),
    )
    def add_new(self, entries: list[DirtyEntry]) -> None:
        new = []
        for entry in entries:
            if octets(entry.ip) and entry.ip not in self.model:
                self.model[entry.ip] = entry.geo, kept(entry.last_seen)
                new.append(entry)
        assert list(map(id, self.table.add_new(entries))) == list(map(id, new))

    @rule(start=st.integers(0, 500), count=st.integers(1, 400), geo=GEOS, seen=TIMES)
    def put_many(self, start: int, count: int, geo: Geo, seen: int) -> None:
        for number in range(start, start + count):
            ip = f"9.9.{number // 256}.{number % 256}"
            self.table.put(ip, geo, seen)
            self.model[ip] = geo, max(kept(seen), self.model.get(ip, (geo, 0))[1])

    @rule(ip=SPELLED)
    def remove(self, ip: str) -> None:
        self.table.remove(ip)
        self.model.pop(canonical(ip), None)

    @rule(start=st.integers(0, 500), count=st.integers(1, 400))
    def remove_many(self, start: int, count: int) -> None:
        for number in range(start, start + count):
            ip = f"9.9.{number // 256}.{number % 256}"
            self.table.remove(ip)
            self.model.pop(ip, None)

    @rule(ip=SPELLED, seen=TIMES)
    def see(self, ip: str, seen: int) -> None:
        self.table.see(ip, seen)
        if known := self.model.get(canonical(ip)):
            self.model[canonical(ip)] = known[0], max(kept(seen), known[1])

    @rule()
    def keep_in_writing(self) -> None:
        for ip, (geo, _) in self.model.items():
            for spelled in spellings(ip):
                self.table.hot.keep(spelled, written(geo), seen=LAST_SECOND, now=LAST_SECOND)

    @rule(ip=NO_ADDRESSES, geo=GEOS)
    def put_what_is_no_address(self, ip: str, geo: Geo) -> None:
        self.table.put(ip, geo, 1)
        assert ip not in self.table
        assert self.table.get(ip) is None
        assert self.table.find([ip]) == [None]
        self.table.see(ip, 1)
        self.table.remove(ip)

    @rule(excess=st.integers(1, 20), keep=st.sets(IPS))
    def evict(self, excess: int, keep: set[str]) -> None:
        count = max(len(self.model) // 20, excess)
        oldest = sorted(self.model[ip][1] for ip in self.model.keys() - keep)[:count]
        assert self.table.evict(excess, keep) == len(oldest)
        left = {ip for ip, _, _ in self.table.items()}
        gone = self.model.keys() - left
        assert sorted(self.model[ip][1] for ip in gone) == oldest
        assert not gone & keep
        self.model = {ip: self.model[ip] for ip in left}

    @rule()
    def clear(self) -> None:
        self.table.clear()
        self.model.clear()

    @rule(ips=st.lists(st.one_of(SPELLED, NO_ADDRESSES), max_size=8))
    def look(self, ips: list[str]) -> None:
        found = self.table.find(ips)
        for ip, numbers in zip(ips, found, strict=True):
            known = self.model.get(canonical(ip)) if octets(ip) else None
            assert (ip in self.table) == (known is not None)
            assert shown(self.table.entry(ip)) == shown(known)
            assert self.table.last_seen(ip) == (known[1] if known else 0)
            assert (numbers is None) == (known is None)
            if numbers is not None:
                assert shown((self.table.place(numbers[1]), numbers[0])) == shown(known)

    @invariant()
    def they_hold_the_same(self) -> None:
        assert len(self.table) == len(self.model)
        held = {ip: shown((geo, seen)) for ip, geo, seen in self.table.items()}
        assert held == {ip: shown(entry) for ip, entry in self.model.items()}
        assert sorted(ip for some in self.table.addresses() for ip in some) == sorted(self.model)
        asked = [*ALL, *self.model]
        for ip, text in zip(asked, self.table.hot.get_all(asked, LAST_SECOND), strict=True):
            assert text is None or text == written(self.model[ip][0])


def written(geo: Geo) -> str:
    return repr(exactly(geo))


def shown(entry: tuple[Geo, int] | None) -> Any:
    return None if entry is None else (exactly(entry[0]), entry[1])


AgainstADict.TestCase.settings = settings(deadline=None, stateful_step_count=20)
TestAgainstADict = AgainstADict.TestCase


def test_entries_of_one_place_share_it() -> None:
    table = EntryTable()
    for ip in ("8.8.8.8", "9.9.9.9"):
        table.put(ip, Geo("DE", "Germany"), 1)
    assert table.get("8.8.8.8") is table.get("9.9.9.9")


def test_a_canonical_text_is_made_for_who_asks() -> None:
    table = EntryTable()
    for ip in ("::FFFF:8.8.8.8", "2A00:0000:0000:0000:0000:0000:0000:0001", "64:FF9B::808:808"):
        table.put(ip, Geo("DE"), 1)
    assert sorted(ip for some in table.addresses() for ip in some) == ["2a00::1", "64:ff9b::808:808", "8.8.8.8"]
    assert sorted(ip for ip, _, _ in table.items()) == ["2a00::1", "64:ff9b::808:808", "8.8.8.8"]


@given(
    st.dictionaries(IPS, st.integers(0, 5), min_size=1),
    st.integers(1, 14),
    st.sets(IPS),
)
def test_of_a_small_table_the_oldest_go_that_need_not_be_kept(
    seen: dict[str, int], excess: int, keep: set[str]
) -> None:
    table = EntryTable()
    for ip, at in seen.items():
        table.put(ip, Geo("DE"), at)
    free = sorted(at for ip, at in seen.items() if ip not in keep)
    assert table.evict(excess, keep) == min(excess, len(free))
    left = {ip for ip, _, _ in table.items()}
    assert left >= seen.keys() & keep
    assert sorted(seen[ip] for ip in seen.keys() - left) == free[:excess]


def large(count: int) -> EntryTable:
    """Return a table whose entries were seen at 0, 1, 2 and so on."""
    table = EntryTable()
    for i in range(count):
        ip = f"{i // 65_536 + 1}.{i // 256 % 256}.{i % 256}.1" if i % 4 else f"2a00::{i:x}"
        table.put(ip, Geo("DE"), i)
    return table


def test_of_a_large_table_old_ones_go_a_few_at_a_time_and_in_the_end_enough() -> None:
    count = 4 * SAMPLE
    table = large(count)
    gone = 0
    while len(table) > count // 2:
        evicted = table.evict(len(table) - count // 2, ())
        assert 0 < evicted <= SAMPLE // 10
        gone += evicted
    assert len(table) == count - gone
    left = sorted(seen for _, _, seen in table.items())
    assert left[len(left) // 10] > count // 4  # next to none of the oldest quarter is left


def test_an_eviction_looks_at_few_shards_where_many_more_entries_are_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "MOST_SHARDS", 10)
    table = EntryTable()
    for number in range(100):
        table.put(f"8.8.8.{number}", Geo("DE"), number)
    table.expect(10_000, 0)
    evictions = [table.evict(1, ()) for _ in range(50)]
    assert max(evictions) < 10
    assert sum(evictions) == 100 - len(table) > 0


def test_room_that_became_free_is_used_again() -> None:
    table = EntryTable()
    for i in range(1_000):
        table.put("8.8.8.8", Geo("DE"), i)
        table.remove("8.8.8.8")
    assert len(table) == 0
    assert table._ipv4._shards == [b""]


@pytest.mark.parametrize("others", ["come", "go"])
def test_a_walk_misses_none_of_those_that_stay(others: str) -> None:
    table = large(3_000)
    before = {ip for ip, _, _ in table.items()}
    staying = {ip for number, ip in enumerate(sorted(before)) if number % 10 == 0}
    seen: set[str] = set()
    for step, some in enumerate(table.addresses()):
        seen.update(some)
        if others == "come":
            for number in range(min(step, 30) * 100, min(step, 30) * 100 + 100):
                table.put(f"99.{number // 256}.{number % 256}.1", Geo("DE"), 1)
        else:
            for ip in before - staying:
                table.remove(ip)
    assert seen >= staying


def test_a_walk_survives_that_the_table_is_cleared() -> None:
    table = large(3_000)
    for some in table.addresses():
        assert some
        table.clear()
    assert len(table) == 0
