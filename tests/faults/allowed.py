"""How much the memory may grow in each attack, in MiB: what the daemon says that it holds at most, and an allowance."""

from typing import Final

from bangeod.api.batch_admission import AT_A_TIME, MOST_WAITING
from bangeod.api.connections import MOST_CONNECTIONS, MOST_READ, MOST_RECEIVING, MOST_UNSENT
from bangeod.api.messages import Mode
from bangeod.api.request_body import LARGEST_BODY

MIB: Final = 1 << 20

# What is the same for all: free memory between what is in use, circles that wait to be cleared away, the honest
# clients' own requests. 13 were measured where thousands of clients vanish and leave hardly a byte each.
LITTLE: Final = 20.0

_WORK: Final = 3.0  # for a batch of 10,000 addresses, as bangeod.api.batch_admission says
_ANSWER: Final = 1.0  # to such a batch
_TWICE: Final = 2  # Python 3.11 holds each byte of an answer so often
_GROWN: Final = 9 / 8  # a bytearray that grows is larger than what is in it
_BUFFERED: Final = 2 * MOST_READ  # of a body, by aiohttp, until it stops reading; and as much of what is no body


def _in_mib(octets: float) -> float:
    return octets / MIB


def bodies(size: int) -> float:
    """Return what bodies may take of which so many bytes come and no more."""
    return LITTLE + _in_mib(MOST_RECEIVING * size * _GROWN)


ONE_BODY: Final = LITTLE + _in_mib(LARGEST_BODY * _GROWN + _BUFFERED)

# 65 were measured: the half of a body from each who may be received, and what all the others send at once.
ALL_KINDS: Final = bodies(LARGEST_BODY) + _in_mib(MOST_CONNECTIONS * _BUFFERED)

_WORKED_ON: Final = AT_A_TIME[Mode.RESOLVE] * (_WORK + _TWICE * _ANSWER)

# 34 were measured: what one client has left may still be there when the next ones come.
LEFT_ANSWERS: Final = LITTLE + _WORKED_ON


def unread_answers(clients: int) -> float:
    """Return what the answers to large batches of so many clients may take. 70 were measured for 48, 84 for 200."""
    return LITTLE + _WORKED_ON + _in_mib(MOST_WAITING + _TWICE * MOST_UNSENT + clients * _BUFFERED)
