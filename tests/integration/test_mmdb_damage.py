"""2,000 random damages of an MMDB: whoever holds it never dies of one, and the old file stays in use.

Most are done to a process that holds the MMDB as the daemon does and forks its probes, some to the daemon itself. They
are the same in every run; ``BANGEOD_TEST_DAMAGES=50000 pytest tests/integration/test_mmdb_damage.py`` does more.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
import time_machine

from tests.integration.conftest import Start
from tests.support.daemon.installation import Installation, every, text
from tests.support.feed import eventually
from tests.support.mmdb import published
from tests.support.mmdb.damage import damaged
from tests.support.mmdb.files import put, write_mmdb, write_realistic_mmdb

DAMAGES = int(os.environ.get("BANGEOD_TEST_DAMAGES", "2000"))
OF_THE_DAEMON = 40
OF_THE_REAL_ONE = 10  # a hundred times as large, so each takes a second or more
SHARES = 2  # processes at a time
NETWORKS = 3_000
BUILT = 1_800_000_000  # seconds since the epoch; so that the files are the same in every run
PATIENCE = 1.0  # seconds for each damage
ROOT = Path(__file__).resolve().parents[2]
SWEDEN = {"country_code": "SE"}


class Share(NamedTuple):
    """What one process is to do."""

    good: Path
    seed: int
    damages: int


@pytest.fixture(scope="module")
def realistic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with time_machine.travel(BUILT, tick=False):
        return write_realistic_mmdb(tmp_path_factory.mktemp("good") / "realistic.mmdb", NETWORKS)


def held(shares: Sequence[Share], work: Path) -> Iterator[dict[str, Any]]:
    """Let processes hold an MMDB and damage it, side by side; hand out what each of them says."""
    with ExitStack() as running:
        started = []
        for share in shares:
            own = work / str(share.seed)
            own.mkdir()
            command = [
                sys.executable,
                "-m",
                "tests.support.mmdb.holder",
                str(share.good),
                str(own),
                str(share.seed),
                str(share.damages),
            ]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
            running.enter_context(process)
            running.callback(process.kill)
            started.append((process, share))
        for process, share in started:
            output, errors = process.communicate(timeout=60 + share.damages * PATIENCE * 10)
            assert process.returncode == 0, f"seed {share.seed}: ended with {process.returncode}: {errors[-2000:]}"
            yield json.loads(output)


def total(outcomes: Sequence[dict[str, Any]], key: str) -> int:
    return sum(outcome[key] for outcome in outcomes)


def test_no_damage_gets_past_the_probe_and_then_does_harm(realistic: Path, tmp_path: Path) -> None:
    count = (DAMAGES - OF_THE_DAEMON - OF_THE_REAL_ONE) // SHARES
    outcomes = list(held([Share(realistic, seed, count) for seed in range(SHARES)], tmp_path))
    assert [outcome["faults"] for outcome in outcomes] == [[]] * SHARES
    assert total(outcomes, "refused") + total(outcomes, "taken_up") == SHARES * count
    assert total(outcomes, "lookup_errors") == 0
    assert total(outcomes, "descriptors_left") == 0
    assert total(outcomes, "refused") > total(outcomes, "taken_up") > count // 20
    assert total(outcomes, "killed") > 0  # or the probe would not be needed


def test_no_damage_to_a_real_mmdb_does_either(tmp_path: Path) -> None:
    try:
        real = published.fetch(published.default_cache())
    except published.NotToBeHadError as error:
        pytest.skip(str(error))
    outcomes = list(held([Share(real, 90 + seed, OF_THE_REAL_ONE // SHARES) for seed in range(SHARES)], tmp_path))
    assert [outcome["faults"] for outcome in outcomes] == [[]] * SHARES
    assert total(outcomes, "refused") + total(outcomes, "taken_up") == OF_THE_REAL_ONE
    assert total(outcomes, "lookup_errors") == 0


def test_the_daemon_runs_on_through_damage_after_damage(start: Start, place: Installation, tmp_path: Path) -> None:
    with time_machine.travel(BUILT, tick=False):
        mmdb = write_mmdb(tmp_path / "country.mmdb", {f"{octet}.0.0.0/8": SWEDEN for octet in range(1, 100)})
    good = mmdb.read_bytes()
    chance = Random(7)
    daemon = start(every("100ms", "geo_re_resolve"), {"geo.mmdb": [str(mmdb)], "geo.embedded": False})
    for number in range(OF_THE_DAEMON):
        content = damaged(good, chance)
        if number % 2:
            put(mmdb, content)
        else:
            with mmdb.open("r+b") as file:
                file.truncate(0)
                file.write(content)
        place.insert(rows=[(f"{octet}.1.{number}.1", None, text()) for octet in range(20, 30)])
        assert daemon.reload()["event"] == "config_reloaded"
    put(mmdb, good)
    daemon.reload()
    eventually(lambda: set(place.countries().values()) == {"SE"}, "every address has its country")
    assert daemon.stop() == 0
    loaded, refused = daemon.lines("mmdb_loaded"), daemon.lines("mmdb_refused")
    assert len(loaded) + len(refused) == 1 + OF_THE_DAEMON + 1
    assert all(line["old_one_in_use"] for line in refused)
    assert not [line for line in daemon.lines() if line["level"] in {"error", "critical"} or "exception" in line]
