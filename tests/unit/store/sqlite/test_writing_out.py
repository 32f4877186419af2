"""What is dirty in a file is handed to the disk part by part, with room for others in between."""

import os
from pathlib import Path

import pytest

from bangeod.store.sqlite import writing_out
from bangeod.store.sqlite.writing_out import PARTS, RATE, WRITE, write_out

SIZE = 100_001


def parts_of(path: Path, monkeypatch: pytest.MonkeyPatch, dirty: int) -> tuple[list[tuple[int, int]], list[float]]:
    """Write a file out; return where its parts began with how long they were, and the pauses."""
    begun: list[tuple[int, int]] = []

    def sync_file_range(_descriptor: int, start: int, length: int, flags: int) -> int:
        assert flags == WRITE
        begun.append((start, length))
        return 0

    monkeypatch.setattr(writing_out, "_sync_file_range", lambda: sync_file_range)
    pauses: list[float] = []
    path.write_bytes(bytes(SIZE))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        write_out(descriptor, dirty, sleep=pauses.append)
    finally:
        os.close(descriptor)
    return begun, pauses


def test_its_parts_are_the_whole_file_each_byte_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, _ = parts_of(tmp_path / "file", monkeypatch, 1)
    assert len(begun) == PARTS
    ends = [start + length for start, length in begun]
    assert [start for start, _ in begun] == [0, *ends[:-1]]
    assert ends[-1] >= SIZE
    assert all(length for _, length in begun)  # a length of 0 would be the rest of the file, all at once


def test_all_of_it_takes_as_long_as_its_rate_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, pauses = parts_of(tmp_path / "file", monkeypatch, 16 << 20)
    assert sum(pauses) == pytest.approx((16 << 20) / RATE)
    assert max(pauses) == min(pauses)


def test_of_an_empty_file_nothing_is_written_out_all_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing_out, "_sync_file_range", lambda: pytest.fail)
    path = tmp_path / "file"
    path.touch()
    with path.open("rb") as empty:
        write_out(empty.fileno(), 0, sleep=lambda _: None)
