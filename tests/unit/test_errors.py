"""What errors give to a log line."""

import pytest

from bangeod.errors import (
    AlreadyServedError,
    BangeodError,
    ConfigError,
    ConfigProblem,
    SocketError,
    SourceError,
    SourcePausedError,
    StoreFullError,
    StoreRefusedError,
)


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (StoreFullError("/db", "the disk is full", "make room"), "problem advice database"),
        (StoreRefusedError("/db", "a row", "look", ips=["192.0.2.1"]), "problem advice database"),
        (SocketError("/run/s", "it is taken", "move it"), "problem advice socket"),
        (SourceError("ip-api", "it is closed"), "source problem"),
        (SourcePausedError("ip-api", "used up", 60.0), "source problem"),
        (AlreadyServedError("/db"), "database"),
        (ConfigError("/etc/b.toml", [ConfigProblem("api", "what")]), "file problems"),
        (BangeodError("no more than words"), ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_log_line_has_all_that_an_error_knows_in_one_order(error: BangeodError, fields: str) -> None:
    assert list(error.log_fields()) == fields.split()


def test_what_is_wrong_and_what_to_do_are_among_them() -> None:
    said = StoreFullError("/db", "the disk is full", "make room").log_fields()
    assert said == {"problem": "the disk is full", "advice": "make room", "database": "/db"}
