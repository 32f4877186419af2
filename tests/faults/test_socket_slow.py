"""Clients that take their time: their requests trickle in, or come in part and then no more."""

from tests.faults.trickling import BODIES, BODIES_OF_EACH, Trickling


def test_requests_that_trickle_in_are_given_up_and_keep_nobody_waiting(trickling: Trickling) -> None:
    with trickling.siege.laid():
        replies = [(reply.status, reply.code) for reply in trickling.bodies()]
        assert replies == [(408, "too_slow")] * len(BODIES) * BODIES_OF_EACH
        assert trickling.headers() == []  # those that were not sent in time are hung up on
