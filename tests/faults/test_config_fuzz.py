"""Configs made by chance, at the start and at a reload: taken up, or refused with all that is wrong."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bangeod.client import GeoClient
from bangeod.config import Settings, load, to_toml
from bangeod.errors import ConfigError, ConfigProblem
from tests.conftest import Start
from tests.faults.soak import times
from tests.support.config_documents import HARMS, Document, documents, spoil
from tests.support.daemon.installation import JOBS, Installation, as_toml
from tests.support.daemon.process import DaemonProcess, Line, bangeod
from tests.support.feed import DEADLINE

CHECKS = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)
A_JOB = ("enabled", "interval", "timeout")


def often(few: int, many: int) -> settings:
    return settings(max_examples=times(few, many), deadline=None, suppress_health_check=CHECKS, database=None)


def outcome(file: Path) -> Settings | tuple[ConfigProblem, ...]:
    try:
        return load(file, {})
    except ConfigError as error:
        return error.findings


# --- the loader ---


@often(300, 20_000)
@given(document=documents())
def test_a_document_is_taken_up_or_everything_that_is_wrong_is_named(tmp_path: Path, document: Document) -> None:
    file = tmp_path / "bangeod.toml"
    file.write_text(as_toml(document.settings))
    loaded = outcome(file)
    if isinstance(loaded, Settings):
        assert not document.named
        file.write_text(to_toml(loaded, mask=False))
        assert load(file, {}) == loaded
    else:
        assert {finding.key for finding in loaded} == document.named
        assert all(finding.problem and finding.problem.isprintable() for finding in loaded)


@often(200, 20_000)
@given(document=documents(spoilt=False), place=st.integers(0, 5_000), harm=st.integers(0, HARMS - 1))
def test_a_good_file_that_is_spoilt_is_taken_up_or_refused(
    tmp_path: Path, document: Document, place: int, harm: int
) -> None:
    file = tmp_path / "bangeod.toml"
    file.write_bytes(spoil(as_toml(document.settings).encode(), place, harm))
    loaded = outcome(file)
    assert isinstance(loaded, Settings) or loaded


def client_of(place: Installation) -> GeoClient:
    return GeoClient(str(place.socket), timeout=DEADLINE, strict=True)


def works_by(wanted: Settings, client: GeoClient) -> dict[str, Any]:
    """See that a daemon works by these settings; return its status."""
    status = client.status()
    found = {job["id"]: tuple(job[key] for key in A_JOB) for job in status["jobs"]}
    assert found == {job: tuple(getattr(getattr(wanted.jobs, job), key) for key in A_JOB) for job in JOBS}
    assert status["cache"]["max_entries"] == wanted.cache.max_entries
    assert status["sources"]["ip_api"]["enabled"] is wanted.geo.ip_api.enabled
    return status


# --- the start ---


@often(6, 200)
@given(document=documents(spoilt=False))
def test_a_daemon_starts_on_a_good_config_works_by_it_and_stops(place: Installation, document: Document) -> None:
    place.config.write_text(as_toml({**place.settings, "api.enabled": True, **document.settings}))
    with DaemonProcess(place.config) as daemon:
        daemon.wait_for("ready")
        with client_of(place) as client:
            assert works_by(load(place.config, {}), client)["config"]["refused"] is False
        assert daemon.stop() == 0
    assert not [line for line in daemon.lines() if "exception" in line or line["level"] in {"error", "critical"}]


def start_refused(config: Path) -> Sequence[str]:
    """Start a daemon on a config that is no good; return what it says, a line for each thing."""
    ran = bangeod("run", "--config", str(config))
    assert (ran.returncode, ran.stdout) == (78, "")
    assert "Traceback" not in ran.stderr
    lines = ran.stderr.splitlines()
    assert lines
    assert all(line.startswith(f"{config}: ") for line in lines)
    return [line.removeprefix(f"{config}: ") for line in lines]


@often(12, 300)
@given(document=documents(spoilt=True))
def test_a_daemon_does_not_start_on_a_bad_config_and_names_all_of_it(tmp_path: Path, document: Document) -> None:
    config = tmp_path / "bangeod.toml"
    config.write_text(as_toml(document.settings))
    assert {line.partition(":")[0] for line in start_refused(config)} == document.named


def directory(path: Path) -> None:
    path.mkdir()


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def circle(path: Path) -> None:
    path.symlink_to(path)


def nothing(path: Path) -> None:
    path.symlink_to("/nowhere")


def nested(path: Path) -> None:
    path.write_bytes(spoil(b"", 0, 7))


def huge_number(path: Path) -> None:
    path.write_bytes(spoil(b"", 0, 8))


def huge_file(path: Path) -> None:
    path.write_bytes(spoil(b"", 0, 9))


def cut_off(path: Path) -> None:
    path.write_text('[database]\npath = "/var/lib/ban')


def with_nul(path: Path) -> None:
    path.write_bytes(b"[log]\0\n")


def no_utf8(path: Path) -> None:
    path.write_bytes(b'[log]\nlevel = "\xff"\n')


HARM: Sequence[Callable[[Path], None]] = (
    directory,
    fifo,
    device,
    circle,
    nothing,
    nested,
    huge_number,
    huge_file,
    cut_off,
    with_nul,
    no_utf8,
)


@pytest.mark.parametrize("harm", HARM)
def test_what_is_no_config_is_said_in_one_line(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    config = tmp_path / "bangeod.toml"
    harm(config)
    assert len(start_refused(config)) == 1


# --- a reload ---


@dataclass
class Reloading:
    """A running daemon and its config; ``in_force`` is what of it the daemon has taken up last."""

    daemon: DaemonProcess
    place: Installation
    client: GeoClient
    in_force: Settings

    def reload(self, named: frozenset[str]) -> Line:
        """Have the config read, and hold what comes of it against what has to."""
        line = self.daemon.reload()
        if named:
            assert line["event"] == "config_refused"
            assert {problem.partition(":")[0] for problem in line["problems"]} == named
        else:
            assert line["event"] == "config_reloaded"
            self.in_force = load(self.place.config, {})
        self.hold(refused=bool(named))
        return line

    def hold(self, *, refused: bool) -> None:
        """See that the daemon works by what is in force."""
        assert works_by(self.in_force, self.client)["config"]["refused"] is refused


@pytest.fixture
def reloading(start: Start, place: Installation) -> Any:
    daemon = start({"api.enabled": True})
    with client_of(place) as client:
        yield Reloading(daemon, place, client, load(place.config, {}))
    assert daemon.stop() == 0
    assert not [line for line in daemon.lines() if "exception" in line or line["level"] == "critical"]
    assert {line["event"] for line in daemon.lines() if line["level"] == "error"} <= {"config_refused"}


def test_a_running_daemon_takes_a_document_up_or_refuses_it_and_stays_as_it_was(reloading: Reloading) -> None:
    base = reloading.place.settings

    @often(100, 3_000)
    @given(document=documents())
    def reload(document: Document) -> None:
        flat = {key for key in document.settings if key in {"database", "api", "log", "state"}}
        kept = {key: value for key, value in base.items() if key.partition(".")[0] not in flat}
        reloading.place.config.write_text(as_toml({**kept, **document.settings}))
        reloading.reload(document.named)

    reload()


def test_a_running_daemon_refuses_what_is_no_config(reloading: Reloading) -> None:
    good = reloading.place.config.read_text()
    for harm in HARM:
        clear(reloading.place.config)
        harm(reloading.place.config)
        assert reloading.daemon.reload()["event"] == "config_refused", harm
        reloading.hold(refused=True)
    clear(reloading.place.config)
    reloading.place.config.write_text(good)
    reloading.reload(frozenset())


def clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
