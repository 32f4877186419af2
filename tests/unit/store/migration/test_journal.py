"""The file that says which sessions have been copied, whenever the process that writes it ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bangeod.errors import BangeodError, PathError
from bangeod.store.migration.journal import FILE, Journal, digest

TARGET = "a table"


@contextmanager
def opened(directory: Path, target: str = TARGET) -> Iterator[Journal]:
    journal = Journal.open(directory, target)
    try:
        yield journal
    finally:
        journal.close()


def test_what_was_committed_is_known_to_the_next_run(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        for transaction, committed in (("1", True), ("2", False), ("3", True)):
            journal.announce(transaction, [f"{transaction}a", f"{transaction}b"])
            journal.settle(transaction, committed=committed, without=["3b"])
        assert journal.copied == {"1a", "1b", "3a"}
    with opened(tmp_path) as journal:
        assert (journal.copied, journal.unsettled) == ({"1a", "1b", "3a"}, ())


def test_a_transaction_whose_end_was_not_seen_is_asked_about(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.announce("7", ["a"])
    with opened(tmp_path) as journal:
        assert (journal.copied, journal.unsettled) == (set(), ("7",))
        journal.settle("7", committed=True)
    assert Journal.seen(tmp_path, TARGET).copied == {"a"}


@pytest.mark.parametrize("kept", [1, 5, 20, -1])
def test_a_line_that_a_crash_has_cut_short_is_none(tmp_path: Path, kept: int) -> None:
    with opened(tmp_path) as journal:
        journal.announce("1", ["a"])
        journal.settle("1", committed=True)
        whole = (tmp_path / FILE).read_bytes()
        journal.announce("2", ["b"])
    line = (tmp_path / FILE).read_bytes()[len(whole) :]
    (tmp_path / FILE).write_bytes(whole + line[:kept])
    with opened(tmp_path) as journal:
        assert (journal.copied, journal.unsettled) == ({"a"}, ())
        journal.announce("3", ["c"])
    assert Journal.seen(tmp_path, TARGET).unsettled == ("3",)


def test_another_table_begins_anew(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.announce("1", ["a"])
        journal.settle("1", committed=True)
    assert Journal.seen(tmp_path, "another").copied == set()
    with opened(tmp_path, "another") as journal:
        assert journal.copied == set()
    assert Journal.seen(tmp_path, TARGET).copied == set()


def test_one_run_at_a_time_has_it(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(BangeodError, match="another `bangeod migrate` runs now"):
        Journal.open(tmp_path, TARGET)


def test_a_directory_that_is_not_there_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PathError, match=r"there is no directory .*; start the daemon once"):
        Journal.open(tmp_path / "gone", TARGET)


def test_looking_makes_no_file(tmp_path: Path) -> None:
    assert Journal.seen(tmp_path, TARGET).copied == set()
    assert list(tmp_path.iterdir()) == []


def test_nobody_else_reads_it_and_no_token_is_in_it(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.announce("1", [digest("a secret token")])
    assert os.stat(tmp_path / FILE).st_mode & 0o077 == 0  # noqa: PTH116 - as the file is, links not followed
    assert "secret" not in (tmp_path / FILE).read_text()
