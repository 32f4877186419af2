"""What outlives a restart."""

import asyncio
import os
import string
import threading
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from bangeod.service.state.history import History

AT = datetime(2026, 11, 22, tzinfo=UTC).timestamp()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.toml"


def loaded(path: Path) -> History:
    history = History(path)
    history.load()
    return history


def saved(path: Path, **successes: float) -> History:
    history = loaded(path)
    for job_id, at in successes.items():
        history.succeeded(job_id, at)
    history.save_now()
    return history


def document(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


def test_without_a_file_nothing_is_known_and_nothing_is_said(path: Path) -> None:
    with capture_logs() as logs:
        history = loaded(path)
    assert (history.last_success("session_cleanup"), history.load_pause(), logs) == (None, None, [])


def test_a_success_survives_a_restart(path: Path) -> None:
    saved(path, session_cleanup=AT)

    assert loaded(path).last_success("session_cleanup") == AT


def test_a_success_is_known_before_it_is_saved(path: Path) -> None:
    history = loaded(path)
    history.succeeded("session_cleanup", AT)

    assert history.last_success("session_cleanup") == AT
    assert not path.exists()


async def test_a_save_does_not_run_on_the_event_loop(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[threading.Thread] = set()
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        threads.add(threading.current_thread())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    history = loaded(path)
    history.succeeded("session_cleanup", AT)
    await history.save()

    assert threads
    assert threading.current_thread() not in threads


async def test_a_pause_is_on_the_disk_when_it_is_saved(path: Path) -> None:
    await loaded(path).save_pause(AT)

    assert loaded(path).load_pause() == AT


async def test_a_pause_can_be_lifted(path: Path) -> None:
    history = loaded(path)
    await history.save_pause(AT)
    await history.save_pause(None)

    assert history.load_pause() is None
    assert loaded(path).load_pause() is None


async def test_a_pause_is_never_shortened_by_rounding(path: Path) -> None:
    await loaded(path).save_pause(AT + 0.2)

    assert loaded(path).load_pause() == AT + 1


async def test_a_pause_that_can_not_be_put_on_the_disk_is_an_error_and_holds_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    history = History(tmp_path / "file" / "state.toml")
    with pytest.raises(OSError, match="can't be written"):
        await history.save_pause(AT)
    assert history.load_pause() == AT


async def test_many_saves_at_once_leave_the_last_state(path: Path) -> None:
    history = loaded(path)
    await asyncio.gather(*(history.save_pause(AT + i) for i in range(20)))

    assert loaded(path).load_pause() == AT + 19


def test_times_are_toml_datetimes_in_utc(path: Path) -> None:
    saved(path, session_cleanup=AT + 0.9)

    assert document(path) == {"jobs": {"session_cleanup": {"last_success": datetime(2026, 11, 22, tzinfo=UTC)}}}


def test_the_file_as_people_write_it_is_understood(path: Path) -> None:
    path.write_text(
        "[jobs.a]\nlast_success = 2026-11-22T00:00:00Z\n"
        "[jobs.b]\nlast_success = 2026-11-22T01:00:00+01:00\n"
        "[jobs.c]\nlast_success = 2026-11-22 00:00:00\n"
    )
    history = loaded(path)

    assert {history.last_success(job_id) for job_id in "abc"} == {AT}


def test_unknown_tables_and_keys_are_kept(path: Path) -> None:
    path.write_text('version = 2\n[jobs.a]\nnote = "mine"\n[ip_api]\nleft = 3\n[new]\nat = 2026-01-01\n')
    before = document(path)
    saved(path, a=AT)
    after = document(path)
    del after["jobs"]["a"]["last_success"]

    assert after == before


def test_what_another_process_saved_meanwhile_is_kept(path: Path) -> None:
    one, other = loaded(path), loaded(path)
    one.succeeded("a", AT)
    one.save_now()
    other.succeeded("b", AT + 1)
    other.save_now()

    assert (loaded(path).last_success("a"), loaded(path).last_success("b")) == (AT, AT + 1)


def test_processes_that_save_at_the_same_moment_lose_nothing(path: Path) -> None:
    def save_some(writer: str) -> None:
        for number in range(10):
            saved(path, **{f"{writer}{number}": AT})

    with ThreadPoolExecutor(4) as pool:  # the lock is the file's, so threads stand for processes
        list(pool.map(save_some, "abcd"))

    assert len(document(path)["jobs"]) == 40


def test_a_file_removed_meanwhile_is_written_whole(path: Path) -> None:
    history = saved(path, a=AT)
    path.unlink()
    history.succeeded("b", AT)
    history.save_now()

    assert set(document(path)["jobs"]) == {"a", "b"}


def test_a_save_without_changes_touches_nothing(path: Path) -> None:
    history = saved(path, a=AT)
    path.unlink()
    history.save_now()

    assert not path.exists()


def test_the_file_is_for_its_owner_alone(path: Path) -> None:
    saved(path, a=AT)

    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a directory another user's")
def test_a_file_written_by_root_belongs_to_the_owner_of_the_directory(path: Path) -> None:
    os.chown(path.parent, 4711, 4712)
    saved(path, a=AT)

    assert (path.stat().st_uid, path.stat().st_gid) == (4711, 4712)


def test_a_missing_directory_is_made(tmp_path: Path) -> None:
    saved(tmp_path / "state" / "state.toml", a=AT)

    assert loaded(tmp_path / "state" / "state.toml").last_success("a") == AT


BAD = {
    "not TOML": b"jobs = [",
    "not text": b"\xff\xfe",
    "a job that is no table": b"[jobs]\na = 1",
    "a time that is text": b'[jobs.a]\nlast_success = "2026-11-22T00:00:00Z"',
    "a time that is a number": b"[jobs.a]\nlast_success = 5",
    "a time that is a date": b"[jobs.a]\nlast_success = 2026-11-22",
    "a pause of the wrong type": b"[ip_api]\npaused_until = true",
    "nested beyond reason": b"a = " + b"[" * 100_000,
    "tables nested beyond reason": b"a" + b".a" * 5000 + b" = 1",
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD.keys())
def test_a_bad_file_is_reported_kept_aside_and_started_afresh(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    aside = path.with_name("state.toml.bad")
    with capture_logs() as logs:
        history = loaded(path)

    assert [(line["event"], line["log_level"], line["path"]) for line in logs] == [
        ("state_unreadable", "warning", str(path))
    ]
    assert logs[0]["problem"]
    assert logs[0]["kept_as"] == str(aside)
    assert aside.read_bytes() == content
    assert history.last_success("a") is None
    saved(path, a=AT)
    assert loaded(path).last_success("a") == AT


def test_a_file_that_goes_bad_while_it_runs_is_replaced_by_what_is_known(path: Path) -> None:
    history = saved(path, a=AT)
    path.write_bytes(b"jobs = [")
    history.succeeded("b", AT)
    with capture_logs() as logs:
        history.save_now()

    assert [line["event"] for line in logs] == ["state_unreadable"]
    assert set(document(path)["jobs"]) == {"a", "b"}


garbage = st.binary() | st.text().map(str.encode)
almost = st.lists(
    st.sampled_from(["[jobs.a]", "[ip_api]", "[jobs]", "last_success = ", "paused_until=", "\n", "{", "}", "=", "'"])
    | st.sampled_from(["2026-11-22T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "nan"])
    | st.text(string.printable, max_size=3)
).map(lambda parts: "".join(parts).encode())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=garbage | almost)
def test_no_content_keeps_it_from_working(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with capture_logs():
        saved(path, a=AT)

    assert loaded(path).last_success("a") == AT


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_a_time_at_the_end_of_the_calendar_can_be_written_again(path: Path, at: str) -> None:
    path.write_text(f"[jobs.a]\nlast_success = {at}\n")
    history = loaded(path)
    path.unlink()
    history.succeeded("b", AT)
    history.save_now()

    assert loaded(path).last_success("a") == history.last_success("a") is not None


def broken(call: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make a system call fail as on a full disk; returns what mends it."""

    def fail(*_args: object, **_kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    working = getattr(os, call)
    monkeypatch.setattr(os, call, fail)
    return lambda: monkeypatch.setattr(os, call, working)


@pytest.mark.parametrize("call", ["fsync", "rename", "open"])
def test_a_save_that_fails_leaves_the_old_file_and_is_made_up_for(
    path: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = saved(path, a=AT)
    before = path.read_bytes()
    mend = broken(call, monkeypatch)
    with capture_logs() as logs:
        history.succeeded("a", AT + 60)
        history.save_now()
        history.succeeded("b", AT)
        history.save_now()
    mend()

    assert [(line["event"], line["log_level"], line["problem"]) for line in logs] == [
        ("state_unwritable", "warning", "No space left on device")  # once
    ]
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    assert history.last_success("a") == AT + 60
    history.save_now()
    assert loaded(path).last_success("a") == AT + 60


def test_a_second_outage_is_reported_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = saved(path, a=AT)
    with capture_logs() as logs:
        for at in (AT + 1, AT + 2):
            mend = broken("fsync", monkeypatch)
            history.succeeded("a", at)
            history.save_now()
            mend()
            history.save_now()

    assert [line["event"] for line in logs] == ["state_unwritable", "state_recovered"] * 2


def test_a_bad_file_that_can_not_be_set_aside_is_said_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = saved(path, a=AT)
    path.write_bytes(b"jobs = [")
    broken("fsync", monkeypatch)

    def refuse(*_args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with capture_logs() as logs:
        for at in (AT + 1, AT + 2):
            history.succeeded("a", at)
            history.save_now()

    said = [line["event"] for line in logs if line["log_level"] == "warning"]
    assert said == ["state_unreadable", "state_unwritable"]


def test_a_crash_before_the_rename_leaves_the_old_file_and_no_obstacle(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    history = saved(path, a=AT)
    history.succeeded("a", AT + 60)
    with monkeypatch.context() as patch:

        def die(*_args: object, **_kwargs: object) -> None:
            patch.setattr(os, "unlink", die)  # who is killed does not clear up
            raise KilledError

        patch.setattr(os, "rename", die)
        with pytest.raises(KilledError):
            history.save_now()

    assert len(list(path.parent.iterdir())) == 2  # with what the killed one left
    assert loaded(path).last_success("a") == AT
    saved(path, a=AT + 120)
    assert list(path.parent.iterdir()) == [path]
    assert loaded(path).last_success("a") == AT + 120


def test_the_file_is_on_the_disk_before_the_rename_and_the_directory_after(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def noted(name: str) -> None:
        working = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            return working(*args, **kwargs)

        monkeypatch.setattr(os, name, call)

    noted("fsync")
    noted("rename")
    saved(path, a=AT)

    assert calls == ["fsync", "rename", "fsync"]


FILE = Path("/var/lib/GeoIP/GeoLite2-Country.mmdb")


def test_what_the_cache_was_verified_against_survives_a_restart(path: Path) -> None:
    history = loaded(path)
    history.has_verified({FILE: AT})
    history.save_now()
    assert loaded(path).verified() == {FILE: AT}


def test_a_file_that_is_no_longer_in_use_is_forgotten(path: Path) -> None:
    history = loaded(path)
    history.has_verified({FILE: AT, Path("/other.mmdb"): AT})
    history.save_now()
    history.has_verified({FILE: AT + 1})
    history.save_now()
    assert loaded(path).verified() == {FILE: AT + 1}


def test_it_is_empty_until_something_is_known(path: Path) -> None:
    history = loaded(path)
    assert history.is_empty
    history.succeeded("session_cleanup", AT)
    assert not history.is_empty


async def test_the_names_of_countries_survive_a_restart(path: Path) -> None:
    await saved(path, session_cleanup=AT).keep_names({"RU": "Russia", "CI": "Côte d'Ivoire"})

    assert loaded(path).load_names() == {"RU": "Russia", "CI": "Côte d'Ivoire"}
    assert loaded(path).last_success("session_cleanup") == AT


async def test_a_name_that_another_process_has_kept_stays(path: Path) -> None:
    ours, theirs = loaded(path), loaded(path)
    await theirs.keep_names({"RU": "Russian Federation"})

    assert await ours.keep_names({"RU": "Russia", "DE": "Germany"}) == {"RU": "Russian Federation", "DE": "Germany"}
    assert ours.load_names() == loaded(path).load_names() == {"RU": "Russian Federation", "DE": "Germany"}


async def test_names_in_a_directory_that_cannot_be_written_are_known_in_memory_and_reported_once(path: Path) -> None:
    history = loaded(path.parent / "file" / "state.toml")
    path.with_name("file").write_text("no directory")
    with capture_logs() as logs:
        assert await history.keep_names({"RU": "Russia"}) == {"RU": "Russia"}
        assert await history.keep_names({"DE": "Germany"}) == {"DE": "Germany"}

    assert history.load_names() == {"RU": "Russia", "DE": "Germany"}
    assert [entry["event"] for entry in logs] == ["state_unwritable"]


@pytest.mark.parametrize("names", ["7", '["RU"]', "{RU = 7}", '{RU = ""}', '{RU = "-"}', '{RU = "a\\nb"}'])
def test_names_that_are_none_are_reported_and_started_afresh(path: Path, names: str) -> None:
    path.write_text(f"country_names = {names}\n")
    with capture_logs() as logs:
        history = loaded(path)

    assert history.load_names() == {}
    assert [entry["event"] for entry in logs] == ["state_unreadable"]
    assert path.with_name("state.toml.bad").exists()


async def test_names_alone_say_nothing_of_an_earlier_run(path: Path) -> None:
    await loaded(path).keep_names({"RU": "Russia"})

    assert loaded(path).is_empty


# --- what may wait ---


def test_what_may_wait_is_known_at_once_and_written_with_what_may_not(path: Path) -> None:
    history = saved(path, a=AT)
    before = path.read_bytes()
    history.succeeded("a", AT + 60, may_wait=True)
    history.save_now()
    assert history.last_success("a") == AT + 60
    assert path.read_bytes() == before
    history.succeeded("b", AT)
    history.save_now()
    assert loaded(path).last_success("a") == AT + 60


async def test_a_save_of_what_may_wait_alone_asks_no_thread(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = saved(path, a=AT)
    history.succeeded("a", AT + 60, may_wait=True)

    async def refuse(*_args: object) -> None:
        pytest.fail("it asks one")

    monkeypatch.setattr(asyncio, "to_thread", refuse)
    await history.save()


async def test_a_pause_takes_along_what_waits(path: Path) -> None:
    history = saved(path, a=AT)
    history.succeeded("a", AT + 60, may_wait=True)
    await history.save_pause(AT)
    assert loaded(path).last_success("a") == AT + 60


async def test_before_the_end_what_waits_is_written_as_well(path: Path) -> None:
    history = saved(path, a=AT)
    history.succeeded("a", AT + 60, may_wait=True)
    await history.save_all()
    assert loaded(path).last_success("a") == AT + 60


def test_before_the_end_nothing_is_written_that_is_written_already(path: Path) -> None:
    history = saved(path, a=AT)
    path.unlink()
    asyncio.run(history.save_all())
    assert not path.exists()


def test_what_could_not_be_written_does_not_wait_because_a_later_one_may(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = saved(path, a=AT)
    mend = broken("fsync", monkeypatch)
    history.succeeded("a", AT + 60)
    history.save_now()
    mend()
    history.succeeded("a", AT + 120, may_wait=True)
    history.save_now()
    assert loaded(path).last_success("a") == AT + 120


def test_what_comes_after_it_may_wait_again(path: Path) -> None:
    history = saved(path, a=AT)
    history.succeeded("a", AT + 60, may_wait=True)
    history.succeeded("a", AT + 3600)
    history.save_now()
    before = path.read_bytes()
    history.succeeded("a", AT + 3660, may_wait=True)
    history.save_now()
    assert path.read_bytes() == before


def test_the_success_saved_last_is_this_processs_own(path: Path) -> None:
    saved(path, a=AT)
    history = loaded(path)
    assert history.saved_success("a") is None
    history.succeeded("a", AT + 60)
    assert history.saved_success("a") is None
    history.save_now()
    assert history.saved_success("a") == AT + 60
