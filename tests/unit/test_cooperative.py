"""Going through much in turns with the other tasks of the event loop."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.cooperative import WHILE, yielding


@given(items=st.lists(st.integers(), max_size=20), size=st.integers(1, 7))
def test_all_items_come_in_their_order_in_slices_of_the_size(items: list[int], size: int) -> None:
    async def slices() -> list[list[int]]:
        return [some async for some in yielding(items, size)]

    found = asyncio.run(slices())
    assert [item for some in found for item in some] == items
    assert all(len(some) == size for some in found[:-1])
    assert all(0 < len(some) <= size for some in found[-1:])


async def test_others_have_a_turn_after_each_slice() -> None:
    turns: list[str] = []

    async def other() -> None:
        while len(turns) < 6:
            turns.append("other")
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    async for some in yielding("abc", 1):
        turns.extend(some)
    await task
    assert turns[:6] == ["a", "other", "b", "other", "c", "other"]


async def test_others_have_as_many_turns_as_they_are_to_have() -> None:
    turns: list[str] = []

    async def other() -> None:
        while len(turns) < 8:
            turns.append("other")
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    async for some in yielding("ab", 1, turns=3, timer=lambda: 0.0):
        turns.extend(some)
    await task
    assert turns[:8] == ["a", "other", "other", "other", "b", "other", "other", "other"]


async def test_others_that_do_much_in_a_turn_have_fewer_turns() -> None:
    now = 0.0

    async def other() -> None:
        nonlocal now
        while True:
            now += 0.75 * WHILE
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await asyncio.sleep(0)
    async for _ in yielding("ab", 1, turns=100, timer=lambda: now):
        began = now
    assert now - began == pytest.approx(1.5 * WHILE)
    task.cancel()
