"""promtool, Prometheus's own judge of rules and metrics: the system's, or out of Debian's package."""

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.support import debian_package
from tests.support.mmdb.published import NotToBeHadError

PACKAGES = ("promtool", "prometheus")  # of its own since Debian 13, with Prometheus before
IN_THE_PACKAGE = Path("usr/bin/promtool")
SECONDS = 60


class Verdict(NamedTuple):
    """What it thinks: whether all is well, and what it said."""

    fine: bool
    said: str


class Promtool:
    """The program at a path."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, *arguments: str | Path, text: str | None = None) -> Verdict:
        """Have it judge files, or a text."""
        ran = subprocess.run(
            [self._path, *arguments], input=text, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        return Verdict(ran.returncode == 0, ran.stdout + ran.stderr)


def find(cache: Path) -> Promtool:
    """Return the system's, the one in the cache, or else apt's. Raises NotToBeHadError."""
    installed, kept = shutil.which("promtool"), cache / "promtool"
    if installed is not None:
        return Promtool(Path(installed))
    if not kept.exists():
        apart = cache / "unpacked-for-promtool"  # not where it will lie: a package has its name
        _unpack(apart).rename(kept)
        shutil.rmtree(apart)  # large
    return Promtool(kept)


def _unpack(directory: Path) -> Path:
    reasons = []
    for package in PACKAGES:
        try:
            program = debian_package.unpack(package, directory) / IN_THE_PACKAGE
        except NotToBeHadError as error:
            reasons.append(str(error).strip())
            continue
        if program.exists():
            return program
        reasons.append(f"{package} has no {IN_THE_PACKAGE}")
    raise NotToBeHadError("; ".join(reasons))
