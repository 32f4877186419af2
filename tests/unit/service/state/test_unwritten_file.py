"""Entries that could not be written at the stop."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from bangeod.model import DirtyEntry, Geo
from bangeod.service.state import unwritten_file
from bangeod.service.state.files import advice
from tests.support.examples import at_most

FULL = DirtyEntry("192.0.2.1", Geo("DE", "Germany", "AS3320", "Telekom"), 1_795_000_000, 1_795_000_001, Geo("AT"))
BARE = DirtyEntry("2001:db8::1", Geo(), 1, 2)

text = st.none() | st.text()
seconds = st.integers(0, 253_402_300_799)  # until the year 10000
places = st.builds(Geo, text, text, text, text)
entries = st.builds(DirtyEntry, st.text(), places, seconds, seconds, st.none() | places)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "unwritten.json"


def test_without_a_file_there_is_nothing(path: Path) -> None:
    assert unwritten_file.load(path) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=at_most(30))
@given(kept=st.lists(entries))
def test_entries_come_back_as_they_were(path: Path, kept: list[DirtyEntry]) -> None:
    assert unwritten_file.save(path, kept)
    assert unwritten_file.load(path) == kept


def test_entries_stay_until_they_are_discarded(path: Path) -> None:
    unwritten_file.save(path, [FULL, BARE])
    assert unwritten_file.load(path) == unwritten_file.load(path) == [FULL, BARE]

    assert unwritten_file.discard(path)
    assert unwritten_file.load(path) == []


def test_a_save_replaces_what_was_kept_before(path: Path) -> None:
    unwritten_file.save(path, [FULL])
    unwritten_file.save(path, [BARE])

    assert unwritten_file.load(path) == [BARE]


def test_with_nothing_left_there_is_no_file(path: Path) -> None:
    unwritten_file.save(path, [FULL])

    assert unwritten_file.save(path, [])
    assert list(path.parent.iterdir()) == []


def test_discarding_what_is_not_there_is_no_error(path: Path) -> None:
    assert unwritten_file.discard(path)
    assert unwritten_file.discard(path.parent / "missing" / path.name)


def test_the_file_is_for_its_owner_alone(path: Path) -> None:
    unwritten_file.save(path, [FULL])

    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_of_a_later_version_is_understood(path: Path) -> None:
    path.write_text('{"format": 2, "entries": [{"ip": "192.0.2.1", "last_seen": 1, "resolved_at": 2, "city": "x"}]}')

    assert unwritten_file.load(path) == [DirtyEntry("192.0.2.1", Geo(), 1, 2)]


BAD = {
    "empty": b"",
    "cut short": b'{"entries": [{"ip"',
    "not text": b"\xff\xfe",
    "another shape": b"[1, 2]",
    "a key missing": b'{"entries": [{"ip": "192.0.2.1"}]}',
    "a time that is text": b'{"entries": [{"ip": "192.0.2.1", "last_seen": "1", "resolved_at": 2}]}',
    "nested beyond reason": b'{"x": ' + b"[" * 100_000,
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD.keys())
def test_a_bad_file_is_reported_and_kept_aside(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    aside = path.with_name("unwritten.json.bad")
    with capture_logs() as logs:
        assert unwritten_file.load(path) == []

    assert [(line["event"], line["path"], line["kept_as"]) for line in logs] == [
        ("leftover_unreadable", str(path), str(aside))
    ]
    assert aside.read_bytes() == content
    assert not path.exists()


def test_a_save_that_fails_is_reported_and_keeps_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unwritten_file.save(path, [FULL])

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(os, "fsync", fail)
        assert not unwritten_file.save(path, [FULL, BARE])

    assert [(line["event"], line["log_level"], line["entries"]) for line in logs] == [
        ("leftover_unwritable", "error", 2)
    ]
    assert unwritten_file.load(path) == [FULL]
    assert list(path.parent.iterdir()) == [path]


def test_what_a_row_held_that_is_no_text_does_not_cost_the_whole_file(path: Path) -> None:
    odd = Geo("US", None, 15169, b"Google")  # type: ignore[arg-type]
    unwritten_file.save(path, [FULL, DirtyEntry("8.8.8.8", odd, 1, 2, odd)])

    assert unwritten_file.load(path) == [FULL, DirtyEntry("8.8.8.8", Geo("US"), 1, 2, Geo("US"))]


def test_what_a_crash_left_of_a_first_file_goes_with_the_next_stop_that_leaves_nothing(path: Path) -> None:
    path.with_name(f".{path.name}.part").write_text('{"entries": [{"ip"')
    assert unwritten_file.save(path, [])
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EDQUOT, "make room"),
        (errno.EACCES, "writable for bangeod's user"),
        (errno.EROFS, "for writing"),
        (errno.EIO, "dmesg"),
    ],
)
def test_the_advice_fits_what_is_wrong(number: int, words: str) -> None:
    assert words in advice(OSError(number, os.strerror(number)))
