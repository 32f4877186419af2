"""Opening an MMDB: no file, however damaged or hostile, harms the process that opens it."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bangeod.errors import SourceError
from bangeod.geo.sources.mmdb import file, snapshot
from bangeod.geo.sources.mmdb.file import ProbeError, UnusableFileError, open_file, read_answer
from bangeod.geo.sources.mmdb.probe import Findings
from bangeod.geo.sources.mmdb.snapshot import Snapshot
from bangeod.model import Geo
from tests.support.mmdb.files import FATAL_RECORD, FRANCE, GOOGLE, US, by_hand, encoded, nested, put, remove, write_mmdb


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "country.mmdb"


async def test_a_file_that_kills_the_reader_is_refused(path: Path) -> None:
    put(path, by_hand(FATAL_RECORD, US))
    with pytest.raises(UnusableFileError, match="SIGSEGV"):
        await open_file(path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"text", "no MMDB", id="text"),
        pytest.param(by_hand(US, US)[:-60], "no MMDB|damaged", id="cut off"),
        pytest.param(by_hand(b"\xe1\x42DE\x42\xff\xff", US), "is damaged", id="no UTF-8"),
        pytest.param(by_hand(b"\x20\x00", US), "is damaged", id="pointer to itself"),
        pytest.param(by_hand(US, US, node_count=10**6), "no MMDB|ends too early", id="more nodes than octets"),
        pytest.param(by_hand(US, US, ip_version=5), "damaged metadata|no MMDB", id="IP version 5"),
        pytest.param(by_hand(US, US, record_size=8), "no MMDB|damaged", id="record size 8"),
        pytest.param(by_hand(US, US, build_epoch=2**60), "build time", id="build time"),
        pytest.param(by_hand(US, US, database_type=7), "no MMDB|damaged metadata", id="type is a number"),
        pytest.param(by_hand(*[encoded({"city": "x"})] * 2), "neither countries nor AS numbers", id="cities only"),
    ],
)
async def test_a_file_that_can_t_be_used_is_refused_with_a_reason(path: Path, content: bytes, problem: str) -> None:
    put(path, content)
    with pytest.raises(UnusableFileError, match=problem):
        await open_file(path)


async def test_the_smallest_good_file_opens(path: Path) -> None:
    put(path, by_hand(US, encoded({"country_code": "DE"})))
    source = await open_file(path)
    assert source.findings == Findings("By-Hand", 1_700_000_000, 4, 2, 2, 0, countries_ipv4=2)
    assert source.find("1.1.1.1") == Geo("US", "United States")
    assert source.find("200.1.1.1") == Geo("DE", "Germany")
    source.close()


async def test_a_probe_that_takes_too_long_is_ended(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mmdb(path, {"1.0.0.0/8": nested("DE")})
    monkeypatch.setattr(file, "_PROBE", (sys.executable, "-c", "import time; time.sleep(600)"))
    with pytest.raises(ProbeError, match="could not be checked within 0 s"):
        await open_file(path, time_limit=0.01)


async def test_a_cancelled_opening_leaves_no_child(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mmdb(path, {"1.0.0.0/8": nested("DE")})
    started: list[asyncio.subprocess.Process] = []
    start = asyncio.create_subprocess_exec

    async def note(*args: Any, **options: Any) -> asyncio.subprocess.Process:
        started.append(await start(*args, **options))
        opening.cancel()
        return started[-1]

    monkeypatch.setattr(file, "_PROBE", (sys.executable, "-c", "import time; time.sleep(600)"))
    monkeypatch.setattr(asyncio, "create_subprocess_exec", note)
    opening = asyncio.create_task(open_file(path))
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert started[0].returncode == -signal.SIGKILL


async def test_a_probe_that_can_t_be_started_is_a_problem_of_the_machine(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mmdb(path, {"1.0.0.0/8": nested("DE")})
    monkeypatch.setattr(file, "_PROBE", ("/nonexistent",))
    with pytest.raises(ProbeError, match="no probe can be started"):
        await open_file(path)


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        (b"", -signal.SIGSEGV, UnusableFileError),
        (b"", -signal.SIGKILL, ProbeError),
        (b"", 1, ProbeError),
        (b'{"problem": "is damaged"}', 0, UnusableFileError),
    ],
)
def test_how_a_probe_ended(answer: bytes, status: int, error: type[SourceError]) -> None:
    with pytest.raises(error):
        read_answer(Path("/test.mmdb"), answer, status)


def test_a_copy_can_t_be_changed_and_outlives_the_file(path: Path) -> None:
    put(path, b"content")
    with Snapshot(path) as copy:
        remove(path)
        assert Path(copy.path).read_bytes() == b"content"
        with pytest.raises(PermissionError):
            os.write(copy.fd, b"x")
    copy.close()


@pytest.mark.parametrize("change", [lambda path: os.truncate(path, 1), lambda path: os.truncate(path, 9), os.utime])
def test_a_file_that_changes_while_it_is_copied_is_not_used(
    path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    put(path, b"content")
    fill = snapshot._fill

    def fill_and_change(copy: int, source: int, path: Path) -> None:
        fill(copy, source, path)
        change(path)

    os.utime(path, (0, 0))
    monkeypatch.setattr(snapshot, "_fill", fill_and_change)
    with pytest.raises(SourceError, match="changed while it was being read"):
        Snapshot(path)


def test_a_file_that_grows_without_end_is_not_copied_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bangeod.geo.sources.mmdb.snapshot.MAX_BYTES", 10)
    put(path, b"eleven byte")
    with pytest.raises(SourceError, match="larger than"):
        Snapshot(path)


async def test_descriptors_are_not_leaked(path: Path) -> None:
    put(path, b"no database")
    for _ in range(2):  # the first time opens what stays open: the event loop's own
        before = descriptors()
        with pytest.raises(UnusableFileError):
            await open_file(path)
    assert descriptors() == before


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def damaged_files() -> Iterator[bytes]:
    """Flip octets of a good file, most of them in its data and metadata."""
    good = by_hand(encoded(nested("DE", "FR")), encoded({"country": FRANCE} | GOOGLE))
    chance = random.Random(7)
    for _ in range(30):
        content = bytearray(good)
        for _ in range(chance.choice((1, 1, 4))):
            content[chance.randrange(len(content))] = chance.randrange(256)
        yield bytes(content)


@pytest.mark.slow
async def test_no_damaged_file_gets_past_the_probe_and_then_raises(path: Path) -> None:
    for content in damaged_files():
        put(path, content)
        try:
            source = await open_file(path)
        except UnusableFileError:
            continue
        source.find("1.1.1.1")
        source.find("200.1.1.1")
        assert source.lookup_errors == 0
        source.close()
