"""The daemon of a build that is measured: when it counts as ready, and that nothing of it is left."""

import os
import sys
import tomllib
from pathlib import Path

import pytest

from tests.benchmarks.against.builds import Build
from tests.benchmarks.against.measured_daemon import measured_daemon

READY = """
import os, socket, time
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
time.sleep(60)
"""


def build(directory: Path, program: str) -> Build:
    """Return a build whose command is this program."""
    build = Build("a build", directory)
    path = Path(build.program)
    path.parent.mkdir()
    path.write_text(f"#!{sys.executable}\n{program}")
    path.chmod(0o755)
    return build


def test_a_daemon_that_ends_before_it_is_ready_is_an_error_with_what_it_said(tmp_path: Path) -> None:
    broken = build(tmp_path, "raise SystemExit('the config is bad')")
    with (
        pytest.raises(RuntimeError, match=r"a build did not become ready.*\n.*the config is bad"),
        measured_daemon(broken, tmp_path, tmp_path / "bangui.db"),
    ):
        pass


def test_a_daemon_that_is_ready_has_taken_memory_and_time_and_is_gone_afterwards(tmp_path: Path) -> None:
    with measured_daemon(build(tmp_path, READY), tmp_path, tmp_path / "bangui.db") as daemon:
        rss, pss = daemon.memory()
        assert rss >= pss > 0
        assert daemon.ready_after > 0
        assert daemon.cpu_seconds() >= 0
    with pytest.raises(ProcessLookupError):
        os.kill(daemon.pid, 0)


def test_settings_of_a_trial_are_in_its_config(tmp_path: Path) -> None:
    settings = {"cache.max_entries": 7}
    with measured_daemon(build(tmp_path, READY), tmp_path, tmp_path / "bangui.db", settings) as daemon:
        found = tomllib.loads(daemon.config.read_text())
    assert found["cache"]["max_entries"] == 7
    assert found["database"]["path"] == str(tmp_path / "bangui.db")
