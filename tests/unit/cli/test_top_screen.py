"""What ``bangeod top`` shows: the largest first, what is in no group on lines of its own, bars where there is room."""

from typing import Any

import pytest

from bangeod.api.messages import Top, TopGroup
from bangeod.cli.tables import width
from bangeod.cli.top_screen import ASCII, BLOCKS, LONGEST_BAR, Chart, lines, ticks_for

CHINA = TopGroup(600, country_code="CN", country_name="China")
ALAND = TopGroup(300, country_code="AX", country_name="Åland Islands")
GOOGLE = TopGroup(7, asn="AS15169", org="Google LLC")


def top(*groups: TopGroup, by: str = "countries", banned: bool = False, **more: Any) -> Top:
    """Return an answer; the total is what the parts add up to."""
    counted = Top(by=by, banned=banned, groups=[*groups], **more)
    rest = counted.in_other_groups + counted.unknown + counted.not_routable + counted.banned_networks
    counted.total = rest + sum(group.count for group in groups)
    return counted


def text(counted: Top, chart: Chart | None = None) -> list[str]:
    return [f"{line.text}{line.bar}" for line in lines(counted, chart)]


def test_for_a_file_it_is_a_table_with_shares_and_without_bars() -> None:
    counted = top(CHINA, ALAND, unknown=90, other_groups=57, in_other_groups=10)
    assert text(counted) == [
        "1,000 addresses in geo_cache, by country:",
        "",
        "CODE  COUNTRY         ADDRESSES   SHARE",
        "CN    China                 600  60.0 %",
        "AX    Åland Islands         300  30.0 %",
        "      and 57 others          10   1.0 %",
        "      no country yet         90   9.0 %",
    ]


def test_banned_networks_and_what_is_not_routable_have_lines_of_their_own() -> None:
    counted = top(CHINA, banned=True, not_routable=3, banned_networks=1, since="2026-10-31T00:00:00Z")
    assert text(counted)[0] == (
        "603 addresses and 1 network banned now, banned since 2026-10-31T00:00:00Z, by country:"
    )
    assert [line.split("  ")[3].strip() for line in text(counted)[4:]] == ["not routable", "whole networks"]


def test_networks_are_shown_by_number_and_organisation() -> None:
    assert text(top(GOOGLE, by="networks", unknown=2))[2:] == [
        "AS       ORGANISATION      ADDRESSES   SHARE",
        "AS15169  Google LLC                7  77.8 %",
        "         no network known          2  22.2 %",
    ]


def test_hosts_are_shown_by_name_with_the_time_of_their_last_ban() -> None:
    host = TopGroup(7, host="web\x1b[2J.example", newest="2026-11-22T00:00:00Z")
    counted = top(host, by="hosts", banned=True, hosts=3, other_groups=2, in_other_groups=2, banned_networks=1)
    assert text(counted) == [
        "9 addresses and 1 network banned now on 3 hosts, by host:",
        "",
        "LAST BAN              HOST             ADDRESSES   SHARE",
        "2026-11-22T00:00:00Z  web\ufffd[2J.example          7  70.0 %",
        "                      and 2 others             2  20.0 %",
        "                      whole networks           1  10.0 %",
    ]


def test_of_how_many_hosts_a_country_is_counted_is_said() -> None:
    assert text(top(CHINA, banned=True, hosts=1))[0] == "600 addresses banned now on 1 host, by country:"


@pytest.mark.parametrize(
    ("counted", "said"),
    [
        (top(by="hosts", banned=True, hosts=0), "No addresses banned now."),
        (top(), "No addresses in geo_cache."),
        (top(banned=True), "No addresses banned now."),
        (top(since="2026-10-31T00:00:00Z"), "No addresses in geo_cache, last seen since 2026-10-31T00:00:00Z."),
    ],
)
def test_where_nothing_is_counted_that_is_the_only_line(counted: Top, said: str) -> None:
    assert text(counted) == [said]


def test_one_address_is_no_plural() -> None:
    assert text(top(TopGroup(1, country_code="CN")))[0] == "1 address in geo_cache, by country:"


def test_where_no_network_at_all_is_known_it_says_what_would_help() -> None:
    assert "bangeod geodb update" in "\n".join(text(top(by="networks", unknown=2)))
    assert "geodb" not in "\n".join(text(top(GOOGLE, by="networks", unknown=2)))


# --- on a terminal ---


def test_a_bar_is_as_long_as_its_share_of_the_longest() -> None:
    bars = [line.bar for line in lines(top(CHINA, ALAND, unknown=600), Chart(200))][3:]
    assert bars == ["█" * LONGEST_BAR, "█" * (LONGEST_BAR // 2), "█" * LONGEST_BAR]


@pytest.mark.parametrize(("addresses", "bar"), [(9, "▍"), (10, "▍"), (11, "▌"), (25, "█"), (26, "█"), (27, "█▏")])
def test_a_bar_ends_at_the_nearest_eighth_of_a_column(addresses: int, bar: str) -> None:
    counted = top(TopGroup(1_000, country_code="CN"), TopGroup(addresses, country_code="DE"))
    assert [line.bar for line in lines(counted, Chart(200))][-1] == bar


def test_what_is_left_out_has_no_bar() -> None:
    shown = list(lines(top(CHINA, other_groups=9, in_other_groups=5_000), Chart(200)))
    assert [bool(line.bar) for line in shown[3:]] == [True, False]


def test_a_single_address_among_many_still_has_a_bar() -> None:
    counted = top(TopGroup(10**6, country_code="CN"), TopGroup(1, country_code="DE"))
    assert [line.bar for line in lines(counted, Chart(200))][-1] == BLOCKS[0]


@pytest.mark.parametrize("columns", [60, 61, 80, 100, 132, 300])
def test_no_line_is_longer_than_the_terminal(columns: int) -> None:
    names = ["A" * 200, "漢字" * 50, "Google LLC", "x"]
    groups = [TopGroup(10 ** (6 - at), asn=f"AS{at}", org=name) for at, name in enumerate(names)]
    shown = text(top(*groups, by="networks", unknown=5), Chart(columns))
    assert max(map(width, shown[2:])) <= columns
    assert any("█" in line for line in shown)
    assert shown[3].split("…")[0].startswith("AS0  AAAAAAAA")


def test_bars_of_all_lines_begin_in_the_same_column() -> None:
    groups = [TopGroup(9, asn="AS1", org="漢字"), TopGroup(8, asn="AS22", org="latin letters")]
    shown = list(lines(top(*groups, by="networks"), Chart(100)))[3:]
    assert len({width(line.text) for line in shown}) == 1


def test_where_there_is_no_room_there_are_no_bars() -> None:
    assert not any(line.bar for line in lines(top(CHINA), Chart(30)))


def test_no_name_moves_the_cursor() -> None:
    counted = top(TopGroup(1, asn="AS1", org="\x1b[2Jx\n\u202ey"), by="networks")
    for shown in (text(counted), text(counted, Chart(80))):
        assert len(shown) == 4
        assert not {"\x1b", "\n", "\u202e"} & set("".join(shown))


@pytest.mark.parametrize(
    ("encoding", "ticks"), [("utf-8", BLOCKS), ("ascii", ASCII), ("iso-8859-1", ASCII), ("no-such", ASCII)]
)
def test_bars_are_made_of_what_the_terminal_can_show(encoding: str, ticks: str) -> None:
    assert ticks_for(encoding) == ticks


def test_with_plain_characters_a_bar_has_whole_columns() -> None:
    assert [line.bar for line in lines(top(CHINA, ALAND), Chart(200, ASCII))][3:] == ["#" * 40, "#" * 20]
