"""When bans of disabled jails count no more: two looks, two seconds apart, have to say so."""

import pytest

from bangeod.banned import Network, Reading, read_banned, sort_out
from bangeod.jobs.disabled_jails import APART, DisabledJails

OLD, IN_FORCE, NET = "7.7.7.7", "8.8.8.8", "9.9.9.0/24"
T0 = 1_000.0


def look(enabled: set[str], **bans: str) -> Reading:
    """Make a reading: the jails that are enabled, and the ban of each jail."""
    pairs: list[tuple[str | Network, str]] = [
        (what, jail) for jail, text in bans.items() if (what := read_banned(text)) is not None
    ]
    return sort_out(pairs, frozenset(enabled))


STARTED = look({"sshd"}, sshd=IN_FORCE, gone=OLD, net=NET)


def kept(jails: DisabledJails) -> set[str]:
    return set(filter(jails.keeper(), (OLD, IN_FORCE, "9.9.9.9", NET, "no address")))


def agree(jails: DisabledJails) -> bool:
    return jails.settled


def test_where_no_jail_is_gone_one_look_is_enough() -> None:
    assert DisabledJails(look({"sshd"}, sshd=IN_FORCE), T0).settled
    assert DisabledJails(look(set(), sshd=IN_FORCE, gone=OLD), T0).settled


def test_after_one_look_all_are_kept() -> None:
    jails = DisabledJails(STARTED, T0)
    assert not jails.settled
    assert kept(jails) == {OLD, IN_FORCE, "9.9.9.9", NET}


def test_two_looks_that_agree_let_the_bans_of_gone_jails_go() -> None:
    jails = DisabledJails(STARTED, T0)
    jails.take(STARTED, T0 + APART)
    assert jails.settled
    assert kept(jails) == {IN_FORCE}


@pytest.mark.parametrize(("later", "wait"), [(0.0, APART), (1.5, 0.5), (APART, 0.0), (60.0, 0.0)])
def test_a_further_look_is_worth_it_after_two_seconds(later: float, wait: float) -> None:
    assert DisabledJails(STARTED, T0).wait(T0 + later) == wait


def test_a_look_that_comes_too_early_says_nothing() -> None:
    jails = DisabledJails(STARTED, T0)
    jails.take(STARTED, T0 + APART - 0.1)
    assert not jails.settled
    assert OLD in kept(jails)


def test_while_jails_come_back_one_by_one_all_are_kept() -> None:
    jails = DisabledJails(look({"sshd"}, sshd=IN_FORCE, gone=OLD), T0)
    jails.take(look({"sshd", "other"}, sshd=IN_FORCE, gone=OLD), T0 + APART)
    assert not agree(jails)
    assert kept(jails) == {OLD, IN_FORCE}
    jails.take(look({"sshd", "other", "gone"}, sshd=IN_FORCE, gone=OLD), T0 + 2 * APART)
    jails.take(look({"sshd", "other", "gone"}, sshd=IN_FORCE, gone=OLD), T0 + 3 * APART)
    assert agree(jails)
    assert kept(jails) == {OLD, IN_FORCE}


def test_a_jail_that_stops_between_two_looks_is_no_gone_one_yet() -> None:
    jails = DisabledJails(look({"sshd", "other"}, sshd=IN_FORCE, gone=OLD), T0)
    jails.take(look({"other"}, sshd=IN_FORCE, gone=OLD), T0 + APART)
    jails.take(look({"other"}, sshd=IN_FORCE, gone=OLD), T0 + 2 * APART)
    assert kept(jails) == {IN_FORCE}  # one look said that it is in force


def test_what_only_the_last_look_found_is_kept() -> None:
    jails = DisabledJails(look({"sshd"}, other="7.7.7.8"), T0)
    jails.take(look({"sshd"}, gone=OLD), T0 + APART)
    assert kept(jails) == {OLD}


def test_a_gone_jails_ban_that_is_lifted_meanwhile_is_none() -> None:
    jails = DisabledJails(STARTED, T0)
    jails.take(look({"sshd"}, sshd=IN_FORCE), T0 + APART)
    assert kept(jails) == {IN_FORCE}
