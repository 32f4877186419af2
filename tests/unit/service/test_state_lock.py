"""One daemon a state directory, where a server's database may have several."""

from pathlib import Path

import pytest

from bangeod.errors import AlreadyServedError, StateInUseError
from bangeod.service.state_lock import StateLock


def test_a_second_daemon_on_the_same_state_directory_is_kept_out_until_the_first_lets_go(tmp_path: Path) -> None:
    first, second = StateLock(tmp_path), StateLock(tmp_path)
    first.acquire()
    first.acquire()
    with pytest.raises(StateInUseError, match=f"the state directory {tmp_path}: stop it first") as refused:
        second.acquire()
    assert (refused.value.exit_status, isinstance(refused.value, AlreadyServedError)) == (75, True)
    assert refused.value.log_fields() == {"state_directory": str(tmp_path)}
    assert (first.held, second.held) == (True, False)
    first.release()
    second.acquire()
    assert (first.held, second.held) == (False, True)
    second.release()


def test_a_state_directory_that_is_not_there_is_made(tmp_path: Path) -> None:
    lock = StateLock(tmp_path / "state")
    lock.acquire()
    assert lock.held
    lock.release()


def test_one_that_can_not_be_made_is_no_reason_not_to_serve(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    lock = StateLock(tmp_path / "file" / "state")
    lock.acquire()
    assert not lock.held
    lock.release()
