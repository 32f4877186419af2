"""What waits to be told to the fleet: bounded, the newest of each address."""

from hypothesis import given
from hypothesis import strategies as st

from bangeod.fleet.outbox import Finding, Outbox, Seen, columns
from bangeod.model import Geo, Origin

IPS = st.sampled_from([f"8.8.8.{number}" for number in range(6)])


def finding(ip: str, at: int = 1, code: str = "DE") -> Finding:
    return Finding(ip, Geo(code), Origin.MMDB, last_seen=at, resolved_at=at)


def test_the_newest_finding_of_an_address_waits_alone() -> None:
    outbox = Outbox(10)
    outbox.put(finding("8.8.8.8", 1))
    outbox.put(newest := finding("8.8.8.8", 2))
    assert outbox.first(10) == [newest]


def test_what_was_found_again_while_it_was_written_still_waits() -> None:
    outbox = Outbox(10)
    outbox.put(finding("8.8.8.8", 1))
    written = outbox.first(10)
    outbox.put(newest := finding("8.8.8.8", 2))
    outbox.done(written)
    assert outbox.first(10) == [newest]
    outbox.done([newest])
    assert not outbox


def test_above_the_bound_the_oldest_makes_room() -> None:
    outbox = Outbox(2)
    for number in range(4):
        outbox.put(finding(f"8.8.8.{number}"))
    assert ([each.ip for each in outbox.first(9)], outbox.dropped) == (["8.8.8.2", "8.8.8.3"], 2)
    outbox.limit(1)
    assert ([each.ip for each in outbox.first(9)], outbox.dropped) == (["8.8.8.3"], 3)


def test_an_address_that_is_found_need_not_be_seen_besides() -> None:
    outbox = Outbox(10)
    outbox.see("8.8.8.8", 1)
    outbox.put(finding("8.8.8.8", 2))
    outbox.see("8.8.8.8", 3)
    assert outbox.first_seen(9) == []


def test_an_address_seen_again_while_that_was_written_still_waits() -> None:
    outbox = Outbox(10)
    outbox.see("8.8.8.8", 1)
    written = outbox.first_seen(9)
    outbox.see("8.8.8.8", 2)
    outbox.done_seen(written)
    assert outbox.first_seen(9) == [Seen("8.8.8.8", 2)]


@given(st.lists(st.tuples(IPS, st.booleans())), st.integers(1, 4))
def test_no_more_waits_than_may_and_never_an_older_finding(steps: list[tuple[str, bool]], most: int) -> None:
    outbox, newest = Outbox(most), dict[str, int]()
    for at, (ip, is_found) in enumerate(steps):
        if is_found:
            outbox.put(finding(ip, at))
            newest[ip] = at
        else:
            outbox.see(ip, at)
        assert len(outbox) <= most
        assert len(outbox.first_seen(99)) <= most
    assert all(newest[each.ip] == each.resolved_at for each in outbox.first(99))


def test_the_columns_are_texts_and_nulls() -> None:
    values = {"ip": "8.8.8.8", "code": "DE", "name": None, "asn": None, "org": None, "origin": "mmdb"}
    assert columns([finding("8.8.8.8", 7)]) == {
        name: [value] for name, value in {**values, "resolved": "7", "seen": "7"}.items()
    }
