"""The private copy of a file, where the kernel does not let it be sealed at once."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bangeod.errors import SourceError
from bangeod.geo.sources.mmdb import snapshot
from bangeod.geo.sources.mmdb.snapshot import Snapshot

CONTENT = b"x" * 65_536


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def hold_a_page(monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int]) -> None:
    """Let a pipe hold a page of each copy: then it can't be sealed."""
    fill = snapshot._fill

    def fill_and_hold(copy: int, source: int, path: Path) -> None:
        fill(copy, source, path)
        os.splice(copy, pipe[1], 4_096, offset_src=0)

    monkeypatch.setattr(snapshot, "_fill", fill_and_hold)


def test_a_copy_of_which_a_page_is_held_for_a_while_is_sealed_when_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int]
) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    hold_a_page(monkeypatch, pipe)
    tried: list[int] = []
    fcntl_itself = fcntl.fcntl

    def seal(descriptor: int, command: int, seals: int) -> int:
        tried.append(seals)
        if len(tried) > 1:
            os.read(pipe[0], 4_096)  # that lets the page go
        return fcntl_itself(descriptor, command, seals)

    monkeypatch.setattr(fcntl, "fcntl", seal)
    with Snapshot(tmp_path / "file") as copy:
        assert Path(copy.path).read_bytes() == CONTENT
    assert len(tried) == 2


def test_a_copy_that_cannot_be_sealed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int]
) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    hold_a_page(monkeypatch, pipe)
    with pytest.raises(SourceError, match="resource busy"):
        Snapshot(tmp_path / "file")
