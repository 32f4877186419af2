"""MMDBs as they change on disk: taken up, refused, reported once; what is in use stays until something better comes."""

import asyncio
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bangeod.errors import SourceError
from bangeod.geo.model import Geo
from bangeod.geo.sources.mmdb import MmdbFiles
from bangeod.geo.sources.mmdb_file import ProbeError, UnusableFileError
from bangeod.geo.sources.mmdb_slot import FileStatus, Slot
from bangeod.geo.sources.snapshot import Signature
from tests.mmdb_files import FATAL_RECORD, GOOGLE, US, by_hand, nested, put, remove, write_mmdb

SIGNATURE = Signature(1, 2, 3, 4, 5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "country.mmdb"


async def opened(*paths: Path) -> MmdbFiles:
    files = MmdbFiles(paths)
    await files.refresh()
    return files


async def test_a_file_that_is_missing_is_reported_once_and_taken_up_when_it_comes(path: Path) -> None:
    files = MmdbFiles([path])
    assert [state.status for state in files.states()] == [FileStatus.PENDING]
    with capture_logs() as logs:
        assert await files.refresh() == []
        assert await files.refresh() == []
        assert [state.status for state in files.states()] == [FileStatus.MISSING]
        assert not files.loaded
        write_mmdb(path, {"1.0.0.0/8": nested("DE")})
        (change,) = await files.refresh()
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("mmdb_missing", "warning"),
        ("mmdb_loaded", "info"),
    ]
    assert (change.path, change.database_type) == (path, "Test-Country")
    assert files.find("1.1.1.1") == Geo("DE", "Land DE")
    (state,) = files.states()
    assert (state.status, state.database_type, state.records, state.problem) == (
        FileStatus.LOADED,
        "Test-Country",
        1,
        None,
    )
    assert state.build_epoch == change.build_epoch > 1_600_000_000
    files.close()


async def test_an_unchanged_file_is_not_loaded_again(path: Path) -> None:
    write_mmdb(path, {"1.0.0.0/8": nested("DE")})
    files = await opened(path)
    assert await files.refresh() == []
    files.close()


async def test_a_replaced_file_is_taken_up_even_with_an_older_time(path: Path) -> None:
    write_mmdb(path, {"1.0.0.0/8": nested("DE")})
    files = await opened(path)
    write_mmdb(path, {"1.0.0.0/8": nested("FR")})
    os.utime(path, (0, 0))
    assert len(await files.refresh()) == 1
    assert files.find("1.1.1.1") == Geo("FR", "Land FR")
    files.close()


async def test_a_file_that_was_truncated_in_place_stays_in_use(path: Path) -> None:
    write_mmdb(path, {f"{octet}.0.0.0/8": nested("DE") for octet in range(1, 100)})
    files = await opened(path)
    os.truncate(path, 10)
    assert files.find("99.1.1.1") == Geo("DE", "Land DE")
    await files.refresh()
    assert files.find("99.1.1.1") == Geo("DE", "Land DE")
    (state,) = files.states()
    assert state.status is FileStatus.KEPT
    assert state.problem is not None
    files.close()


async def test_a_bad_file_is_refused_once_with_the_reason_and_the_old_one_stays(path: Path) -> None:
    write_mmdb(path, {"1.0.0.0/8": nested("DE")})
    files = await opened(path)
    put(path, b"no database")
    with capture_logs() as logs:
        assert await files.refresh() == []
        assert await files.refresh() == []
    assert files.find("1.1.1.1") == Geo("DE", "Land DE")
    assert logs == [
        {
            "event": "mmdb_refused",
            "log_level": "warning",
            "path": str(path),
            "problem": "is no MMDB, or not all of one: fetch it again",
            "old_one_in_use": True,
        }
    ]
    put(path, b"another that is none")
    with capture_logs() as logs:
        await files.refresh()
    assert len(logs) == 1
    files.close()


async def test_a_file_that_was_removed_stays_in_use(path: Path) -> None:
    write_mmdb(path, {"1.0.0.0/8": nested("DE")})
    files = await opened(path)
    remove(path)
    with capture_logs() as logs:
        await files.refresh()
        await files.refresh()
    assert files.find("1.1.1.1") == Geo("DE", "Land DE")
    assert [line["event"] for line in logs] == ["mmdb_missing"]
    files.close()


