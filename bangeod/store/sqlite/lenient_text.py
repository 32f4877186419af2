"""Text that is not UTF-8: SQLite returns it as it is, and Python's module refuses to decode it."""

from typing import TYPE_CHECKING, TypeVar

from bangeod.store.sqlite.engine import engine

if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Connection

T = TypeVar("T")


def decode(raw: bytes) -> str:
    """Decode any bytes, as the ``text_factory`` of a connection; what is not UTF-8 is replaced."""
    return raw.decode(errors="replace")


def leniently(connection: "Connection", work: "Callable[[Connection], T]") -> T:
    """Run ``work``; if it meets text that is not UTF-8, run it again with undecodable bytes replaced.

    Always decoding in Python would slow down every read; invalid text is very rare.
    """
    try:
        return work(connection)
    except engine.OperationalError as error:
        if "decode to UTF-8" not in str(error):
            raise
    connection.text_factory = decode
    try:
        return work(connection)
    finally:
        connection.text_factory = str
