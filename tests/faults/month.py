"""A month of a server's life on a clock of the test's: a web app, a daemon that is restarted and killed, and a model.

The model says what both tables must hold after each run of a job; it knows the contract and nothing of how it is kept.
"""

import random
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final, NamedTuple

from bangeod.clock import SECONDS_A_DAY
from bangeod.config import Settings
from bangeod.geo.sources.embedded import EmbeddedSource
from bangeod.jobs.job import JobId, Outcome
from bangeod.model import Geo, Origin, Status
from bangeod.store.sqlite.engine import engine
from tests.benchmarks.samples import written
from tests.faults.life import Life
from tests.support.fakes import RemoteTable
from tests.support.manual_clock import ManualClock

if TYPE_CHECKING:
    from sqlite3 import Connection

TICK: Final = 1_800.0  # seconds between two acts of the web app
SESSIONS: Final = (3_600, 8 * 3_600, 2 * SECONDS_A_DAY, 7 * SECONDS_A_DAY)  # seconds that they last
REGULARS: Final = 40  # addresses that are looked up again and again
SOURCES: Final = frozenset({Origin.EMBEDDED, Origin.IP_API})
WRITING: Final = frozenset({JobId.GEO_CACHE_FLUSH, JobId.GEO_RE_RESOLVE, JobId.GEO_CACHE_CLEANUP})


class Ran(NamedTuple):
    """A run of a job: when it was, by both clocks, and what had become of the daemon in all by then."""

    job_id: JobId
    wall: float
    monotonic: float
    down: float  # seconds
    kills: int


@dataclass
class Model:
    """What must be in the tables, and what waits in the daemon's memory to be written. Times are whole seconds."""

    retention: int  # seconds
    rows: dict[str, int] = field(default_factory=dict)  # last_seen by address
    waiting: dict[str, int] = field(default_factory=dict)  # as rows
    sessions: dict[str, int] = field(default_factory=dict)  # expires_at by token
    gone: dict[str, int] = field(default_factory=dict)  # when the row of an address was deleted

    def seen(self, ip: str, now: int, *, resolved: bool) -> None:
        """Take in a lookup: it moves the time once a day, or where a source has just been asked."""
        last = self.waiting.get(ip, self.rows.get(ip))
        if last is None or resolved or now - last >= SECONDS_A_DAY:
            self.waiting[ip] = now

    def ran(self, job_id: JobId, now: int) -> None:
        """Take in a run of a job."""
        if job_id in WRITING:
            self.write()
        if job_id is JobId.GEO_CACHE_CLEANUP:
            stale = [ip for ip, seen in self.rows.items() if seen < now - self.retention]
            self.gone |= dict.fromkeys(stale, now)
            for ip in stale:
                del self.rows[ip]
        if job_id is JobId.SESSION_CLEANUP:
            self.sessions = {token: expires for token, expires in self.sessions.items() if expires > now}

    def write(self) -> None:
        """Take in that all that waited has been written."""
        self.rows |= {ip: max(seen, self.rows.get(ip, 0)) for ip, seen in self.waiting.items()}
        self.waiting.clear()


