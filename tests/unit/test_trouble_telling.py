"""What is said of a trouble that stays: when it is news, and when it is over."""

from collections.abc import Callable, MutableMapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from bangeod.clock import SECONDS_A_DAY
from bangeod.config import Settings
from bangeod.errors import StoreError
from bangeod.jobs import registry
from bangeod.jobs.ban_watch import BanWatch
from bangeod.jobs.job import JobId, Run, Tools
from bangeod.jobs.kept_rows import KeptRows
from bangeod.trouble import LastTold, Trouble, is_news
from tests.support.fakes import World
from tests.support.manual_clock import ManualClock

DAY = SECONDS_A_DAY
SAID = LastTold("full", 10, at=0.0)


@pytest.mark.parametrize(
    ("what", "count", "after", "news"),
    [
        ("full", 10, DAY * 365, False),  # nothing has changed
        ("broken", 10, 1, True),  # another trouble
        ("full", 11, 1, False),  # one more at each run is no news
        ("full", 11, DAY - 1, False),
        ("full", 11, DAY, True),
        ("full", 19, 1, False),
        ("full", 20, 1, True),  # twice as many
        ("full", 9, 1, False),  # on the way to the end
        ("full", 1, DAY, True),
    ],
)
def test_news_is_what_has_changed_in_kind_or_by_much_or_since_yesterday(
    what: str, count: int, after: float, news: bool
) -> None:
    assert is_news(SAID, what, count, after) is news


def test_what_was_never_said_is_news() -> None:
    assert is_news(None, "full", 1, 0.0)


@given(steps=st.lists(st.integers(1, 50), min_size=1, max_size=200))
def test_a_table_to_which_bad_rows_are_added_at_each_run_is_said_a_few_times(steps: list[int]) -> None:
    trouble, rows = Trouble("kept", "gone"), 0
    with capture_logs() as lines:
        for run, more in enumerate(steps):
            rows += more
            trouble.tell(None, count=rows, now=run * 600.0, rows=rows)
    warnings = [line["rows"] for line in lines if line["log_level"] == "warning"]
    days = len(steps) * 600 // DAY
    assert len(warnings) <= 1 + rows.bit_length() + days
    assert len(lines) == len(steps)  # the rest of it at debug


def test_an_end_is_said_once_and_only_of_what_was_said() -> None:
    trouble = Trouble("kept", "gone")
    with capture_logs() as lines:
        trouble.is_over()
        trouble.tell("full")
        trouble.is_over(path="x")
        trouble.is_over()
        trouble.tell("full")
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("kept", "warning"),
        ("gone", "info"),
        ("kept", "warning"),
    ]


def told(lines: list[MutableMapping[str, Any]]) -> list[tuple[str, str]]:
    return [(line["event"], line["log_level"]) for line in lines]


def test_a_trouble_may_be_an_error() -> None:
    trouble = Trouble("failed", "recovered", level="error")
    with capture_logs() as lines:
        trouble.tell("full")
        trouble.tell("full")
        trouble.is_over()
    assert told(lines) == [("failed", "error"), ("failed", "debug"), ("recovered", "info")]


def test_a_trouble_may_be_kept_silent_about_until_it_changes() -> None:
    trouble = Trouble("failed", "recovered", repeats=False)
    with capture_logs() as lines:
        for what in ("full", "full", "broken", "broken"):
            trouble.tell(what, problem=what)
    assert [line["problem"] for line in lines] == ["full", "broken"]


def test_one_of_its_kind_may_have_an_event_of_its_own_and_the_same_end() -> None:
    trouble = Trouble("failed", "recovered")
    with capture_logs() as lines:
        trouble.tell("late", event="timed_out")
        trouble.tell("late", event="timed_out")
        trouble.is_over()
    assert told(lines) == [("timed_out", "warning"), ("timed_out", "debug"), ("recovered", "info")]


def test_what_is_forgotten_has_no_end_and_is_news_again() -> None:
    trouble = Trouble("failed", "recovered")
    with capture_logs() as lines:
        trouble.tell("full")
        trouble.forget()
        trouble.is_over()
        trouble.tell("full")
    assert told(lines) == [("failed", "warning")] * 2


def test_an_end_without_a_name_is_not_said() -> None:
    trouble = Trouble("failed")
    with capture_logs() as lines:
        trouble.tell("full")
        trouble.is_over()
        trouble.tell("full")
    assert told(lines) == [("failed", "warning")] * 2


# --- rows that jobs keep ---

Kept = Callable[..., list[str]]


@pytest.fixture
def tell() -> Kept:
    kept, clock = KeptRows(), ManualClock()

    def tell(rows: int, *, table: str = "sessions", complete: bool = True) -> list[str]:
        run = Run.within(60.0, clock)
        with capture_logs() as lines:
            kept.tell("kept", "gone", run, rows, example="x", where={"table": table}, complete=complete)
        return [line["event"] for line in lines if line["log_level"] != "debug"]

    return tell


def test_each_table_is_a_trouble_of_its_own(tell: Kept) -> None:
    assert tell(3) == ["kept"]
    assert tell(3) == []
    assert tell(3, table="geo_cache") == ["kept"]
    assert tell(0) == ["gone"]
    assert tell(3, table="geo_cache") == []


def test_a_run_that_saw_a_part_of_the_rows_says_no_end(tell: Kept) -> None:
    tell(3)
    assert tell(0, complete=False) == []
    assert tell(0) == ["gone"]


async def test_jobs_that_are_made_anew_do_not_say_again_what_was_said() -> None:
    world, kept = World(), KeptRows()
    world.store.put_geo("nonsense", last_seen="yesterday")
    world.store.put_session("yesterday")
    said: list[list[tuple[str, str | None]]] = []
    for _ in range(2):
        tools = Tools(world.store, world.cache, BanWatch(), kept)
        jobs = {job_id: registry.make(job_id, tools, Settings().jobs) for job_id in JobId}
        with capture_logs() as lines:
            for job in jobs.values():
                await job.run(Run.within(60.0, world.clock))
        said.append([(line["event"], line.get("table")) for line in lines if line["log_level"] == "warning"])
    assert said == [
        [
            ("invalid_addresses_kept", None),
            ("unreadable_times_kept", "geo_cache"),
            ("invalid_addresses_kept", None),  # of all rows by now, not of those without a country alone
            ("unreadable_times_kept", "sessions"),
        ],
        [],
    ]


async def test_a_cleanup_that_fails_or_whose_time_is_up_does_not_say_that_all_is_well() -> None:
    world, kept = World(), KeptRows()
    world.store.put_session("yesterday")

    async def run(seconds: float) -> list[str]:
        tools = Tools(world.store, world.cache, BanWatch(), kept)
        jobs = {job_id: registry.make(job_id, tools, Settings().jobs) for job_id in JobId}
        with capture_logs() as lines:
            await jobs[JobId.SESSION_CLEANUP].run(Run.within(seconds, world.clock))
        return [line["event"] for line in lines if line["event"].startswith("unreadable")]

    assert await run(60.0) == ["unreadable_times_kept"]
    world.store.sessions.clear()
    world.store.put_session("2001-01-01T00:00:00Z")
    world.store.fail_next(StoreError("memory", "broken", "wait"))
    with pytest.raises(StoreError):
        await run(60.0)
    assert await run(0.0) == []
    world.store.put_session("2001-01-01T00:00:00Z")
    assert await run(60.0) == ["unreadable_times_gone"]
