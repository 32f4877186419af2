"""An MMDB is swapped, cut off and damaged while the daemon is asked: each answer is a good one's, nothing leaks."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from itertools import count
from pathlib import Path
from random import Random

import pytest

from bangeod.client import Status
from tests.asking import Asking, new_addresses, socket_of
from tests.conftest import Start
from tests.daemon_process import DaemonProcess
from tests.faults.soak import times
from tests.feed import eventually
from tests.installation import Installation, every
from tests.mmdb_damage import damaged
from tests.mmdb_files import put, write_mmdb

ONE, OTHER = "SE", "NO"
MANY, FEW = 4_000, 40  # networks
ROOT = Path(__file__).resolve().parents[2]
COPY = "/memfd:bangeod-mmdb"  # the daemon's private copy of a file, as its map has it
SOME_ROOM = 1.5  # times the memory after the first swaps


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Give two files that know the same networks, each with a country of its own, by country."""
    made = tmp_path_factory.mktemp("versions")
    return {country: make(made / country, country, MANY).read_bytes() for country in (ONE, OTHER)}


def make(path: Path, country: str, networks: int) -> Path:
    names = [f"20.{number >> 8}.{number & 255}.0/24" for number in range(networks)]
    return write_mmdb(path, {name: {"country_code": country} for name in names})


@pytest.fixture
def mmdb(tmp_path: Path, versions: dict[str, bytes]) -> Path:
    return put(tmp_path / "country.mmdb", versions[ONE])


@pytest.fixture
def daemon(start: Start, mmdb: Path) -> DaemonProcess:
    settings = {"geo.mmdb": [str(mmdb)], "geo.embedded": False, "api.enabled": True}
    return start(every("1s", "geo_cache_flush"), settings)


@pytest.fixture
def asking(place: Installation) -> Asking:
    return Asking(socket_of(place), new_addresses("20.2"))


class Figures:
    """What a process holds."""

    def __init__(self, pid: int) -> None:
        self.descriptors = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
        self.copies = Path(f"/proc/{pid}/maps").read_text().count(COPY)
        [kib] = re.findall(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), flags=re.MULTILINE)
        self.memory = int(kib) * 1024


def overwrite(path: Path, content: bytes) -> None:
    """Write over a file in place, as cp does."""
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(content)


def test_hundreds_of_swaps_beneath_the_daemon_that_is_asked(
    daemon: DaemonProcess, place: Installation, asking: Asking, mmdb: Path, versions: dict[str, bytes]
) -> None:
    pid = daemon.process.pid
    swaps = times(40, 1_000)
    figures: list[Figures] = []
    with asking:
        for number in range(swaps):
            country = (OTHER, ONE)[number % 2]
            (put if number % 3 else overwrite)(mmdb, versions[country])
            assert daemon.reload()["event"] == "config_reloaded"
            asking.wait_for_answers()
            figures.append(Figures(pid))
    assert len(daemon.lines("mmdb_loaded")) == 1 + swaps
    heard = Counter(answer.country_code for answer in asking.heard())
    assert set(heard) == {ONE, OTHER}
    assert asking.failures == []
    assert {each.copies for each in figures} == {1}
    assert figures[-1].descriptors <= figures[0].descriptors
    assert figures[-1].memory < SOME_ROOM * figures[min(20, swaps // 2)].memory
    last = (OTHER, ONE)[(swaps - 1) % 2]
    expected = dict.fromkeys((answer.ip for answer in asking.heard()), last)
    eventually(lambda: place.countries() == expected, "all rows are as the last file has them")
    assert daemon.stop() == 0
    assert not [line for line in daemon.lines() if line["level"] in {"warning", "error", "critical"}]


def test_thousands_of_swaps_beneath_lookups(tmp_path: Path) -> None:
    for country in (ONE, OTHER):
        make(tmp_path / country, country, FEW)
    command = [sys.executable, "-m", "tests.mmdb_swapper", str(tmp_path), ONE, OTHER, str(times(2_000, 20_000))]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=3_000, check=False)
    assert ran.returncode == 0, ran.stderr[-2_000:]
    outcome = json.loads(ran.stdout)
    assert outcome["answers"].keys() == {ONE, OTHER}
    assert min(outcome["answers"].values()) > 1_000
    assert outcome["not_taken_up"] == 0
    assert outcome["descriptors_left"] == 0
    assert outcome["memory_grown"] < 1.2
    assert outcome["copies"] == 1


@pytest.mark.parametrize("write", [put, overwrite], ids=["renamed over", "in place"])
def test_no_damage_changes_an_answer_before_it_is_taken_for_a_good_file(
    daemon: DaemonProcess, asking: Asking, mmdb: Path, versions: dict[str, bytes], write: object
) -> None:
    assert callable(write)
    chance = Random(11)
    refused = 0
    with asking:
        for _ in range(times(20, 500)):
            since, said = len(asking.heard()), daemon.mark()
            write(mmdb, damaged(versions[OTHER], chance))
            daemon.reload()
            asking.wait_for_answers(3)
            if daemon.lines("mmdb_refused", since=said):
                refused += 1
                assert {answer.country_code for answer in asking.heard(since)} == {ONE}
                continue
            put(mmdb, versions[ONE])
            daemon.reload()
            asking.wait_for_answers(1)  # one that was asked before
    assert refused > times(5, 100)
    assert asking.failures == []
    assert {answer.status for answer in asking.heard()} <= {Status.RESOLVED, Status.UNRESOLVED}
    assert daemon.stop() == 0
    assert not [line for line in daemon.lines() if line["level"] in {"error", "critical"} or "exception" in line]


def test_a_file_that_is_cut_off_in_place_again_and_again_stays_in_use(
    daemon: DaemonProcess, asking: Asking, mmdb: Path, versions: dict[str, bytes]
) -> None:
    chance = Random(12)
    with asking:
        for number in count():
            os.truncate(mmdb, chance.randrange(len(versions[ONE])))
            asking.wait_for_answers(3)
            daemon.reload()
            if number == times(10, 300):
                break
            overwrite(mmdb, versions[ONE])
    assert {answer.country_code for answer in asking.heard()} == {ONE}
    assert asking.failures == []
    assert daemon.stop() == 0
