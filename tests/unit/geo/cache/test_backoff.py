"""When an address that nobody knows may be asked about again."""

import pytest

from bangeod.geo.cache.backoff import Backoff, NegativeCache, delay_after

IP, OTHER = "8.8.8.8", "9.9.9.9"
MINUTE, HOUR, DAY = 60, 3_600, 86_400


@pytest.mark.parametrize(
    ("failures", "delay"),
    [
        (1, 10 * MINUTE),
        (2, 20 * MINUTE),
        (3, 40 * MINUTE),
        (4, 80 * MINUTE),
        (8, 1_280 * MINUTE),
        (9, DAY),
        (10, DAY),
        (10_000, DAY),
    ],
)
def test_the_delay_doubles_from_ten_minutes_to_a_day(failures: int, delay: float) -> None:
    assert delay_after(failures) == delay


def test_an_address_that_never_failed_is_due() -> None:
    assert Backoff().is_due(IP, 0.0)


def test_an_address_is_due_again_when_its_delay_has_passed() -> None:
    backoff = Backoff()
    now = 5.0
    for failures in range(1, 12):
        backoff.failed(IP, now)
        due = now + delay_after(failures)
        assert not backoff.is_due(IP, due - 0.001)
        assert backoff.is_due(IP, due)
        assert backoff.is_due(OTHER, now)
        now = due


def test_what_was_resolved_begins_anew() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.failed(IP, 0.0)
    backoff.forget([IP, OTHER])
    backoff.failed(IP, 0.0)
    assert backoff.is_due(IP, 10 * MINUTE)


def test_what_nobody_has_asked_about_for_long_is_forgotten() -> None:
    backoff = Backoff()
    backoff.failed(IP, 0.0)
    for day in range(60):  # a server that always meets some addresses that nobody knows
        backoff.failed(f"8.8.4.{day}", float(day * DAY))
        assert len(backoff) <= 10
    assert backoff.is_due(IP, 60.0 * DAY)


def test_what_is_asked_about_is_not_forgotten_however_long_its_delay_is() -> None:
    backoff, now = Backoff(), 0.0
    for _ in range(60):
        backoff.failed(IP, now)
        now += 7 * DAY  # it could not be asked about any sooner
    backoff.failed(IP, now)
    assert not backoff.is_due(IP, now + DAY - 1)


def test_it_holds_no_more_than_its_limit_and_forgets_what_failed_longest_ago() -> None:
    backoff = Backoff(limit=100)
    for i in range(150):
        backoff.failed(f"8.8.8.{i}", float(i))
        backoff.failed("1.1.1.1", float(i))
        assert len(backoff) <= 100
    assert backoff.is_due("8.8.8.0", 150.0)
    assert not backoff.is_due("8.8.8.149", 150.0)
    assert not backoff.is_due("1.1.1.1", 150.0)


def test_the_negative_cache_forgets_after_its_time() -> None:
    negative = NegativeCache(ttl=10.0)
    negative.add(IP, 100.0)
    assert negative.holds(IP, 109.9)
    assert not negative.holds(OTHER, 100.0)
    assert not negative.holds(IP, 110.0)
    assert len(negative) == 0


def test_an_address_that_is_not_found_again_is_held_from_then_on() -> None:
    negative = NegativeCache(ttl=10.0)
    negative.add(IP, 100.0)
    negative.add(IP, 105.0)
    assert negative.holds(IP, 114.0)


def test_the_negative_cache_can_forget_one_address_or_all() -> None:
    negative = NegativeCache()
    for ip in (IP, OTHER, "1.1.1.1"):
        negative.add(ip, 0.0)
    negative.discard(IP)
    negative.discard("1.0.0.1")
    assert (negative.holds(IP, 0.0), negative.holds(OTHER, 0.0)) == (False, True)
    negative.clear()
    assert len(negative) == 0


def test_the_negative_cache_holds_no_more_than_its_limit_and_forgets_the_oldest() -> None:
    negative = NegativeCache(limit=100)
    for i in range(150):
        negative.add(f"8.8.8.{i}", 0.0)
        assert len(negative) <= 100
    assert not negative.holds("8.8.8.0", 0.0)
    assert negative.holds("8.8.8.149", 0.0)


def test_an_address_that_failed_again_lately_is_not_forgotten_first() -> None:
    backoff = Backoff(limit=20)
    backoff.failed(IP, 0.0)
    for i in range(19):
        backoff.failed(f"8.8.4.{i}", 1.0)
    backoff.failed(IP, 2.0)
    backoff.failed(OTHER, 3.0)
    assert not backoff.is_due(IP, 3.0)
    assert backoff.is_due("8.8.4.0", 3.0)


def test_the_next_delay_is_the_one_that_another_failure_brings() -> None:
    backoff = Backoff()
    assert backoff.next_delay(IP) == 600
    backoff.failed(IP, 0.0)
    assert backoff.next_delay(IP) == 1200
    backoff.failed(IP, 600.0)
    assert not backoff.is_due(IP, 1799.0)
    assert backoff.is_due(IP, 1800.0)


def test_an_address_can_be_held_for_another_time_than_the_usual_one() -> None:
    negative = NegativeCache(ttl=600.0)
    negative.add(IP, 100.0)
    negative.add(IP, 100.0, 10.0)
    assert negative.holds(IP, 109.0)
    assert not negative.holds(IP, 110.0)
