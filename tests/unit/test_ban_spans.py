"""The times of bans, and which jails' bans count."""

import pytest

from bangeod.ban_spans import LAST, LONGEST_NAME, BanKey, BanSpan, Jails, Verdict, cleaned, in_force, span_of
from bangeod.banned import read_banned

HUGE = 2**63 - 1


@pytest.mark.parametrize(
    ("since", "length", "span"),
    [
        (1_000, 600, BanSpan(1_000, 1_600)),
        (1_000, -1, BanSpan(1_000, None)),
        (1_000, None, BanSpan(1_000, None)),
        (None, 600, BanSpan(0, 600)),
        (HUGE, HUGE, BanSpan(LAST, None)),
        (1_000, HUGE, BanSpan(1_000, None)),
        (-HUGE, 600, BanSpan(0, None)),
    ],
)
def test_times_of_a_ban_are_times_that_a_server_can_store(since: int | None, length: int | None, span: BanSpan) -> None:
    assert span_of(since, length) == span


def test_of_two_bans_of_one_address_in_one_jail_the_one_that_ends_later_counts() -> None:
    found = [("8.8.8.8", "a", 10, 600), ("8.8.8.8", "a", 5, 900), ("8.8.8.8", "a", 0, 1), ("8.8.8.8", "b", 1, -1)]
    expected = {BanKey("a", "8.8.8.8"): BanSpan(5, 905), BanKey("b", "8.8.8.8"): BanSpan(1, None)}
    assert in_force(found, ()).bans == in_force(reversed(found), ()).bans == expected


def test_an_address_with_a_zone_is_left_out() -> None:
    network = read_banned("10.0.0.0/8")
    assert network is not None
    found = in_force([("fe80::1%eth0", "a", 0, -1), (network, "a", 0, -1)], ())
    assert [*found.bans] == [BanKey("a", "10.0.0.0/8")]


def test_the_same_bans_have_the_same_signature_and_others_another() -> None:
    one, two = ("8.8.8.8", "a", 10, 600), ("9.9.9.9", "a", 10, 600)
    assert in_force([one, two], ()).signature == in_force([two, one], ()).signature
    assert in_force([one], ()).signature != in_force([two], ()).signature
    assert in_force([one], ()).signature != in_force([("8.8.8.8", "a", 10, 601)], ()).signature


@pytest.mark.parametrize(
    ("name", "stored"),
    [("sshd", "sshd"), ("Jäil ☃", "Jäil ☃"), ("a\tb\0\ud800\u202e", "a?b???"), ("x" * 1_000, "x" * LONGEST_NAME)],
)
def test_a_name_can_be_stored_and_shown(name: str, stored: str) -> None:
    assert cleaned(name) == stored


def verdict(*looks: set[str], jail: str = "old") -> Verdict:
    jails = Jails()
    for enabled in looks:
        jails.look(frozenset(enabled))
    return jails.verdict(jail)


def test_a_jail_is_gone_once_two_looks_agree() -> None:
    assert verdict({"old", "sshd"}) is Verdict.COUNT
    assert verdict({"old", "sshd"}, {"sshd"}) is Verdict.IN_DOUBT
    assert verdict({"old", "sshd"}, {"sshd"}, {"sshd", "web"}) is Verdict.IN_DOUBT
    assert verdict({"old", "sshd"}, {"sshd"}, {"sshd"}) is Verdict.GONE


def test_while_no_jail_is_enabled_all_count() -> None:
    assert verdict(set()) is Verdict.COUNT
    assert verdict({"sshd"}, set(), set()) is Verdict.COUNT


def test_a_first_look_alone_says_of_no_jail_that_it_is_gone() -> None:
    assert verdict({"sshd"}) is Verdict.IN_DOUBT