class Month:
    """All that lives through the month. The same seed makes the same one."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self._settings = settings
        self._chance = random.Random(seed)
        self.clock = ManualClock()
        self.model = Model(settings.jobs.geo_cache_cleanup.retention_days * SECONDS_A_DAY)
        self.remote = RemoteTable(self.clock)
        self.remote.batch_size = 100
        self._embedded = EmbeddedSource()
        self._regulars = [self._new_address() for _ in range(REGULARS)]
        self.life: Life | None = None
        self.runs: list[Ran] = []
        self.down = 0.0  # seconds, in all
        self.kills = 0
        self._logins = 0
        self.latest: set[str] = set()  # what the web app has added since the last run that resolves it

    @property
    def now(self) -> int:
        return int(self.clock.now())

    # --- the daemon ---

    async def start(self) -> None:
        """Start the daemon."""
        self.life = await Life.begin(self._settings, self.clock, self.remote)

    async def stop(self) -> None:
        """Stop it in good order."""
        assert self.life
        await self.life.end()
        self.life = None
        self.model.write()

    async def kill(self) -> None:
        """Kill it."""
        assert self.life
        await self.life.be_killed()
        self.life = None
        self.kills += 1
        self.model.waiting.clear()

    async def aclose(self) -> None:
        """Let go of a daemon that still runs where a check has failed: a thread of it keeps the process alive."""
        if self.life is not None:
            await self.kill()

    def step_clock(self, seconds: float) -> None:
        """Set the wall clock; the daemon notices within seconds."""
        assert self.life
        self.clock.step(seconds)
        self.life.schedule.clock_stepped(seconds)

    async def pass_time(self, seconds: float) -> None:
        """Let time go on, with every run that falls due meanwhile."""
        until = self.clock.monotonic() + seconds
        while self.life and self.life.schedule.next_due() - self.clock.now() <= until - self.clock.monotonic():
            await self._run(self.life)
        left = until - self.clock.monotonic()
        self.down += 0.0 if self.life else left
        self.clock.advance(left)

    async def _run(self, life: Life) -> None:
        job_id = JobId(await life.schedule.run_next())
        report = life.job_schedule.reports[job_id]
        assert report.outcome is Outcome.DONE, report
        self.runs.append(Ran(job_id, self.clock.now(), self.clock.monotonic(), self.down, self.kills))
        self.model.ran(job_id, self.now)
        if job_id is JobId.GEO_RE_RESOLVE:
            self.latest.clear()

    # --- the web app ---

    async def live(self, seconds: float) -> None:
        """Let the web app do its work for so long, and time go on."""
        for _ in range(int(seconds / TICK)):
            self._write()
            if self.life:
                await self._look_up(self.life)
            await self.pass_time(TICK)

    def _write(self) -> None:
        """Commit some logins, a logout, and bans: of new addresses, and of some that have a row."""
        model, chance = self.model, self._chance
        with closing(self.connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            for _ in range(chance.randrange(12)):
                self._logins += 1
                token, expires = f"token-{self._logins}", self.now + chance.choice(SESSIONS)
                row = (token, written(expires, chance))
                connection.execute("INSERT INTO sessions (token, expires_at) VALUES (?, ?)", row)
                model.sessions[token] = expires
            if model.sessions and chance.random() < 0.5:
                token = chance.choice(list(model.sessions))
                connection.execute("DELETE FROM sessions WHERE token = ?", (token,))
                del model.sessions[token]
            for ip in (*(self._new_address() for _ in range(3)), *self._some_known(3)):
                row = (ip, written(self.now, chance))
                connection.execute("INSERT OR IGNORE INTO geo_cache (ip, last_seen) VALUES (?, ?)", row)
                model.rows.setdefault(ip, self.now)
                self.latest.add(ip)
            connection.execute("COMMIT")

    async def _look_up(self, life: Life) -> None:
        """Look up what is in use again and again, what has a row, and at times something new."""
        asked = [*self._chance.sample(self._regulars, 6), *self._some_known(9), self._new_address()]
        for answer in await life.components.cache.lookup_batch(asked):
            self.model.seen(answer.ip, self.now, resolved=answer.origin in SOURCES)
            if answer.ip in self.nowhere:
                assert answer.status is Status.UNRESOLVED

    def _some_known(self, most: int) -> Sequence[str]:
        rows = list(self.model.rows)
        return self._chance.sample(rows, min(most, len(rows)))

    def _new_address(self) -> str:
        """Return one that nobody has used: three of four the embedded source knows, half of the others ip-api."""
        chance = self._chance
        while chance.random() < 0.75:
            ip = str(IPv4Address(chance.randrange(8 << 24, 9 << 24)))
            if self._embedded.find(ip):
                return ip
        ip = str(IPv6Address((0x2A00 << 112) | chance.getrandbits(100)))
        self.remote.places[ip] = Geo("SE", "Sweden") if chance.random() < 0.5 else None
        return ip

    def country(self, ip: str) -> str | None:
        """Return what the sources say of an address."""
        place = self.remote.places[ip] if ip in self.remote.places else self._embedded.find(ip)
        return place and place.country_code

    @property
    def nowhere(self) -> set[str]:
        """Return the addresses that no source knows."""
        return {ip for ip, place in self.remote.places.items() if place is None}

    def connect(self) -> "Connection":
        """Open the database as the web app does."""
        return engine.connect(self._settings.database.file, isolation_level=None)
