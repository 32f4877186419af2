"""An MMDB is swapped, cut off and damaged while the daemon is asked: each answer is a good one's, nothing leaks."""

import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from random import Random

import pytest

from bangeod.client import Status
from bangeod.service.daemon import SOURCES_EVERY
from tests.conftest import Start
from tests.faults.conftest import SWAPS, VERSIONS
from tests.faults.soak import times
from tests.support.companion import Companion
from tests.support.daemon import broken_within
from tests.support.daemon.installation import Installation, every
from tests.support.daemon.process import DaemonProcess
from tests.support.feed import eventually
from tests.support.mmdb.damage import damaged
from tests.support.mmdb.files import put, write_mmdb
from tests.support.mmdb.forked_probe import IN_THE_DAEMON
from tests.support.mmdb.swapper import ENOUGH
from tests.support.web_app.habits import Habits
from tests.support.web_app.web_app import WebApp

ONE, OTHER = VERSIONS
MANY = 4_000  # networks
COPY = "/memfd:bangeod-mmdb"  # the daemon's private copy of a file, as its map has it
WARM = 20  # swaps, after which all that is opened once is open
ROOM = 1.5  # times the memory of then: were each file kept, some thirty more would need that
DIFFERENT = 2_000  # addresses that are asked, again and again


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Give two files that know the same networks, each with a country of its own, by country."""
    made = tmp_path_factory.mktemp("versions")
    names = [f"20.{number >> 8}.{number & 255}.0/24" for number in range(MANY)]
    return {
        country: write_mmdb(made / country, {name: {"country_code": country} for name in names}).read_bytes()
        for country in (ONE, OTHER)
    }


@pytest.fixture
def mmdb(tmp_path: Path, versions: dict[str, bytes]) -> Path:
    return put(tmp_path / "country.mmdb", versions[ONE])


def using(mmdb: Path) -> dict[str, object]:
    """Return the settings of a daemon that has its answers from this file."""
    more = {"geo.mmdb": [str(mmdb)], "geo.embedded": False, "api.enabled": True}
    return {**every("1s", "geo_cache_flush"), **more}


@pytest.fixture
def daemon(start: Start, mmdb: Path) -> DaemonProcess:
    return start(using(mmdb))


@pytest.fixture
def asking(place: Installation) -> WebApp:
    return WebApp(habits=Habits(socket=str(place.socket), asks=["20.2"]))


class Figures:
    """What a process holds."""

    def __init__(self, pid: int, database: Path) -> None:
        # Not those of the database: a second connection to it stays open once there was much to write.
        self.descriptors = sum(not target.startswith(str(database)) for target in _open_files(pid))
        self.copies = Path(f"/proc/{pid}/maps").read_text().count(COPY)
        [kib] = re.findall(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), flags=re.MULTILINE)
        self.memory = int(kib) * 1024


def _open_files(pid: int) -> Iterator[str]:
    for number in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since
            yield os.readlink(number)  # noqa: PTH115 (it is "socket:[1]", say)


def overwrite(path: Path, content: bytes) -> None:
    """Write over a file in place, as cp does."""
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(content)


def test_swaps_beneath_the_daemon_that_is_asked(
    start: Start, place: Installation, tmp_path: Path, large_mmdbs: Path
) -> None:
    mmdb = put(tmp_path / "country.mmdb", (large_mmdbs / ONE).read_bytes())
    swap(start(using(mmdb)), place, mmdb, large_mmdbs, times(60, 1_000))


def test_a_thousand_swaps_beneath_the_daemon_that_is_asked(
    start: Start, place: Installation, tmp_path: Path, large_mmdbs: Path
) -> None:
    """What probes the files is forked instead of started, which is what takes the time; all else is the daemon's."""
    mmdb = put(tmp_path / "country.mmdb", (large_mmdbs / ONE).read_bytes())
    daemon = start(using(mmdb), environ=broken_within.put(IN_THE_DAEMON, tmp_path / "site"))
    swap(daemon, place, mmdb, large_mmdbs, times(1_000, 5_000))


