"""The table of entries against a plain dict, and which entries make room."""

from hypothesis import given, settings
from hypothesis import strategies as st

from bangeod.geo.cache.table import SAMPLE, EntryTable
from bangeod.model import Geo

IPS = st.sampled_from([f"8.8.8.{i}" for i in range(12)])
GEOS = st.sampled_from([Geo(), Geo("DE"), Geo("DE", "Germany"), Geo("FR")])
TIMES = st.integers(0, 2**33)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), IPS, GEOS, TIMES),
        st.tuples(st.just("remove"), IPS, GEOS, TIMES),
        st.tuples(st.just("clear"), IPS, GEOS, TIMES),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(STEPS)
def test_it_is_a_dict_of_place_and_time(steps: list[tuple[str, str, Geo, int]]) -> None:
    table = EntryTable()
    model: dict[str, tuple[Geo, int]] = {}
    for step, ip, geo, seen in steps:
        if step == "put":
            table.put(ip, geo, seen)
            model[ip] = geo, max(seen, model.get(ip, (geo, 0))[1])
        elif step == "remove":
            table.remove(ip)
            model.pop(ip, None)
        elif step == "clear":
            table.clear()
            model.clear()
        assert len(table) == len(model)
        assert table.entry(ip) == model.get(ip)
        assert (table.get(ip), table.last_seen(ip)) == model.get(ip, (None, 0))
        assert (ip in table) == (ip in model)
    assert {ip: (geo, seen) for ip, geo, seen in table.items()} == model
    assert {ip for shard in table.addresses() for ip in shard} == model.keys()


def test_entries_of_one_place_share_it() -> None:
    table = EntryTable()
    for ip in ("8.8.8.8", "9.9.9.9"):
        table.put(ip, Geo("DE", "Germany"), 1)
    assert table.get("8.8.8.8") is table.get("9.9.9.9")


@settings(deadline=None)
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
    free = sorted((at, ip) for ip, at in seen.items() if ip not in keep)
    assert table.evict(excess, keep) == min(excess, len(free))
    assert {ip for ip, _, _ in table.items()} == seen.keys() - {ip for _, ip in free[:excess]}


def test_of_a_large_table_old_ones_go_a_few_at_a_time_and_in_the_end_enough() -> None:
    table = EntryTable()
    count = 4 * SAMPLE
    for i in range(count):
        table.put(f"{i // 65_536 + 1}.{i // 256 % 256}.{i % 256}.1", Geo("DE"), i)
    gone = 0
    while len(table) > count // 2:
        evicted = table.evict(len(table) - count // 2, ())
        assert 0 < evicted <= SAMPLE // 10
        gone += evicted
    assert len(table) == count - gone
    left = sorted(seen for _, _, seen in table.items())
    assert left[len(left) // 10] > count // 4  # next to none of the oldest quarter is left


def test_a_slot_that_became_free_is_used_again() -> None:
    table = EntryTable()
    for i in range(1_000):
        table.put("8.8.8.8", Geo("DE"), i)
        table.remove("8.8.8.8")
    assert len(table) == 0
    assert max(len(shard.geos) for shard in table._shards) == 1
