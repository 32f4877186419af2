"""File systems made for a test, which are unmounted whatever happens. Root only."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.support.daemon.installation import Installation

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")

FILLER: Final = "filler"


@contextmanager
def mounted(directory: Path, *what: str) -> Iterator[Path]:
    """Mount something at a directory, which is made; skip the test where that is not allowed."""
    directory.mkdir()
    _or_skip("mount", *what, str(directory))
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """Mount a disk of 1 MiB in memory."""
    with mounted(directory, "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        yield directory


@contextmanager
def failing_disk(directory: Path, image: Path) -> Iterator[tuple[Path, Path]]:
    """Mount an ext4 that becomes read-only when ``1`` is written to the second path."""
    mkfs = shutil.which("mkfs.ext4")
    if mkfs is None:
        pytest.skip("mkfs.ext4 (e2fsprogs) is not installed")
    with image.open("wb") as file:
        file.truncate(8 << 20)
    subprocess.run([mkfs, "-q", str(image)], check=True)
    device = _or_skip("losetup", "--find", "--show", str(image)).strip()
    try:
        with mounted(directory, "-o", "errors=remount-ro", device):
            trigger = Path("/sys/fs/ext4", Path(device).name, "trigger_fs_error")
            if not trigger.exists():
                pytest.skip("this kernel has no trigger_fs_error")
            yield directory, trigger
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def remount(directory: Path, how: str) -> None:
    """Make it read-only (``ro``) or writable (``rw``)."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(directory)], check=True)


def fill(disk: Path) -> None:
    """Leave no room on a disk."""
    room = os.statvfs(disk)
    (disk / FILLER).write_bytes(bytes(room.f_bavail * room.f_frsize))
    assert os.statvfs(disk).f_bavail == 0


def make_room(disk: Path) -> None:
    """Give back what ``fill`` took."""
    (disk / FILLER).unlink()


def move_database(place: Installation, disk: Path) -> None:
    """Put the database of an installation on a disk."""
    shutil.move(place.database, disk)
    place.database = disk / place.database.name
    place.configure({"database.path": str(place.database)})


def _or_skip(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"can't be done here: {' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
