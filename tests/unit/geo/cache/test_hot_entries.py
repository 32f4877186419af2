"""What is kept in writing of addresses that were asked about lately: for how long, in which form, how much."""

import pytest

from bangeod.clock import SECONDS_A_DAY
from bangeod.geo.cache import hot_entries
from bangeod.geo.cache.hot_entries import KEPT_FOR, HotEntries

NOW = 1_800_000_000
IP = "8.8.8.8"


@pytest.fixture
def hot() -> HotEntries:
    hot = HotEntries()
    hot.get_all([], NOW)
    return hot


@pytest.mark.parametrize("asked", [0, KEPT_FOR - 1])
@pytest.mark.parametrize("later", [-1, 0, KEPT_FOR - 1, KEPT_FOR, SECONDS_A_DAY])
def test_nothing_is_kept_that_was_last_seen_a_day_ago(hot: HotEntries, asked: int, later: int) -> None:
    seen = NOW + asked - KEPT_FOR + 1
    hot.keep(IP, "here", seen=seen, now=NOW + asked)
    if hot.get_all([IP], NOW + later) == ["here"]:
        assert NOW + later - seen < SECONDS_A_DAY


def test_what_was_seen_longer_ago_is_not_kept(hot: HotEntries) -> None:
    hot.keep(IP, "here", seen=NOW - KEPT_FOR, now=NOW)
    assert hot.get_all([IP], NOW) == [None]


def test_a_clock_that_is_set_back_begins_it_anew(hot: HotEntries) -> None:
    hot.keep(IP, "here", seen=NOW, now=NOW)
    assert hot.get_all([IP], NOW - 1) == [None]
    hot.keep(IP, "here", seen=NOW - 1, now=NOW - 1)
    assert hot.get_all([IP], NOW - 1) == ["here"]


@pytest.mark.parametrize(
    ("ip", "address", "is_kept"),
    [
        (IP, bytes([8, 8, 8, 8]), True),
        ("::ffff:8.8.8.8", bytes([8, 8, 8, 8]), False),
        ("2a00::1", bytes.fromhex("2a00") + bytes(13) + b"\1", True),
        ("2A00::1", bytes.fromhex("2a00") + bytes(13) + b"\1", False),
        ("2a00:0::1", bytes.fromhex("2a00") + bytes(13) + b"\1", False),
    ],
)
def test_an_address_is_kept_in_the_form_under_which_it_is_forgotten(
    hot: HotEntries, ip: str, address: bytes, *, is_kept: bool
) -> None:
    hot.keep(ip, "here", seen=NOW, now=NOW)
    assert (hot.get_all([ip], NOW) == ["here"]) == is_kept
    hot.forget(address)
    assert hot.get_all([ip], NOW) == [None]


def test_when_it_is_full_those_that_are_there_stay(hot: HotEntries, monkeypatch: pytest.MonkeyPatch) -> None:
    """One who asks for all addresses, again and again, would drive each of them out just before it is asked about."""
    monkeypatch.setattr(hot_entries, "MOST", 2)
    ips = ["8.8.8.8", "8.8.8.9", "8.8.8.10"]
    for ip in ips:
        hot.keep(ip, "here", seen=NOW, now=NOW)
    assert hot.get_all(ips, NOW) == ["here", "here", None]
