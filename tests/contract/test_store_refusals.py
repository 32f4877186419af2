"""What every store promises of rows that the database does not let go: they stay, are counted, and stop nothing."""

from contextlib import aclosing

from bangeod.clock import to_text
from tests.contract.harness import HELD_BACK, Harness
from tests.contract.values import NOW, NOW_TEXT, refused

OLD = "2000-01-01T00:00:00Z"


def nothing(_key: str) -> bool:
    return False


async def test_a_session_that_may_not_go_stays_and_the_others_go(harness: Harness) -> None:
    ids = [harness.put_session(OLD) for _ in range(700)]
    harness.hold_back("sessions", ids[400])
    for expected in (699, 0):
        keys, count, refusal = await refused(harness.store.delete_expired(NOW))
        assert (len(keys), count) == (expected, 1)
        assert refusal is not None
        assert str(ids[400]) in refusal.key
        assert refusal.problem == HELD_BACK
        assert harness.sessions() == {ids[400]: OLD}


async def test_a_row_that_may_not_go_stays_and_the_others_go(harness: Harness) -> None:
    for key in ("8.8.8.8", "::ffff:9.9.9.9", "1.1.1.1"):
        harness.put_geo(key, last_seen=OLD)
    harness.hold_back("geo_cache", "::ffff:9.9.9.9")
    for expected in (["1.1.1.1", "8.8.8.8"], []):
        found = await refused(harness.store.delete_stale(NOW, keep=nothing))
        assert found == (expected, 1, ("::ffff:9.9.9.9", HELD_BACK))
        assert list(harness.geo()) == ["::ffff:9.9.9.9"]


async def test_a_third_of_the_rows_may_stay(harness: Harness) -> None:
    keys = [f"8.8.{number // 250}.{number % 250}" for number in range(600)]
    for key in keys:
        harness.put_geo(key, last_seen=OLD)
    for key in keys[::3]:
        harness.hold_back("geo_cache", key)
    gone, count, _ = await refused(harness.store.delete_stale(NOW, keep=nothing))
    assert (gone, count) == (sorted(set(keys) - set(keys[::3])), 200)
    assert sorted(map(str, harness.geo())) == sorted(keys[::3])


async def test_a_row_that_may_go_again_goes_with_the_next_run(harness: Harness) -> None:
    harness.put_geo("8.8.8.8", last_seen=OLD)
    harness.hold_back("geo_cache", "8.8.8.8")
    assert (await refused(harness.store.delete_stale(NOW, keep=nothing))).refused == 1
    harness.let_go("geo_cache", "8.8.8.8")
    assert await refused(harness.store.delete_stale(NOW, keep=nothing)) == (["8.8.8.8"], 0, None)


async def test_a_dry_run_can_not_know(harness: Harness) -> None:
    harness.put_geo("8.8.8.8", last_seen=OLD)
    harness.hold_back("geo_cache", "8.8.8.8")
    assert (await harness.store.count_stale(NOW, keep=nothing)).matching == 1


async def test_what_stays_counts_towards_max_rows_and_is_tried_once(harness: Harness) -> None:
    harness.put_geo("old", last_seen=OLD)
    for key, seconds in (("a", 50), ("b", 40), ("c", 30), ("d", 20), ("e", 10)):
        harness.put_geo(key, last_seen=to_text(NOW - seconds))
    harness.put_geo("never", last_seen="never")
    for key in ("old", "b", "c"):
        harness.hold_back("geo_cache", key)
    found = await refused(harness.store.delete_stale(NOW - 100, keep=nothing, max_rows=5))
    assert (found.keys, found.refused) == (["a", "d"], 3)
    assert sorted(map(str, harness.geo())) == ["b", "c", "e", "never", "old"]


async def test_where_nothing_more_may_go_a_table_stays_above_max_rows(harness: Harness) -> None:
    for key in "abc":
        harness.put_geo(key, last_seen=NOW_TEXT)
        harness.hold_back("geo_cache", key)
    found = await refused(harness.store.delete_stale(NOW - 100, keep=nothing, max_rows=1))
    assert (found.keys, found.refused) == ([], 3)


async def test_rows_seen_again_while_others_are_refused_stay_and_are_not_counted(harness: Harness) -> None:
    keys = [f"8.8.{i // 256}.{i % 256}" for i in range(300)]
    for key in keys:
        harness.put_geo(key, last_seen=OLD)
        harness.hold_back("geo_cache", key)
    count = 0
    async with aclosing(harness.store.delete_stale(NOW, keep=nothing)) as slices:
        count += (await anext(slices)).refused
        for key in keys:
            harness.set_geo(key, last_seen=NOW_TEXT)
        async for deleted in slices:
            count += deleted.refused
    assert 0 < count < 300
    assert len(harness.geo()) == 300
