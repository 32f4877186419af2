"""When a host may ask ip-api.com from a public address that it shares: rows in, a decision out."""

import math
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bangeod.fleet.egress import Egress, Leave, Said, Taken, bounded, word_after
from bangeod.geo.sources.ip_api.answer import Quota
from bangeod.geo.sources.ip_api.turns import Outcome

NOW = 1_800_000_000.0
DAY = 86_400.0
HOSTS = ("a", "b", "c")


def said(**columns: float | None) -> Said:
    """Return a row of a host that asks nothing now and knows nothing, but for these columns relative to NOW."""
    given = {"until": -1.0, "said_at": -1.0, "window_end": None, **columns}
    times = {name: None if given[name] is None else NOW + (given[name] or 0) for name in ("until", "said_at")}
    end = given["window_end"]
    left = given.get("requests_left")
    return Said(
        "writer",
        "host",
        until=times["until"] or 0.0,
        requests_left=None if left is None else int(left),
        window_end=None if end is None else NOW + end,
        said_at=times["said_at"] or 0.0,
    )


def leave(*rows: Said) -> Leave:
    return Egress().leave(rows, NOW)


def test_where_nobody_has_said_anything_a_request_may_be_sent_and_is_the_first_of_its_window() -> None:
    assert leave() == Leave(0.0, left=14, window=61.0)


def test_while_another_asks_nothing_is_sent_and_it_is_looked_again_soon() -> None:
    assert leave(said(until=59, said_at=-1)).wait == 1
    assert leave(said(until=59, said_at=0)).wait == 0.5


def test_the_longer_a_pause_has_lasted_the_later_it_is_looked_again_and_never_after_its_end() -> None:
    assert leave(said(until=3000, said_at=-600)).wait == 600
    assert leave(said(until=30, said_at=-600)).wait == 30


def test_many_hosts_look_as_often_together_as_a_few_do() -> None:
    rows = [said(until=59, said_at=0), *[said()] * 39]
    assert leave(*rows).wait == 20
    assert leave(*rows, *[said(said_at=-2 * DAY)] * 99).wait == 20  # hosts that are gone


def test_what_was_said_last_counts_and_this_request_too() -> None:
    rows = (said(requests_left=9, window_end=40, said_at=-20), said(requests_left=3, window_end=41, said_at=-5))
    assert leave(*rows) == Leave(0.0, left=2, window=41.0, is_known=True)


def test_with_none_left_it_is_waited_for_the_windows_end() -> None:
    rows = (said(requests_left=9, window_end=40, said_at=-20), said(requests_left=0, window_end=41, said_at=-5))
    assert leave(*rows).wait == 41


def test_of_a_window_that_has_ended_nothing_counts() -> None:
    assert leave(said(requests_left=0, window_end=0, said_at=-60)) == Leave(0.0, left=14, window=61.0)


def test_no_pause_is_longer_than_a_day() -> None:
    for until in (math.inf, 90 * DAY):
        row = said(until=until, said_at=-600)
        assert bounded(row, NOW, NOW).until == NOW - 600 + DAY
        assert leave(row).odd == (row,)


def test_a_pause_that_is_said_in_the_future_lasts_as_long_as_it_was_meant_to_from_when_it_was_first_read() -> None:
    egress = Egress()
    row = said(until=3700, said_at=3600)
    assert egress.leave([row], NOW).odd == (row,)
    assert egress.leave([row], NOW + 99).wait == 1
    assert egress.leave([row], NOW + 100).wait == 0


@pytest.mark.parametrize("said_at", [math.inf, 90 * DAY])
def test_a_pause_without_end_that_is_said_in_the_future_ends_a_day_after_it_was_first_read(said_at: float) -> None:
    egress = Egress()
    row = said(until=math.inf, said_at=said_at)
    assert egress.leave([row], NOW).wait > 0
    assert egress.leave([row], NOW + DAY - 1).wait > 0
    assert egress.leave([row], NOW + DAY).wait == 0


def test_a_row_that_is_a_little_ahead_of_the_clock_is_as_good_as_any() -> None:
    ahead = said(requests_left=0, window_end=41, said_at=5)
    assert leave(ahead) == Leave(41.0)


def test_less_than_none_left_is_none_left_and_odd() -> None:
    row = said(requests_left=-5, window_end=41)
    assert leave(row) == Leave(41.0, odd=(row,))


moments = st.one_of(st.floats(-1e12, 1e12), st.sampled_from([math.inf, -math.inf]))
any_row = st.builds(
    Said,
    st.just("writer"),
    st.sampled_from(HOSTS),
    moments.map(lambda seconds: NOW + seconds),
    st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1)),
    st.one_of(st.none(), moments.map(lambda seconds: NOW + seconds)),
    moments.map(lambda seconds: NOW + seconds),
)


@example([Said("writer", "a", NOW + DAY + 62, None, None, NOW + 62)])
@given(st.lists(any_row, max_size=5))
def test_whatever_stands_in_the_rows_it_holds_for_a_day_at_most(rows: list[Said]) -> None:
    egress = Egress()
    first = egress.leave(rows, NOW)
    assert 0 <= first.wait <= DAY
    after = egress.leave(rows, NOW + DAY + 61)
    assert after.wait == 0
    assert after.left >= 0
    assert 0 < after.window <= DAY + 61


TAKEN = Taken(at=100.0, left=7, window_end=150.0, is_known=True)


