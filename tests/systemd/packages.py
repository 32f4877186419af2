"""The Python packages that bangeod needs, as files: the machine of the tests has no network."""

import hashlib
import platform
import subprocess
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

ROOT: Final = Path(__file__).resolve().parents[2]
PYTHON: Final = "/usr/bin/python3"  # the machine's, as contrib/install chooses it
TIMEOUT: Final = 600.0  # seconds
# The wheels of another machine that Debian 12 and all newer ones can use (PEP 600): those for its glibc and older ones.
MANYLINUX: Final = ("manylinux2014", *(f"manylinux_2_{minor}" for minor in range(17, 37)))


class PackagesError(Exception):
    """They can't be had; the text says why."""


def wheels(cache: Path, other: str | None = None, *, machine: str = "", extras: Sequence[str] = ()) -> Path:
    """Return a directory with all of them; fetched once for each change of pyproject.toml or Python.

    They are for this computer's Python, or for ``other``, a version as 3.13, on another ``machine`` if one is named:
    then nothing can be built, and all of them must be there as wheels. ``extras`` are of pyproject.toml.
    """
    wanted = [(ROOT / "pyproject.toml").read_text(), other or _version(), machine, *extras]
    key = hashlib.sha256("".join(wanted).encode()).hexdigest()[:16]
    directory = cache / key
    if not (directory / "complete").exists():
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            _run(PYTHON, "-m", "venv", scratch)
            pip = (f"{scratch}/bin/python3", "-m", "pip", "--disable-pip-version-check", "--quiet")
            if other is None:
                _run(*pip, "wheel", f"--wheel-dir={directory}", *_needed(extras))
            else:
                only = ["--only-binary=:all:", f"--python-version={other}"]
                only += [f"--platform={tag}_{machine}" for tag in MANYLINUX] if machine else []
                needed = _needed_on(machine or platform.machine(), other, _needed(extras))
                _run(*pip, "download", *only, f"--dest={directory}", *needed)
        (directory / "complete").touch()
    return directory


def _needed(extras: Sequence[str]) -> list[str]:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = document["project"]
    more = [package for extra in extras for package in project["optional-dependencies"][extra]]
    return [*project["dependencies"], *document["build-system"]["requires"], *more]


def _needed_on(machine: str, python: str, packages: Sequence[str]) -> list[str]:
    """Return those that are needed there: pip judges what a package is for by the Python that it runs with itself."""
    there = {"platform_machine": machine, "python_version": python, "python_full_version": f"{python}.0"}
    needed = []
    for requirement in map(Requirement, packages):
        if requirement.marker is None or requirement.marker.evaluate(there):
            requirement.marker = None
            needed.append(str(requirement))
    return needed


def _version() -> str:
    return _run(PYTHON, "-c", "import sys; print(sys.version)")


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except OSError as error:
        raise PackagesError(f"{command[0]}: {error.strerror}") from None
    if done.returncode:
        raise PackagesError(f"{' '.join(command[:4])} …: {done.stderr.strip()[-1000:]}")
    return done.stdout
