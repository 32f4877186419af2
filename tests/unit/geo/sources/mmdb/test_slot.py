"""MMDBs as they change on disk: taken up, refused, reported once; what is in use stays until something better comes."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bangeod.errors import SourceError
from bangeod.geo.sources.mmdb import merged
from bangeod.geo.sources.mmdb.file import MmdbSource, ProbeError, UnusableFileError, open_file
from bangeod.geo.sources.mmdb.merged import MmdbFiles
from bangeod.geo.sources.mmdb.slot import FileStatus, Slot
from bangeod.geo.sources.mmdb.snapshot import Signature
from bangeod.model import Geo
from tests.support.mmdb.files import FATAL_RECORD, GOOGLE, US, by_hand, nested, put, remove, write_mmdb

pytestmark = pytest.mark.slow  # each MMDB is probed by a process

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


def replaced_by_one_of_the_same_size_and_time(path: Path) -> None:
    before = path.stat()
    other = write_mmdb(path.with_name("other.mmdb"), {"1.0.0.0/8": nested("FR")})
    assert other.stat().st_size == before.st_size
    os.utime(other, ns=(before.st_mtime_ns, before.st_mtime_ns))
    other.replace(path)


def overwritten_by_a_longer_one_of_the_same_time(path: Path) -> None:
    before = path.stat()
    other = write_mmdb(path.with_name("other.mmdb"), {"1.0.0.0/8": nested("FR"), "2.0.0.0/8": nested("DE")})
    path.write_bytes(other.read_bytes())
    os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))


def overwritten_by_one_of_the_same_size_and_an_older_time(path: Path) -> None:
    other = write_mmdb(path.with_name("other.mmdb"), {"1.0.0.0/8": nested("FR")})
    path.write_bytes(other.read_bytes())
    os.utime(path, (0, 0))


def put_behind_a_link_to_another_one(path: Path) -> None:
    other = write_mmdb(path.with_name("other.mmdb"), {"1.0.0.0/8": nested("FR")})
    remove(path)
    path.symlink_to(other)


@pytest.mark.parametrize(
    "change",
    [
        replaced_by_one_of_the_same_size_and_time,
        overwritten_by_a_longer_one_of_the_same_time,
        overwritten_by_one_of_the_same_size_and_an_older_time,
        put_behind_a_link_to_another_one,
    ],
)
async def test_any_sign_of_a_change_is_enough(path: Path, change: Callable[[Path], None]) -> None:
    write_mmdb(path, {"1.0.0.0/8": nested("DE")})
    files = await opened(path)
    change(path)
    assert len(await files.refresh()) == 1
    assert files.find("1.1.1.1") == Geo("FR", "Land FR")
    files.close()


async def test_several_new_files_come_into_use_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    country = write_mmdb(tmp_path / "country.mmdb", {"1.0.0.0/8": nested("DE")})
    networks = write_mmdb(tmp_path / "asn.mmdb", {"1.0.0.0/8": {"asn": 1, "as_name": "Old"}})
    files = await opened(country, networks)
    old, new = files.find("1.1.1.1"), Geo("FR", "Land FR", "AS2", "New")
    write_mmdb(country, {"1.0.0.0/8": nested("FR")})
    write_mmdb(networks, {"1.0.0.0/8": {"asn": 2, "as_name": "New"}})
    seen = []

    async def open_and_look(path: Path, *, time_limit: float) -> MmdbSource:
        source = await open_file(path, time_limit=time_limit)
        seen.append(files.find("1.1.1.1"))
        return source

    monkeypatch.setattr(merged, "open_file", open_and_look)
    await files.refresh()
    assert seen == [old, old]
    assert files.find("1.1.1.1") == new
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


async def test_a_good_file_after_a_bad_one_is_taken_up(path: Path) -> None:
    write_mmdb(path, {"1.0.0.0/8": nested("DE")})
    files = await opened(path)
    put(path, b"no database")
    await files.refresh()
    write_mmdb(path, {"1.0.0.0/8": nested("FR")})
    assert len(await files.refresh()) == 1
    assert files.find("1.1.1.1") == Geo("FR", "Land FR")
    (state,) = files.states()
    assert (state.status, state.problem) == (FileStatus.LOADED, None)
    put(path, b"no database")
    with capture_logs() as logs:
        await files.refresh()
    assert [line["event"] for line in logs] == ["mmdb_refused"]  # said again: it is another time
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


async def test_a_file_that_is_there_again_as_it_was_is_said_to_be(tmp_path: Path) -> None:
    directory, away = tmp_path / "mounted", tmp_path / "away"
    directory.mkdir()
    files = await opened(write_mmdb(directory / "country.mmdb", {"1.0.0.0/8": nested("DE")}))
    directory.rename(away)
    with capture_logs() as logs:
        await files.refresh()
        away.rename(directory)
        await files.refresh()
        await files.refresh()
    assert files.states()[0].status is FileStatus.LOADED
    assert [line["event"] for line in logs] == ["mmdb_missing", "mmdb_recovered"]
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