def swap(daemon: DaemonProcess, place: Installation, mmdb: Path, versions: Path, swaps: int) -> None:
    """Put one file in the other's place so often, while addresses are asked, and see what comes of it."""
    contents = {country: (versions / country).read_bytes() for country in (ONE, OTHER)}
    asking = WebApp(habits=Habits(socket=str(place.socket), asks=["20.2"], different=DIFFERENT))
    figures: list[Figures] = []
    began = time.monotonic()
    with asking:
        for number in range(swaps):
            last = (OTHER, ONE)[number % 2]
            (put if number % 3 else overwrite)(mmdb, contents[last])
            assert daemon.reload()["event"] == "config_reloaded"
            asking.wait_for_answers()
            figures.append(Figures(daemon.process.pid, place.database))
            hold(figures)
        # A moment's figure would not do: the verifier may have a state file open.
        least = min(each.descriptors for each in figures[: WARM + 1])
        eventually(lambda: Figures(daemon.process.pid, place.database).descriptors <= least, "no descriptor is left")
    assert len(daemon.lines("mmdb_loaded")) == 1 + swaps
    assert {answer.country_code for answer in asking.heard()} == {ONE, OTHER}
    assert asking.failures == []
    expected = dict.fromkeys((answer.ip for answer in asking.heard()), last)
    eventually(lambda: place.countries() == expected, "all rows are as the last file has them")
    assert daemon.stop() == 0
    complaints = [line["event"] for line in daemon.lines() if line["level"] in {"warning", "error", "critical"}]
    # The daemon also looks by itself, since before this began, and may do so just when a file is being written over.
    assert set(complaints) <= {"mmdb_refused"}
    assert len(complaints) <= (time.monotonic() - began + 1) // SOURCES_EVERY


def hold(figures: Sequence[Figures]) -> None:
    """See that the latest figures leave no room for a copy of a file that is in use no more."""
    latest = figures[-1]
    assert latest.copies == 1
    assert latest.memory < ROOM * figures[min(WARM, len(figures) - 1)].memory


def test_thousands_of_swaps_beneath_lookups(swapper: Companion) -> None:
    outcome = json.loads(swapper.end(timeout=times(300, 3_000)))
    assert outcome["answers"].keys() == {ONE, OTHER}
    assert outcome["memory_grown"] < ENOUGH
    assert outcome["swaps"] == SWAPS
    assert min(outcome["answers"].values()) > 1_000
    assert outcome["problems"] == []
    assert outcome["descriptors_left"] == 0
    assert outcome["copies"] == 1


@pytest.mark.parametrize("write", [put, overwrite], ids=["renamed over", "in place"])
def test_no_damage_changes_an_answer_before_it_is_taken_for_a_good_file(
    daemon: DaemonProcess, asking: WebApp, mmdb: Path, versions: dict[str, bytes], write: object
) -> None:
    assert callable(write)
    chance = Random(11)
    refused = 0
    with asking:
        for _ in range(times(20, 500)):
            since, said = asking.mark(), daemon.mark()
            write(mmdb, damaged(versions[OTHER], chance))
            daemon.reload()
            asking.wait_for_answers(3)
            if daemon.lines("mmdb_refused", since=said):
                refused += 1
                assert {answer.country_code for answer in asking.heard(since)} == {ONE}
                continue
            put(mmdb, versions[ONE])
            daemon.reload()
            asking.wait_for_answers(1)
    assert refused > times(5, 100)
    assert asking.failures == []
    assert {answer.status for answer in asking.heard()} <= {Status.RESOLVED, Status.UNRESOLVED}
    assert daemon.stop() == 0
    assert not [line for line in daemon.lines() if line["level"] in {"error", "critical"} or "exception" in line]


def test_a_file_that_is_cut_off_in_place_again_and_again_stays_in_use(
    daemon: DaemonProcess, asking: WebApp, mmdb: Path, versions: dict[str, bytes]
) -> None:
    chance = Random(12)
    with asking:
        for number in count():
            said = daemon.mark()
            os.truncate(mmdb, chance.randrange(len(versions[ONE])))
            asking.wait_for_answers(3)
            daemon.reload()
            assert daemon.lines("mmdb_refused", since=said)  # two, where it has just looked by itself as well
            if number == times(10, 300):
                break
            overwrite(mmdb, versions[ONE])
    assert {answer.country_code for answer in asking.heard()} == {ONE}
    assert asking.failures == []
    assert daemon.stop() == 0
