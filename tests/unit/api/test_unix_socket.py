"""The socket's file: what is there already, who may open it, and when it goes."""

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from bangeod.api.unix_socket import BoundSocket, bind
from bangeod.errors import SocketError


@contextlib.contextmanager
def bound(path: Path, mode: int = 0o660) -> Iterator[BoundSocket]:
    made = bind(path, mode)
    try:
        yield made
    finally:
        made.socket.close()


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666, 0o700, 0o755])
def test_the_mode_is_the_one_asked_for_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    before = os.umask(0o077)
    try:
        with bound(tmp_path / "s", mode):
            assert stat.S_IMODE((tmp_path / "s").lstat().st_mode) == mode
    finally:
        os.umask(before)


def test_the_group_is_the_processes_also_in_a_setgid_directory(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give a directory to any group")
    os.chown(tmp_path, -1, 65_534)
    tmp_path.chmod(0o2770)
    with bound(tmp_path / "s"):
        assert (tmp_path / "s").lstat().st_gid == os.getegid()


def test_a_missing_directory_is_made(tmp_path: Path) -> None:
    with bound(tmp_path / "run" / "s"):
        assert connects(tmp_path / "run" / "s")


def test_a_socket_on_which_nobody_listens_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "s"))
    with bound(tmp_path / "s"):
        assert connects(tmp_path / "s")


def test_a_socket_on_which_somebody_listens_is_left_alone(tmp_path: Path) -> None:
    with bound(tmp_path / "s"):
        with pytest.raises(SocketError, match="another program listens there"):
            bind(tmp_path / "s", 0o660)
        assert connects(tmp_path / "s")


def test_so_is_one_whose_listener_has_no_time(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(tmp_path / "s"))
        busy.listen(0)
        waiting.connect(str(tmp_path / "s"))
        with pytest.raises(SocketError, match="another program listens there"):
            bind(tmp_path / "s", 0o660)


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_no_socket_is_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "s"
    if kind == "file":
        path.write_text("mine")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SocketError, match="no socket is there"):
        bind(path, 0o660)
    assert os.path.lexists(path)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_directory_that_cannot_be_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SocketError, match=r"set \[api\] socket") as caught:
        bind(tmp_path / "file" / "s", 0o660)
    assert str(tmp_path / "file") in str(caught.value)


def test_a_path_as_long_as_a_sockets_may_be_will_do(tmp_path: Path) -> None:
    path = tmp_path / ("s" * (107 - len(str(tmp_path)) - 1))
    if len(path.name) < 1:
        pytest.skip("the directory's name is too long for that")
    with bound(path):
        assert connects(path)


def test_it_is_removed_only_while_it_is_ours(tmp_path: Path) -> None:
    with bound(tmp_path / "s") as first:
        (tmp_path / "s").unlink()
        with bound(tmp_path / "s") as second:
            first.remove()
            assert connects(tmp_path / "s")
            second.remove()
        assert not (tmp_path / "s").exists()
        second.remove()