async def test_the_state_is_clean_again_when_the_file_in_use_comes_back(path: Path) -> None:
    write_mmdb(path, {"1.0.0.0/8": nested("DE")})
    aside = path.with_suffix(".aside")
    files = await opened(path)
    os.link(path, aside)
    await files.refresh()  # the link count is part of its change time
    remove(path)
    await files.refresh()
    assert files.states()[0].status is FileStatus.KEPT
    aside.rename(path)
    await files.refresh()
    assert files.states()[0].status is FileStatus.LOADED
    files.close()


async def test_bad_files_on_the_list_leave_the_good_ones_working(tmp_path: Path) -> None:
    good = write_mmdb(tmp_path / "good.mmdb", {"1.0.0.0/8": nested("DE")})
    directory = tmp_path / "directory.mmdb"
    directory.mkdir()
    empty = put(tmp_path / "empty.mmdb", b"")
    pipe = tmp_path / "pipe.mmdb"
    os.mkfifo(pipe)
    fatal = put(tmp_path / "fatal.mmdb", by_hand(FATAL_RECORD, US))
    missing = tmp_path / "missing.mmdb"
    with capture_logs() as logs:
        files = await opened(directory, empty, pipe, fatal, missing, good, good)
    assert files.find("1.1.1.1") == Geo("DE", "Land DE")
    statuses = [state.status for state in files.states()]
    assert statuses == [FileStatus.REFUSED] * 4 + [FileStatus.MISSING, FileStatus.LOADED]
    assert len(logs) == 6
    files.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_a_file_that_becomes_readable_is_taken_up(path: Path) -> None:
    write_mmdb(path, {"1.0.0.0/8": nested("DE")}).chmod(0)
    files = await opened(path)
    assert "let the service's user read it" in str(files.states()[0].problem)
    os.chmod(path, 0o600)  # noqa: PTH101 - pathlib's blocks just the same
    assert len(await files.refresh()) == 1
    files.close()


async def test_a_changed_list_keeps_what_stays_on_it(tmp_path: Path) -> None:
    one = write_mmdb(tmp_path / "one.mmdb", {"1.0.0.0/8": nested("DE")})
    other = write_mmdb(tmp_path / "other.mmdb", {"1.0.0.0/8": GOOGLE})
    files = await opened(one)
    files.set_paths([other, one])
    assert files.find("1.1.1.1") == Geo("DE", "Land DE")
    (change,) = await files.refresh()
    assert change.path == other
    assert files.find("1.1.1.1") == Geo("DE", "Land DE", "AS15169", "Google LLC")
    files.set_paths([other])
    assert files.find("1.1.1.1") == Geo(asn="AS15169", org="Google LLC")
    files.close()
    assert not files.loaded
    assert files.find("1.1.1.1") is None


async def test_a_path_taken_off_the_list_while_it_is_opened_is_not_used(path: Path) -> None:
    write_mmdb(path, {"1.0.0.0/8": nested("DE")})
    files = MmdbFiles([path])
    refresh = asyncio.create_task(files.refresh())
    await asyncio.sleep(0)
    files.set_paths([])
    assert await refresh == []
    assert not files.loaded


def test_a_file_that_could_not_be_checked_is_tried_again_after_some_refreshes() -> None:
    slot = Slot(Path("/test.mmdb"))
    slot.refuse(ProbeError("/test.mmdb", "took too long"), SIGNATURE)
    assert [slot.wants(SIGNATURE) for _ in range(10)] == [False] * 9 + [True]


def test_an_unusable_file_is_not_tried_again_until_it_changes() -> None:
    slot = Slot(Path("/test.mmdb"))
    slot.refuse(UnusableFileError("/test.mmdb", "is damaged"), SIGNATURE)
    assert not any(slot.wants(SIGNATURE) for _ in range(100))
    assert slot.wants(SIGNATURE._replace(modified_ns=9))


def test_a_file_that_could_not_be_read_is_tried_at_every_refresh() -> None:
    slot = Slot(Path("/test.mmdb"))
    slot.refuse(SourceError("/test.mmdb", "input/output error"), SIGNATURE)
    assert slot.wants(SIGNATURE)
