"""Addresses in groups, the largest first: a group has one name, and what belongs to none is counted apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bangeod.geo.groups import ByCountry, ByNetwork, Group, Groups
from bangeod.model import Geo

TEXTS = st.one_of(st.none(), st.sampled_from(["a", "b", "c"]))
PLACES = st.builds(Geo, st.one_of(st.none(), st.sampled_from(["DE", "FR", "XK"])), TEXTS, TEXTS, TEXTS)


async def test_countries_come_by_the_number_of_addresses_then_by_code() -> None:
    groups = ByCountry()
    for code, count in (("FR", 2), ("DE", 2), ("CN", 5), ("US", 1)):
        groups.add(Geo(code), count)
    assert [(group.place.country_code, group.addresses) for group in await groups.largest(3)] == [
        ("CN", 5),
        ("DE", 2),
        ("FR", 2),
    ]
    assert (len(groups), groups.total, groups.unknown) == (4, 10, 0)


async def test_a_country_is_one_group_whatever_network_an_address_is_in() -> None:
    groups = ByCountry()
    groups.add(Geo("DE", "Germany", "AS1", "A"), 2)
    groups.add(Geo("DE", "Germany", "AS2", "B"), 3)
    assert await groups.largest(9) == [Group(Geo("DE", "Germany"), 5)]


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ({"Federal Republic of Germany": 3, "Germany": 2}, "Federal Republic of Germany"),
        ({"Deutschland": 2, "Germany": 2}, "Germany"),  # CLDR's
        ({"B": 2, "A": 2}, "A"),
        ({None: 5}, "Germany"),
    ],
)
async def test_a_country_has_the_name_that_most_of_its_addresses_have(
    names: dict[str | None, int], chosen: str
) -> None:
    groups = ByCountry()
    for name, count in names.items():
        groups.add(Geo("DE", name), count)
    (group,) = await groups.largest(1)
    assert group == Group(Geo("DE", chosen), sum(names.values()))


async def test_a_network_is_its_number_whatever_the_organisation_is_called() -> None:
    groups = ByNetwork()
    groups.add(Geo("US", None, "AS15169", "Google LLC"), 3)
    groups.add(Geo("DE", None, "AS15169", "GOOGLE"), 2)
    groups.add(Geo("DE", None, "AS15169"), 1)
    assert await groups.largest(9) == [Group(Geo(asn="AS15169", org="Google LLC"), 6)]


async def test_an_organisation_without_a_number_is_a_network_of_its_own() -> None:
    groups = ByNetwork()
    groups.add(Geo(org="AS1"), 3)
    groups.add(Geo(asn="AS1"), 2)
    assert await groups.largest(9) == [Group(Geo(org="AS1"), 3), Group(Geo(asn="AS1"), 2)]


async def test_what_has_no_country_or_no_network_is_counted_apart() -> None:
    for groups, place in ((ByCountry(), Geo(asn="AS1")), (ByNetwork(), Geo("DE", "Germany"))):
        groups.add(place, 4)
        assert (groups.unknown, groups.total, await groups.largest(9)) == (4, 0, [])


@given(st.lists(st.tuples(PLACES, st.integers(1, 5))), st.integers(1, 4), st.sampled_from([ByCountry, ByNetwork]))
async def test_the_groups_add_up_and_come_in_order(
    places: list[tuple[Geo, int]], most: int, kind: type[Groups]
) -> None:
    groups = kind()
    for place, count in places:
        groups.add(place, count)
    everything = await groups.largest(100)
    assert sum(group.addresses for group in everything) == groups.total
    assert groups.total + groups.unknown == sum(count for _, count in places)
    assert everything == sorted(everything, key=lambda group: -group.addresses)
    assert len({group.place for group in everything}) == len(groups) == len(everything)
    assert await groups.largest(most) == everything[:most]


async def test_many_groups_are_sorted_in_parts_and_still_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bangeod.geo.groups.SORTED_AT_ONCE", 10)
    groups = ByNetwork()
    for number in range(1_000):
        groups.add(Geo(asn=f"AS{number + 1}"), number * 7919 % 1_000 + 1)
    assert [group.addresses for group in await groups.largest(1_000)] == list(range(1_000, 0, -1))
