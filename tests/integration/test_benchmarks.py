"""The benchmarks run and print their tables; what the figures are is not for a test to judge."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.__main__ import NOT_TO_BE_HAD
from tests.benchmarks.against.turns import TRIALS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("start", "bangeod run to READY"),
        ("service", "the service"),
        ("idle", "a save of state.toml"),
        ("jobs", "session_cleanup"),
        ("ip_api", "quota used"),
        ("resolving", "entries that changed"),
        ("api", "GET, sixteen connections"),
        ("memory", "a table that grows"),
    ],
)
def test_a_benchmark_prints_its_table(name: str, line: str) -> None:
    done = benchmarks("--quick", name, timeout=120)
    assert done.returncode == 0, done.stderr
    assert line in done.stdout


@pytest.mark.usefixtures("postgres_server")
def test_the_benchmark_of_a_server_prints_its_table() -> None:
    done = benchmarks("--quick", "postgres", timeout=120)
    assert done.returncode == 0, done.stderr
    assert "find of 500 addresses" in done.stdout


def test_a_build_is_measured_beside_a_commits(tmp_path: Path) -> None:
    figures_file = tmp_path / "figures"
    left_out = {"session_cleanup", "replication"}  # measured as geo_cache_cleanup is; fetches a program
    names = [name for name in TRIALS if name not in left_out]
    done = benchmarks(*names, "--quick", "--against", "HEAD", "--json", str(figures_file), timeout=900)
    if done.returncode == NOT_TO_BE_HAD:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    for figure in ("bangeod status", "to READY", "an entry", "GETs", "from an MMDB", "the web app's longest wait"):
        assert figure in done.stdout
    figures = json.loads(figures_file.read_text())
    assert len(figures["geo_cache_cleanup, 25,000 rows of 50,000"]["working tree"]) == 1  # turn


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["--against", "no-such-commit"], NOT_TO_BE_HAD, "no-such-commit"),
        (["--against", "HEAD", "neighbour"], 2, "there is no benchmark neighbour"),
        (["session_cleanup"], 2, "there is no benchmark session_cleanup"),
        (["--runs", "0"], 2, "--runs: 0: a number from 1 on is wanted"),
    ],
)
def test_what_can_not_be_measured_is_said(arguments: list[str], status: int, told: str) -> None:
    done = benchmarks(*arguments, timeout=120)
    assert (done.returncode, "Traceback" in done.stderr) == (status, False)
    assert told in done.stderr


def benchmarks(*arguments: str, timeout: float) -> "subprocess.CompletedProcess[str]":
    """Run them to their end."""
    command = [sys.executable, "-m", "tests.benchmarks", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT)
