"""When ip-api.com may be asked."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bangeod.geo.sources.ip_api.answer import Quota, Verdict
from bangeod.geo.sources.ip_api.limit import Limit, Reason

ANSWERED, LIMITED, REFUSED = Verdict.ANSWERED, Verdict.LIMITED, Verdict.REFUSED
NOTHING = Quota()


def asked(limit: Limit, now: float, verdict: Verdict, quota: Quota = NOTHING) -> float:
    """Send at ``now``, take the answer, return the wait."""
    limit.sent(now)
    limit.answered(now, verdict, quota)
    return limit.wait(now)


@pytest.mark.parametrize(
    ("verdict", "quota", "seconds", "reason"),
    [
        (ANSWERED, Quota(14, 60), 0, None),
        (ANSWERED, Quota(1, 60), 0, None),
        (ANSWERED, Quota(0, 30), 31, Reason.QUOTA),  # X-Ttl is in whole seconds, so one more
        (ANSWERED, Quota(0, 0), 1, Reason.QUOTA),
        (ANSWERED, Quota(0, None), 61, Reason.QUOTA),
        (ANSWERED, NOTHING, 0, None),
        (LIMITED, Quota(None, 20), 21, Reason.LIMITED),
        (LIMITED, Quota(0, 20), 21, Reason.LIMITED),
        (LIMITED, NOTHING, 60, Reason.LIMITED),
        (REFUSED, NOTHING, 3600, Reason.REFUSED),
        (REFUSED, Quota(14, 60), 3600, Reason.REFUSED),
        (Verdict.BROKEN, NOTHING, 60, Reason.FAILED),
        (Verdict.TOO_LARGE, NOTHING, 60, Reason.FAILED),
        (Verdict.BROKEN, Quota(14, 60), 10, Reason.FAILED),
        (Verdict.BROKEN, Quota(0, 30), 31, Reason.QUOTA),
    ],
)
def test_the_wait_after_one_answer(verdict: Verdict, quota: Quota, seconds: float, reason: Reason | None) -> None:
    limit = Limit()
    assert asked(limit, 1000, verdict, quota) == seconds
    if reason:
        assert limit.reason(1000) is reason
    assert limit.wait(1000 + seconds) == 0


def test_without_headers_it_is_fifteen_a_minute() -> None:
    limit = Limit()
    waits = [asked(limit, 1000 + second, ANSWERED) for second in range(15)]
    assert waits == [0] * 14 + [46]
    assert limit.wait(1060) == 0
    assert asked(limit, 1060, ANSWERED) == 1


def test_with_headers_they_alone_decide() -> None:
    limit = Limit()
    assert [asked(limit, 1000, ANSWERED, Quota(5, 60)) for _ in range(100)] == [0] * 100


def test_a_request_that_was_not_answered_counts() -> None:
    limit = Limit()
    asked(limit, 1000, ANSWERED, Quota(2, 60))
    for now in (1001, 1011):
        assert limit.wait(now) == 0
        limit.sent(now)
        limit.failed(now)
    assert limit.wait(1031) == 30  # none left until 1061, though the backoff ends at 1031
    assert limit.wait(1061) == 0


def test_a_refusal_doubles_up_to_a_day_and_an_answer_starts_it_afresh() -> None:
    limit = Limit()
    now = 0.0
    waits = []
    for _ in range(7):
        waits.append(asked(limit, now, REFUSED))
        now += waits[-1]
    assert waits == [3600, 7200, 14400, 28800, 57600, 86400, 86400]
    assert asked(limit, now, ANSWERED, Quota(14, 60)) == 0
    assert asked(limit, now, REFUSED) == 3600


def test_before_the_first_answer_a_request_that_came_to_nothing_may_have_been_the_last_of_its_window() -> None:
    limit = Limit()
    limit.sent(0)
    limit.broken_off(0)
    assert limit.wait(0) == 60
    limit.sent(60)
    limit.failed(60)
    assert limit.wait(60) == 60
    asked(limit, 120, ANSWERED, Quota(14, 60))
    limit.sent(120)
    limit.broken_off(120)
    assert limit.wait(120) == 0


def test_failures_double_up_to_ten_minutes_and_an_answer_starts_them_afresh() -> None:
    limit = Limit()
    now = 0.0
    asked(limit, now, ANSWERED)
    waits = []
    for _ in range(8):
        limit.sent(now)
        limit.failed(now)
        waits.append(limit.wait(now))
        now += waits[-1]
    assert waits == [10, 20, 40, 80, 160, 320, 600, 600]
    asked(limit, now, ANSWERED)
    assert asked(limit, now, Verdict.BROKEN) == 10


def test_failures_without_end_do_not_overflow() -> None:
    limit = Limit()
    for _ in range(5000):
        limit.failed(0)
    assert limit.wait(0) == 600


def test_a_shorter_pause_does_not_shorten_a_longer_one() -> None:
    limit = Limit()
    limit.pause(0, 100, Reason.RESTART)
    limit.failed(0)
    assert limit.wait(0) == 100
    assert limit.reason(0) is Reason.RESTART


def test_only_a_pause_of_the_named_reason_is_lifted() -> None:
    limit = Limit()
    limit.pause(0, 100, Reason.RESTART)
    limit.lift(Reason.FAILED)
    assert limit.wait(0) == 100
    limit.lift(Reason.RESTART)
    assert limit.wait(0) == 0


class StrictServer(RuleBasedStateMachine):
    """A client that goes as soon as it may, and a server with a window of its own: the limit is never passed."""

    def __init__(self) -> None:
        super().__init__()
        self.limit = Limit()
        self.now = 1000.0
        self.window_start = -1e9
        self.count = 0

    @rule(seconds=st.floats(0, 100))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def the_wait_is_over(self) -> None:
        self.now += self.limit.wait(self.now)

    @rule(count=st.integers(1, 15))
    def answered_requests(self, count: int) -> None:
        for _ in range(count):
            if self.limit.wait(self.now) == 0:
                self.request(ANSWERED)

    @precondition(lambda self: self.limit.wait(self.now) == 0)
    @rule(outcome=st.sampled_from([Verdict.BROKEN, None]))
    def failed_request(self, outcome: Verdict | None) -> None:
        self.request(outcome)

    def request(self, outcome: Verdict | None) -> None:
        self.limit.sent(self.now)
        if self.now >= self.window_start + 60:
            self.window_start = self.now
            self.count = 0
        self.count += 1
        if outcome is None:
            self.limit.failed(self.now)
        else:
            quota = Quota(15 - self.count, int(self.window_start + 60 - self.now))
            self.limit.answered(self.now, outcome, quota)

    @invariant()
    def the_limit_holds(self) -> None:
        assert self.count <= 15


TestStrictServer = StrictServer.TestCase
