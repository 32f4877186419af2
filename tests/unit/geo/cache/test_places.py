"""Places by number: they come back as they were, each has one number, and few are kept as objects."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.geo.cache import places
from bangeod.geo.cache.places import KEPT, KEPT_WRITTEN, Places, WalkedPlaces
from bangeod.model import UNKNOWN, Geo

TEXT = st.one_of(
    st.none(), st.sampled_from(["", "A\0S1", "DE", "AS1", "AS01", "as1", "AS", "AS0", "AS4294967295", "AS4294967296"])
)
ODD = st.one_of(
    TEXT,
    st.text(st.characters()),
    st.text(st.characters(categories=["Cs"]), max_size=3),  # lone surrogates
    st.integers(-1, 3),
    st.booleans(),
    st.floats(),
    st.binary(max_size=3),
)
GEOS = st.builds(Geo, ODD, ODD, ODD, ODD)


def exactly(geo: Geo) -> list[tuple[type, str]]:
    """Return what tells a place from all others: 1, 1.0 and True are equal, and NaN is not equal to itself."""
    return [(type(value), repr(value)) for value in geo]


@given(st.lists(GEOS))
def test_each_place_has_one_number_and_comes_back_as_it_was(geos: list[Geo]) -> None:
    kept = Places()
    numbers = [kept.number(geo) for geo in geos]
    for geo, number in zip(geos, numbers, strict=True):
        assert exactly(kept.geo(number)) == exactly(geo)
        assert kept.number(geo) == number
    assert len(set(numbers)) == len({str(exactly(geo)) for geo in geos})


def test_values_that_are_equal_and_of_other_types_are_other_places() -> None:
    kept = Places()
    geos: list[Any] = [Geo(asn=value) for value in (1, True, 1.0)]  # type: ignore[arg-type] # as a row may hold them
    first = kept.number(geos[0])
    assert exactly(kept.geo(first)) == exactly(geos[0])
    assert [exactly(kept.geo(kept.number(geo))) for geo in geos] == [exactly(geo) for geo in geos]


def test_nothing_known_is_number_0() -> None:
    assert Places().number(UNKNOWN) == 0
    assert Places().geo(0) == UNKNOWN


def of(number: int) -> Geo:
    return Geo("DE", "Germany", f"AS{number + 1}", f"Network {number}")


def test_places_out_of_use_are_not_kept_as_objects_and_still_known() -> None:
    kept = Places()
    numbers = [kept.number(of(number)) for number in range(3 * KEPT)]
    assert max(len(kept._geos), len(kept._earlier_geos), len(kept._numbers), len(kept._earlier_numbers)) <= KEPT
    assert [kept.geo(number) for number in numbers] == [of(number) for number in range(3 * KEPT)]
    assert [kept.number(of(number)) for number in range(3 * KEPT)] == numbers
    assert max(len(kept._geos), len(kept._earlier_geos), len(kept._numbers), len(kept._earlier_numbers)) <= KEPT


def test_places_in_use_share_one_object() -> None:
    kept = Places()
    number = kept.number(of(1))
    assert kept.geo(number) is kept.geo(number)


def test_what_is_written_of_a_place_is_kept_for_those_in_use() -> None:
    kept = Places()
    asked: list[Geo] = []

    def write(geo: Geo) -> str:
        asked.append(geo)
        return str(geo.org)

    numbers = [kept.number(of(number)) for number in range(2 * KEPT_WRITTEN + 1)]
    assert [kept.written(number, write) for number in numbers] == [f"Network {place}" for place in range(len(numbers))]
    assert len(kept._written) + len(kept._earlier_written) <= 2 * KEPT_WRITTEN
    del asked[:]
    assert kept.written(numbers[-1], write) == f"Network {len(numbers) - 1}"
    assert asked == []
    assert kept.written(numbers[0], write) == "Network 0"
    assert asked == [of(0)]


def test_nothing_is_written_of_a_place_without_a_country() -> None:
    kept = Places()
    assert kept.written(kept.number(Geo(asn="AS1")), str) is None


@pytest.mark.parametrize("alike", [1, 3])
def test_places_whose_hashes_are_alike_are_told_apart(monkeypatch: pytest.MonkeyPatch, alike: int) -> None:
    """One more than there are parts of the hash is added each time, and still comes back as it was."""
    monkeypatch.setattr(places, "_SHIFTS", (0,) * alike)
    monkeypatch.setattr(places, "hash", lambda _: 0, raising=False)
    kept = Places()
    numbers = [kept.number(of(number)) for number in range(5)]
    assert [kept.geo(number) for number in numbers] == [of(number) for number in range(5)]


def test_more_names_of_countries_than_fit_are_kept_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_MOST_COUNTRIES", 2)
    monkeypatch.setattr(places, "_ODD", b"\2\0")
    kept = Places()
    geos = [Geo("DE", name) for name in ("Germany", "Deutschland", "Allemagne")]
    assert [kept.geo(kept.number(geo)) for geo in geos] == geos
    assert kept.number(geos[2]) == kept.number(geos[2])


# --- those of a walk, by their objects ---


@given(st.lists(GEOS, min_size=1), st.data())
def test_a_walk_has_the_numbers_that_its_places_have_anyway(geos: list[Geo], data: st.DataObject) -> None:
    kept, walked = Places(), WalkedPlaces()
    for _ in range(3):
        some = data.draw(st.lists(st.sampled_from(geos)))
        assert walked.numbers(kept, some) == [kept.number(geo) for geo in some]


def test_places_of_a_walk_that_have_gone_are_not_taken_for_those_that_get_their_identity() -> None:
    kept, walked = Places(), WalkedPlaces()
    for number in range(1_000):
        assert walked.numbers(kept, [of(number)]) == [number + 1]  # 0 is what is not known


def test_after_a_table_was_cleared_a_walk_has_the_numbers_of_the_new_one() -> None:
    walked, geos = WalkedPlaces(), [of(1), of(2)]
    assert walked.numbers(Places(), geos) == [1, 2]
    assert walked.numbers(Places(), geos[::-1]) == [1, 2]


def test_a_walk_keeps_few_places_and_others_once_those_no_longer_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "KEPT_OF_WALK", 3)
    monkeypatch.setattr(places, "OTHERS", 5)
    kept, walked = Places(), WalkedPlaces()
    geos = [of(number) for number in range(20)]
    for start in range(0, 20, 2):
        assert walked.numbers(kept, geos[start : start + 2]) == [start + 1, start + 2]
        assert len(walked._geos) == len(walked._numbers) <= 3
    assert walked._geos == geos[16:19]
    assert walked.numbers(kept, geos) == list(range(1, 21))
