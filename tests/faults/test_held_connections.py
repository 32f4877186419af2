"""Clients that hold their connections: their requests trickle in, for as long as the daemon bears it."""

from itertools import pairwise

from tests.faults.siege import EACH
from tests.faults.trickling import BODIES, BODIES_OF_EACH, Trickling


def test_requests_that_trickle_in_are_given_up_and_keep_nobody_waiting(trickling: Trickling) -> None:
    replies = [(reply.status, reply.code) for reply in trickling.bodies()]
    assert replies == [(408, "too_slow")] * len(BODIES) * BODIES_OF_EACH
    assert trickling.headers() == []  # those that were not sent in time are hung up on
    at_first, with_bodies, with_headers = trickling.served  # while all of those were still open
    for earlier, later in pairwise((at_first, with_bodies, with_headers)):
        assert all(now - before >= EACH for before, now in zip(earlier, later, strict=True))
    trickling.end()
