"""What a stop could not write: kept in the file, taken up by the next start, and never lost between the two."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bangeod.model import DirtyEntry, Geo
from bangeod.service.state import unwritten_file
from bangeod.service.state.files import is_there
from bangeod.service.unwritten_entries import UnwrittenEntries
from tests.support.fakes import World

ENTRY = DirtyEntry("8.8.8.8", Geo("US", "United States"), 1, 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "unwritten.json"


def test_what_is_in_the_file_waits_to_be_written_again(path: Path) -> None:
    unwritten_file.save(path, [ENTRY])
    world = World()
    with capture_logs() as lines:
        UnwrittenEntries(path, world.cache).take_up()
    assert world.dirty == {"8.8.8.8": ENTRY}
    assert lines == [{"event": "leftover_taken_up", "log_level": "info", "entries": 1}]


@pytest.mark.parametrize("waiting", [False, True])
def test_a_file_that_was_not_taken_up_is_left_alone(path: Path, *, waiting: bool) -> None:
    unwritten_file.save(path, [ENTRY])
    before = path.read_bytes()
    world = World()
    if waiting:
        world.cache.add_rows(["9.9.9.9"])
    entries = UnwrittenEntries(path, world.cache)
    entries.keep()
    entries.keep_at_crash()
    assert path.read_bytes() == before


def test_what_could_not_be_written_is_kept(path: Path) -> None:
    world = World()
    entries = UnwrittenEntries(path, world.cache)
    entries.take_up()
    world.cache.restore_dirty([ENTRY])
    with capture_logs() as lines:
        entries.keep()
    assert unwritten_file.load(path) == [ENTRY]
    assert [(line["event"], line["entries"]) for line in lines] == [("leftover_kept", 1)]


async def test_the_file_goes_when_all_of_it_is_written_and_not_before(path: Path) -> None:
    unwritten_file.save(path, [ENTRY])
    world = World()
    entries = UnwrittenEntries(path, world.cache)
    entries.take_up()
    await entries.remove_once_written()
    assert is_there(path)
    await world.cache.flush_dirty()
    await entries.remove_once_written()
    assert not is_there(path)


async def test_a_crash_with_nothing_to_write_takes_no_file_away(path: Path) -> None:
    unwritten_file.save(path, [ENTRY])
    world = World()
    entries = UnwrittenEntries(path, world.cache)
    entries.take_up()
    await world.cache.flush_dirty()
    entries.keep_at_crash()
    assert is_there(path)
    entries.keep()  # at a stop in good order
    assert not is_there(path)


def test_who_only_looks_changes_nothing(path: Path) -> None:
    path.write_text("nonsense")
    world = World()
    entries = UnwrittenEntries(path, world.cache, look_only=True)
    entries.take_up()
    world.cache.add_rows(["9.9.9.9"])
    entries.keep()
    assert path.read_text() == "nonsense"
    assert [each.name for each in path.parent.iterdir()] == [path.name]
