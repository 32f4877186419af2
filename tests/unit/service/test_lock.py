"""One daemon a database."""

import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bangeod.errors import AlreadyServedError, StoreError, StoreMissingError, StoreReadOnlyError
from bangeod.service.lock import DatabaseLock

HOLD = """
import sys
from pathlib import Path
from bangeod.service.lock import DatabaseLock
with DatabaseLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "bangui.db"


@contextmanager
def another_process_with_the_lock(database: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def lock_file(database: Path) -> Path:
    return database.with_name("bangui.db.bangeod-lock")


def test_the_lock_is_a_file_beside_the_database(database: Path) -> None:
    with DatabaseLock(database) as lock:
        assert lock.held
    assert list(database.parent.iterdir()) == [lock_file(database)]


@pytest.mark.slow
def test_another_process_keeps_this_one_out_until_it_ends(database: Path) -> None:
    lock = DatabaseLock(database)
    with another_process_with_the_lock(database) as process:
        with pytest.raises(AlreadyServedError, match=str(database)) as refusal:
            lock.acquire()
        assert refusal.value.exit_status == 75
        process.kill()
        process.wait()
        with lock:
            assert lock.held


def test_this_process_keeps_itself_out(database: Path) -> None:
    with DatabaseLock(database), pytest.raises(AlreadyServedError):
        DatabaseLock(database).acquire()


def test_a_released_lock_is_free(database: Path) -> None:
    with DatabaseLock(database):
        pass
    with DatabaseLock(database) as lock:
        assert lock.held


def test_taking_and_releasing_twice_is_once(database: Path) -> None:
    lock = DatabaseLock(database)
    lock.acquire()
    lock.acquire()
    lock.release()
    lock.release()
    assert not lock.held
    with DatabaseLock(database):
        pass


def test_two_databases_in_one_directory_are_two_locks(database: Path) -> None:
    with DatabaseLock(database), DatabaseLock(database.with_name("other.db")) as other:
        assert other.held


def test_two_paths_to_one_database_share_one_lock(database: Path, tmp_path: Path) -> None:
    database.touch()
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.db"
    link.symlink_to(database)
    with DatabaseLock(database), pytest.raises(AlreadyServedError):
        DatabaseLock(link).acquire()


def test_a_link_that_leads_elsewhere_takes_the_lock_along(database: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "other.db"
    other.parent.mkdir()
    link = tmp_path / "link.db"
    link.symlink_to(database)
    with DatabaseLock(link) as lock:
        link.unlink()
        link.symlink_to(other)
        lock.acquire()
        with pytest.raises(AlreadyServedError):
            DatabaseLock(other).acquire()
        with DatabaseLock(database) as old:
            assert old.held


def test_the_old_lock_is_kept_where_that_of_the_file_that_a_link_leads_to_is_taken(
    database: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(database)
    with DatabaseLock(link) as lock, DatabaseLock(tmp_path / "other.db"):
        link.unlink()
        link.symlink_to(tmp_path / "other.db")
        with pytest.raises(AlreadyServedError):
            lock.acquire()
        with pytest.raises(AlreadyServedError):
            DatabaseLock(database).acquire()


def test_a_link_to_a_directory_that_is_not_there_is_named(database: Path, tmp_path: Path) -> None:
    database.symlink_to(tmp_path / "gone" / "real.db")
    with pytest.raises(StoreMissingError, match=rf"the symbolic link {database} leads to {tmp_path}/gone/real\.db"):
        DatabaseLock(database).acquire()


def test_links_that_lead_in_a_circle_are_named_and_no_lock_is_made(database: Path) -> None:
    database.symlink_to(database.name)
    with pytest.raises(StoreMissingError, match="lead in a circle"):
        DatabaseLock(database).acquire()
    assert not lock_file(database).exists()


def test_the_database_itself_is_not_touched(database: Path) -> None:
    with DatabaseLock(database):
        assert not database.exists()


def test_every_user_may_open_the_file_whatever_the_umask(database: Path) -> None:
    before = os.umask(0o077)
    try:
        with DatabaseLock(database):
            assert stat.S_IMODE(lock_file(database).stat().st_mode) == 0o644
    finally:
        os.umask(before)


def test_a_lock_that_is_refused_is_not_held(database: Path) -> None:
    lock = DatabaseLock(database)
    with DatabaseLock(database), pytest.raises(AlreadyServedError):
        lock.acquire()
    assert not lock.held


@pytest.mark.slow
def test_a_child_process_does_not_inherit_the_lock(database: Path) -> None:
    lock = DatabaseLock(database)
    lock.acquire()
    child = subprocess.Popen(
        [sys.executable, "-c", "print('up', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        close_fds=False,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        assert lock._descriptor is not None
        os.close(lock._descriptor)  # as the end of this process would
        with DatabaseLock(database) as other:
            assert other.held
    finally:
        child.communicate(b"\n")


def test_a_release_counts_while_a_child_just_forked_still_has_a_copy(database: Path) -> None:
    lock = DatabaseLock(database)
    lock.acquire()
    assert lock._descriptor is not None
    copy = os.dup(lock._descriptor)
    lock.release()
    with DatabaseLock(database) as other:
        assert other.held
    os.close(copy)


def test_a_file_replaced_between_opening_and_locking_is_locked_anew(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, calls = fcntl.flock, 0

    def slow_flock(descriptor: int, operation: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            lock_file(database).unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", slow_flock)
    with DatabaseLock(database), pytest.raises(AlreadyServedError):
        DatabaseLock(database).acquire()


def test_a_file_that_is_replaced_for_ever_is_given_up_with_an_error(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda *_: lock_file(database).unlink())
    with pytest.raises(StoreError, match="keeps being replaced"):
        DatabaseLock(database).acquire()


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreMissingError, match=rf"no directory {tmp_path}/missing; create it"):
        DatabaseLock(tmp_path / "missing" / "bangui.db").acquire()


def test_a_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreMissingError, match="no directory"):
        DatabaseLock(tmp_path / "file" / "bangui.db").acquire()


def test_a_directory_that_cannot_be_written_says_what_to_do(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, flags: int, *_: int) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied")
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreReadOnlyError, match=f"let bangeod's user write in {database.parent}"):
        DatabaseLock(database).acquire()


def test_a_link_in_the_place_of_the_lock_is_not_followed(database: Path, tmp_path: Path) -> None:
    lock_file(database).symlink_to(tmp_path / "victim")
    with pytest.raises(StoreReadOnlyError, match="move away what is at"):
        DatabaseLock(database).acquire()
    assert not (tmp_path / "victim").exists()


def test_a_named_pipe_in_the_place_of_the_lock_does_not_hang(database: Path) -> None:
    os.mkfifo(lock_file(database))
    with DatabaseLock(database) as lock:
        assert lock.held
