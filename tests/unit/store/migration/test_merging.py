"""What becomes of a row that both sides have."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.store.migration.merging import Decision, Merge, Standing
from tests.unit.store.migration.columns import column

NAMES = ("country_code", "country_name", "org", "cached_at", "last_seen")
MERGE = Merge([column(name) for name in NAMES])
COUNTRY, ORG, CACHED, SEEN = 0, 2, 3, 4

Row = tuple[str | None, ...]


def row(country: str | None = "DE", org: str | None = "Org", cached: str | None = "5", seen: str | None = "5") -> Row:
    """Return a row; times in microseconds."""
    return country, f"Land {country}" if country else None, org, cached, seen


def merged(ours: Row, theirs: Row, decision: Decision) -> Row:
    return tuple(ours[n] if n in decision.taken else theirs[n] for n in range(len(NAMES)))


@pytest.mark.parametrize(
    ("ours", "theirs", "standing", "result"),
    [
        (row(), row(), Standing.SAME, row()),
        (row(seen="6"), row(), Standing.BEHIND, row(seen="6")),
        (row(), row(seen="6"), Standing.AHEAD, row(seen="6")),
        (row("FR", cached="6"), row(), Standing.BEHIND, row("FR", cached="6")),
        (row("FR", None, cached="6"), row(), Standing.BEHIND, row("FR", None, cached="6")),
        (row("DE", None, cached="6"), row(), Standing.BEHIND, row("DE", "Org", cached="6")),
        (row("FR"), row(cached="6"), Standing.AHEAD, row(cached="6")),
        (row(None, None, cached="9"), row(), Standing.AHEAD, row()),
        (row(None, None, seen="9"), row(), Standing.BEHIND, row(seen="9")),
        (row("DE", cached="4"), row(None, None), Standing.BEHIND, row("DE", cached="5")),
        (row(), row(org=None), Standing.BEHIND, row()),
        (row(org=None), row(), Standing.AHEAD, row()),
        (row("FR"), row(), Standing.DIFFERENT, row()),
        (row("FR", seen="6"), row(), Standing.BEHIND, row("FR", seen="6")),
        (row(seen="=never"), row(), Standing.AHEAD, row()),
        (row(), row(seen="=never"), Standing.AHEAD, row(seen="=never")),
        (row(), row(seen=None), Standing.BEHIND, row()),
    ],
)
def test_the_newer_of_two_rows_is_taken(ours: Row, theirs: Row, standing: Standing, result: Row) -> None:
    decision = MERGE.decide(ours, theirs)
    assert (decision.standing, merged(ours, theirs, decision)) == (standing, result)


def test_without_times_the_servers_row_stays_and_its_gaps_are_filled() -> None:
    merge = Merge([column("country_code"), column("org")])
    assert merge.decide(("DE", "Org"), ("FR", "Other")).standing is Standing.DIFFERENT
    assert merge.decide(("DE", "Org"), (None, None)) == Decision(Standing.BEHIND, (0, 1))


_TIMES = st.sampled_from([None, "=never", "1", "2", "3"])
_ROWS: st.SearchStrategy[Row] = st.builds(
    row, st.sampled_from([None, "DE", "FR"]), st.sampled_from([None, "Org", "Other"]), _TIMES, _TIMES
)


def _read(time: str | None) -> int:
    return -1 if time is None or time.startswith("=") else int(time)


@given(ours=_ROWS, theirs=_ROWS)
def test_no_country_is_taken_away_no_time_goes_back_and_a_second_run_has_nothing_to_do(ours: Row, theirs: Row) -> None:
    decision = MERGE.decide(ours, theirs)
    result = merged(ours, theirs, decision)
    assert theirs[COUNTRY] is None or result[COUNTRY] is not None
    assert _read(result[SEEN]) >= _read(theirs[SEEN])
    assert _read(result[CACHED]) >= _read(theirs[CACHED])
    assert bool(decision.taken) == (decision.standing is Standing.BEHIND)
    assert MERGE.decide(ours, result).standing is not Standing.BEHIND


@given(rows=st.lists(_ROWS, min_size=2, max_size=4), more=_ROWS)
def test_a_run_that_is_done_twice_ends_as_if_done_once(rows: Sequence[Row], more: Row) -> None:
    once = more
    for ours in rows:
        once = merged(ours, once, MERGE.decide(ours, once))
    again = once
    for ours in (rows[-1], rows[-1]):
        again = merged(ours, again, MERGE.decide(ours, again))
    assert again == once
