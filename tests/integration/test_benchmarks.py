"""The benchmarks run and print their tables; what the figures are is not for a test to judge."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("start", "bangeod run to READY"),
        ("service", "the service"),
        ("jobs", "session_cleanup"),
        ("ip_api", "quota used"),
        ("resolving", "entries that changed"),
        ("api", "GET, sixteen connections"),
    ],
)
def test_a_benchmark_prints_its_table(name: str, line: str) -> None:
    command = [sys.executable, "-m", "tests.benchmarks", "--quick", name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert line in done.stdout
