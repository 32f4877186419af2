"""Two builds of bangeod to be compared, each installed into a virtual environment of its own, and both in one way.

They are kept in the user's cache, ``bangeod-tests/builds``, which may be thrown away at any time: a commit's under its
id, a working tree's under a name of its path, to be made anew where one of its files has changed. Those that were used
longest ago go. Both have the libraries of the Python that measures, version for version, so that what differs between
them is bangeod's own.
"""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.daemon.process import environment
from tests.support.mmdb.published import NotToBeHadError, default_cache

ROOT = Path(__file__).resolve().parents[3]
INSTALL_SECONDS = 600
KEPT = 6  # builds, of some 70 MB each
SHORT_ID = 10  # characters of a commit's id
ERROR_LINES = 15
# What pip says of an index that it can't reach, before it says that there is no such package.
NO_NETWORK = "after connection broken by"
INSTALLED_FROM = ("bangeod", "pyproject.toml", "README.md", "LICENSE")  # what a wheel is made of


@dataclass(frozen=True, slots=True)
class Build:
    """An installed bangeod."""

    name: str  # for the heads of tables
    directory: Path  # its virtual environment

    @property
    def program(self) -> str:
        """Return the path of the command ``bangeod``."""
        return str(self.directory / "bin" / "bangeod")


@contextmanager
def of_commit(commit: str, cache: Path | None = None, root: Path = ROOT) -> Iterator[Build]:
    """Hand out the build of a commit, in the repository at ``root``.

    Raises NotToBeHadError where there is no such commit, or no network to install it with.
    """
    full = _git(root, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}").decode().strip()
    build = Build(full[:SHORT_ID], _builds(cache) / full)
    with _kept(build, full, lambda: _install_commit(build, root, full)):
        yield build


@contextmanager
def of_working_tree(cache: Path | None = None, root: Path = ROOT) -> Iterator[Build]:
    """Hand out the build of the files at ``root`` as they are now. Raises NotToBeHadError, as ``of_commit``."""
    place = hashlib.sha256(str(root).encode()).hexdigest()[:SHORT_ID]
    build = Build("working tree", _builds(cache) / f"tree-{place}")
    with _kept(build, fingerprint(root), lambda: _install(build, root)):
        yield build


def fingerprint(root: Path) -> str:
    """Return a text that is another one once a file that is installed from ``root`` has changed."""
    found = hashlib.sha256()
    for name in INSTALLED_FROM:
        for path in sorted([root / name, *(root / name).rglob("*")]):
            if path.is_file() and "__pycache__" not in path.parts:
                content = path.read_bytes()
                found.update(f"{path.relative_to(root)}\0{len(content)}\0".encode() + content)
    return found.hexdigest()


# --- installing ---------------------------------------------------------------------------------------------------


def _builds(cache: Path | None) -> Path:
    return (cache or default_cache()) / "builds"


@contextmanager
def _kept(build: Build, source: str, install: Callable[[], None]) -> Iterator[None]:
    """Install a build where there is none of this source, this Python and its libraries; let nobody change it then."""
    wanted = "\n".join([source, sys.version, *_libraries()])
    stamp = build.directory / "installed-for"  # written last: without it, its making was broken off
    build.directory.parent.mkdir(parents=True, exist_ok=True)
    with build.directory.with_name(f"{build.directory.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        if _text(stamp) != wanted:
            fcntl.flock(lock, fcntl.LOCK_EX)  # nobody measures it any more
            if _text(stamp) != wanted:
                print(f"installing {build.name} into {build.directory} ...", file=sys.stderr, flush=True)
                install()
                stamp.write_text(wanted)
            fcntl.flock(lock, fcntl.LOCK_SH)
        stamp.touch()
        _forget(build.directory.parent)
        yield


def _forget(directory: Path) -> None:
    """Remove the builds that were used longest ago, but none that is in use."""
    for stamp in sorted(directory.glob("*/installed-for"), key=_used, reverse=True)[KEPT:]:
        lock_file = stamp.parent.with_name(f"{stamp.parent.name}.lock")
        with lock_file.open("w") as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            stamp.unlink(missing_ok=True)  # first: what is left of it, should this be broken off, is no build
            shutil.rmtree(stamp.parent, ignore_errors=True)  # another run may just be doing the same


def _used(stamp: Path) -> int:
    try:
        return stamp.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def _libraries() -> list[str]:
    """Return what is installed beside this Python, in the form of pip's constraints."""
    found = {item.metadata["Name"]: item.version for item in importlib.metadata.distributions()}
    return [f"{name}=={version}" for name, version in sorted(found.items()) if name != "bangeod"]


def _install_commit(build: Build, root: Path, commit: str) -> None:
    with tempfile.TemporaryDirectory(prefix="bangeod-source-") as source:
        archive = _git(root, "archive", "--format=tar", commit)
        subprocess.run(["tar", "-x", "-C", source], input=archive, check=True)
        _install(build, Path(source))


def _install(build: Build, source: Path) -> None:
    venv.create(build.directory, with_pip=True, clear=True)
    constraints = build.directory / "constraints.txt"
    constraints.write_text("\n".join([*_libraries(), ""]))
    python = str(build.directory / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"--constraint={constraints}"]
    done = subprocess.run(
        [*pip, str(source)], cwd=build.directory, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
    )
    if done.returncode:
        told = "\n".join(done.stderr.splitlines()[-ERROR_LINES:])
        error = NotToBeHadError if NO_NETWORK in done.stderr else RuntimeError
        raise error(f"{build.name} can't be installed:\n{told}")
    _check(build, python)


def _check(build: Build, python: str) -> None:
    """See that it is the installed bangeod that runs, and not one that some path leads to."""
    command = [python, "-c", "import bangeod; print(bangeod.__file__)"]
    found = subprocess.run(
        command, cwd=build.directory, env=measured_environment(), capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(found).is_relative_to(build.directory):
        raise RuntimeError(f"{build.name}: what runs is {found}, and not what is installed in {build.directory}")


def measured_environment(**more: str) -> dict[str, str]:
    """Return the environment of what is measured: as on a server, and the same for both builds."""
    kept = {name: value for name, value in environment().items() if not name.startswith("PYTHON")}
    return {**kept, **more}


def _git(root: Path, *arguments: str) -> bytes:
    command: Sequence[str] = ["git", "-C", str(root), *arguments]
    # Else git would take the repository whose hook runs this, say.
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        return subprocess.run(command, capture_output=True, check=True, env=own).stdout
    except FileNotFoundError as error:
        raise NotToBeHadError(f"there is no git for {' '.join(command)}") from error
    except subprocess.CalledProcessError as error:
        why = error.stderr.decode(errors="replace").strip() or "there is no such commit here"
        raise NotToBeHadError(f"{' '.join(command)}: {why}") from error