@pytest.mark.parametrize(
    ("outcome", "until", "left", "end"),
    [
        (Outcome(quota=Quota(3, 20), is_counted=True), 110, 3, 131),
        (Outcome(quota=Quota(3, None), is_counted=True), 110, 3, 171),
        (Outcome(is_counted=True), 110, 7, 171),  # no headers
        (Outcome(quota=Quota(0, 30), pause=31), 141, 0, 141),
    ],
)
def test_what_an_answer_says_of_the_window_is_news(outcome: Outcome, until: float, left: int, end: float) -> None:
    word = word_after(TAKEN, outcome, 110)
    assert word.until == until
    assert word.news is not None
    assert word.news == (left, end, 110)


def test_a_request_that_came_to_nothing_keeps_nobody_waiting_where_the_window_is_known_but_counts() -> None:
    assert word_after(TAKEN, Outcome(), 110) == (110, (7, 171, 100))
    assert word_after(TAKEN, Outcome(pause=3600), 110).until == 3710


def test_a_request_that_came_to_nothing_may_have_been_the_last_of_a_window_that_nobody_knows() -> None:
    assert word_after(TAKEN._replace(is_known=False), Outcome(), 110).until == 160


class Service:
    """ip-api.com, as strict as it can be: one request at a time, so many in a window from the first one on."""

    def __init__(self, used: int, *, tells: bool) -> None:
        self.tells = tells
        self.in_flight = 0
        self.most_in_flight = 0
        self.most_in_window = used
        self._in_window = used
        self._window_end = NOW + 60 if used else -math.inf

    def arrive(self, now: float) -> None:
        if now >= self._window_end:
            self._window_end, self._in_window = now + 60, 0
        self.in_flight += 1
        self._in_window += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self.most_in_window = max(self.most_in_window, self._in_window)

    def quota(self, now: float) -> Quota:
        if not self.tells:
            return Quota()
        if now >= self._window_end:
            return Quota(15, 60)
        return Quota(max(0, 15 - self._in_window), int(self._window_end - now))


class ThreeHosts(RuleBasedStateMachine):
    """Three hosts of one egress, any of which may die at any time; each goes whenever it may."""

    used = 0
    tells = True

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.service = Service(self.used, tells=self.tells)
        self.rows: dict[str, Said] = {}
        self.egresses = {host: Egress() for host in HOSTS}
        self.asking: dict[str, Taken] = {}

    def leave(self, host: str) -> Leave:
        return self.egresses[host].leave(list(self.rows.values()), self.now)

    def take(self, host: str) -> bool:
        """Take the turn if it may be taken, and say so, as under the egress's lock."""
        leave = self.leave(host)
        if leave.wait > 0:
            return False
        self.rows[host] = Said("w", host, self.now + 60, leave.left, self.now + leave.window, self.now)
        self.asking[host] = Taken(self.now, leave.left, self.now + leave.window, leave.is_known)
        return True

    def end(self, host: str, outcome: Outcome) -> None:
        self.service.in_flight -= 1
        word = word_after(self.asking.pop(host), outcome, self.now)
        row = self.rows[host]._replace(until=word.until)
        if word.news is not None:
            left, end, at = word.news
            row = row._replace(requests_left=left, window_end=end, said_at=at)
        self.rows[host] = row

    def idle(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from([host for host in HOSTS if host not in self.asking]))

    def busy(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.asking)))

    @precondition(lambda self: len(self.asking) < len(HOSTS))
    @rule(data=st.data())
    def ask(self, data: st.DataObject) -> None:
        if self.take(self.idle(data)):
            self.service.arrive(self.now)

    @precondition(lambda self: len(self.asking) < len(HOSTS))
    @rule(data=st.data(), times=st.integers(2, 20))
    def ask_and_have_answers_at_once(self, data: st.DataObject, times: int) -> None:
        host = self.idle(data)
        for _ in range(times):
            if self.take(host):
                self.service.arrive(self.now)
                self.end(host, Outcome(quota=self.service.quota(self.now), is_counted=True))

    @precondition(lambda self: len(self.asking) < len(HOSTS))
    @rule(data=st.data())
    def die_before_the_request(self, data: st.DataObject) -> None:
        host = self.idle(data)
        if self.take(host):
            del self.asking[host]

    @precondition(lambda self: self.asking)
    @rule(data=st.data())
    def have_an_answer(self, data: st.DataObject) -> None:
        self.end(self.busy(data), Outcome(quota=self.service.quota(self.now), is_counted=True))

    @precondition(lambda self: self.asking)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        self.end(self.busy(data), Outcome())

    @precondition(lambda self: self.asking)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        host = self.busy(data)
        del self.asking[host]
        self.service.in_flight -= 1
        self.egresses[host] = Egress()

    @rule(seconds=st.one_of(st.floats(0.01, 61.5), st.integers(1, 62)))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for host, taken in list(self.asking.items()):
            if self.now - taken.at > 55:  # given up in time
                self.now, later = taken.at + 55, self.now
                self.end(host, Outcome())
                self.now = later

    @precondition(lambda self: not self.asking)
    @rule(data=st.data())
    def go_on_after_a_window_at_the_latest(self, data: st.DataObject) -> None:
        self.now += 62
        assert self.leave(self.idle(data)).wait == 0

    @invariant()
    def there_is_one_in_flight_at_most(self) -> None:
        assert self.service.most_in_flight <= 1

    @invariant()
    def the_limit_is_kept(self) -> None:
        assert self.service.most_in_window <= 15


class ThreeHostsAfterOthers(ThreeHosts):
    """The same where somebody else has used up all but one of the window's requests."""

    used = 14


class ThreeHostsThatAreToldNothing(ThreeHosts):
    """The same without X-Rl and X-Ttl."""

    tells = False


TestThreeHosts: Callable[[], object] = ThreeHosts.TestCase
TestThreeHostsAfterOthers: Callable[[], object] = ThreeHostsAfterOthers.TestCase
TestThreeHostsThatAreToldNothing: Callable[[], object] = ThreeHostsThatAreToldNothing.TestCase
