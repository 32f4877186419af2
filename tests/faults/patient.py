"""A daemon that is given work and told when to do it, so that a fault can be put in between."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from bangeod.client import GeoClient
from tests.conftest import Start
from tests.support.daemon.installation import JOBS, Installation, every, text
from tests.support.daemon.process import Line

LONG_AGO = "2001-01-01T00:00:00Z"
MANY = 60  # more than the first slice has, so that there are two transactions


@dataclass
class Work:
    """What a job was given to do."""

    place: Installation
    job: str
    addresses: frozenset[str]

    @property
    def is_done(self) -> bool:
        """Say whether the database shows it done."""
        if self.job == "session_cleanup":
            return all(token.startswith("live") for token in self.place.tokens())
        countries = self.place.countries()
        if self.job == "geo_cache_cleanup":
            return not self.addresses & countries.keys()
        return all(countries.get(ip) is not None for ip in self.addresses)


class Patient:
    """A daemon whose jobs run when they are told to."""

    def __init__(self, start: Start, place: Installation) -> None:
        for job in JOBS:
            place.ran(job, timedelta(0))  # else some would run shortly after the start
        self.place = place
        self.daemon = start({"api.enabled": True}, every("1h"))
        self.client = GeoClient(str(place.home / "bangeod.sock"), timeout=30, strict=True)
        self.given = 0
        self.fresh: set[str] = set()  # rows that no cleanup may take
        self.live: set[str] = set()  # and sessions

    @property
    def database_files(self) -> list[Path]:
        """Return what SQLite writes to."""
        return [self.place.database.with_name(self.place.database.name + end) for end in ("", "-wal", "-shm")]

    def give(self, job: str) -> Work:
        """Give a job something to do."""
        self.given += 1
        addresses = frozenset(f"8.{self.given // 250}.{self.given % 250}.{n}" for n in range(MANY))
        if job == "geo_cache_flush":
            self.client.lookup_batch(sorted(addresses))
        elif job == "geo_re_resolve":
            self.place.insert(rows=[(ip, None, text()) for ip in addresses])
        elif job == "geo_cache_cleanup":
            self.fresh.add(fresh := f"9.0.{self.given}.1")
            self.place.insert(rows=[(fresh, "SE", text()), *((ip, "SE", LONG_AGO) for ip in addresses)])
        else:
            self.live.add(live := f"live {self.given}")
            expired = [(f"{self.given} {n}", LONG_AGO) for n in range(MANY)]
            self.place.insert(sessions=[(live, text(timedelta(hours=1))), *expired])
        return Work(self.place, job, addresses)

    def assert_nothing_is_lost(self, work: Work) -> None:
        """Look that what is not in the table waits to be written, and that rows and live sessions are still there."""
        assert self.place.execute("PRAGMA integrity_check") == [("ok",)]
        countries = self.place.countries()
        if work.job == "geo_cache_flush":
            assert self.dirty >= len(work.addresses - countries.keys())
        if work.job == "geo_re_resolve":
            assert work.addresses <= countries.keys()
        assert self.fresh <= countries.keys()
        assert self.live <= self.place.tokens()

    def run(self, job: str) -> Line:
        """Run a job; return its report."""
        report: Line = self.client.run_job(job)
        return report

    @property
    def dirty(self) -> int:
        """Return how many entries wait to be written."""
        waiting: int = self.client.status()["cache"]["dirty"]
        return waiting
