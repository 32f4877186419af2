"""A package of Debian's that is not installed: fetched with apt-get and only unpacked, into a cache."""

import shutil
import subprocess
from pathlib import Path

from tests.support.mmdb.published import NotToBeHadError

FETCH_SECONDS = 60
OPTIONS = ("Acquire::Retries=0", "Acquire::http::Timeout=20", "APT::Sandbox::User=root")


def unpack(package: str, cache: Path) -> Path:
    """Return the directory that holds what the package has below ``/``. Raises NotToBeHadError."""
    programs = [shutil.which(name) for name in ("apt-get", "dpkg-deb")]
    if not all(programs):
        raise NotToBeHadError(f"{package} is not installed, and there is no apt-get and dpkg-deb to fetch it with")
    apt_get, dpkg_deb = map(str, programs)
    unpacked, part = cache / package, cache / f"{package}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    download = [apt_get, "--quiet", *(f"--option={option}" for option in OPTIONS), "download", package]
    try:
        _run(download, part)
        (file,) = part.glob(f"{package}_*.deb")
        _run([dpkg_deb, "--extract", str(file), str(part)], part)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        why = getattr(error, "stderr", None) or error
        raise NotToBeHadError(f"{package} is not installed, and apt-get can't fetch it: {why}") from error
    file.unlink()
    part.rename(unpacked)
    return unpacked


def _run(command: list[str], directory: Path) -> None:
    subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=FETCH_SECONDS, check=True)
