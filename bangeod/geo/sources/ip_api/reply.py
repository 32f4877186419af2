"""What comes of a request to ip-api.com: a reply, not understood yet, or an error."""

from collections.abc import Mapping
from typing import Final, NamedTuple

MAX_BODY: Final = 1 << 20  # octets; a full answer has some 20,000


class Reply(NamedTuple):
    """A reply. ``body`` is empty unless the status is 200; None if it is too large, or compressed unasked."""

    status: int
    headers: Mapping[str, str]  # whose names ignore case
    body: bytes | None


class RequestFailedError(Exception):
    """No reply came: the kind of error, and its text, in which the key may be.

    Its cause holds the request, and so the key as well: it is to be caught where the request is made.
    """

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        self.text = text
        super().__init__(kind)
