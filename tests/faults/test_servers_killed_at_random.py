"""Three daemons on one database, killed at random, while the server restarts and fails over, and two web apps write.

6 kills, a restart and a failover; 60, 10 and 3 with BANGEOD_TESTS_SOAK=1. BANGEOD_TESTS_SEED has other instants tried;
which seed it was is in the report of a failure. Where the server is lost, a commit that was not confirmed may be there
or not; what was confirmed is at the synchronous standby as well.
"""

import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from itertools import repeat
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import pytest

from bangeod.fleet import schema
from tests.faults.ledger import ServerLedger
from tests.faults.several import PATIENCE, SHARED_JOBS, Host, Life, done, moment, shares
from tests.faults.soak import times
from tests.support.daemon.installation import Installation, every
from tests.support.daemon.on_server import ROLE
from tests.support.daemon.process import Line, bangeod
from tests.support.feed import eventually
from tests.support.mmdb.files import nested, write_mmdb
from tests.support.servers import postgres, postgres_pair
from tests.support.servers.postgres_pair import Pair
from tests.support.web_app.habits import Habits
from tests.support.web_app.web_app import ON_SERVER, WebApp

HOSTS: Final = 3
WEB_APPS: Final = 2
KILLS, RESTARTS, FAILOVERS = times(6, 60), times(1, 10), times(1, 3)
SEED: Final = int(os.environ.get("BANGEOD_TESTS_SEED", "7"))
COUNTRY: Final = "SE"
DATABASE: Final = "bangui"
OF_SERVERS: Final = {"wal_retrieve_retry_interval": "100ms", "max_wal_size": "64MB"}
SAFE: Final = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync' AND flush_lsn >= CAST(%s AS pg_lsn)"
INTERVAL: Final = 1.0  # seconds, of the jobs that are anybody's
SESSIONS: Final = "session_cleanup"  # of those jobs the one that has nothing to do on each host
OFTEN: Final = 0.9  # of the interval, after which a job is due again wherever it is
ALLOWANCE: Final = 2.0  # seconds, for the run of a job, on a machine that may be busy
FLUSH: Final = 0.2  # seconds; a flush has something to write each time
SETTINGS: Final = {
    **every(f"{INTERVAL:g}s", *SHARED_JOBS),
    **every(f"{FLUSH:g}s", "geo_cache_flush"),
    "api.enabled": True,
    "geo.embedded": False,
    "database.path": "",
    "database.busy_timeout": "5s",
}

# What a daemon may say while the server is away: what it can't do for now, and that the server is what is in the way.
MAY_SAY: Final = {
    *("job_failed", "database_unavailable", "geo_cache_not_loaded", "listening_lost"),
    *("final_flush_failed", "leftover_kept", "jobs_cut_short"),
}
OF_THE_SERVER: Final = re.compile(
    "no server answers|takes no connections yet|has ended the connection|connection to the server is lost"
    "|none of the servers takes writes|is a standby|another server or database answers"
)
AFTER_FAILOVER: Final = "database_replaced"  # the new primary's history is another one


def pause(seconds: float) -> None:
    """Let time pass, not for anything to happen: this is the moment to be tried."""
    threading.Event().wait(seconds)


class Away(NamedTuple):
    """A time, in seconds since the epoch, in which the server was away, until all daemons were at work again."""

    what: str
    since: float
    until: float

    def excuses(self, line: Line) -> bool:
        """Say whether a daemon may have said so for this reason."""
        if not self.since <= moment(line) <= self.until:
            return False
        why = line.get("error", line.get("problem"))
        if line["event"] == AFTER_FAILOVER:
            return self.what == "failover"
        return line["event"] in MAY_SAY and (why is None or OF_THE_SERVER.search(why) is not None)


# --- the instants ---


def starting(trial: "Trial", host: Host) -> None:
    """While the interpreter loads or later, or surely when that is over."""
    host.stop()
    host.start()
    if trial.chance.random() < 0.5:
        pause(trial.chance.uniform(0, 1.2))
    else:
        host.daemon.wait_for("starting", timeout=PATIENCE)
        pause(trial.chance.uniform(0, 0.3))


def working(trial: "Trial", _host: Host) -> None:
    pause(trial.chance.uniform(0, INTERVAL))


def writing(trial: "Trial", host: Host) -> None:
    """While the server works on what it is to write, or waits for the standby to have it."""
    query = (
        "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND state = 'active'"
        " AND query ~ '(INSERT INTO|UPDATE|DELETE FROM) '"
    )
    pause(trial.chance.uniform(0, INTERVAL / 2))
    until = time.monotonic() + INTERVAL
    with closing(trial.servers.connect(DATABASE)) as watching:
        while time.monotonic() < until and not watching.execute(query, [application(host.number)]).fetchone():
            pause(0.001)


def stopping(trial: "Trial", host: Host) -> None:
    """Soon after SIGTERM."""
    host.daemon.send(signal.SIGTERM)
    pause(trial.chance.uniform(0, 0.06))


PHASES: Final[Sequence[Callable[["Trial", Host], None]]] = (starting, working, writing, stopping)


def application(number: int) -> str:
    """Return how the server knows a host's daemon."""
    return f"bangeod-{number}"


class Trial:
    """The daemons, the servers, and what is done to them."""

    def __init__(self, servers: Pair, hosts: Sequence[Host], ledger: ServerLedger) -> None:
        self.servers = servers
        self.hosts = hosts
        self.ledger = ledger
        self.began = time.time()
        self.chance = Random(SEED)
        self.killed: Counter[str] = Counter()
        self.away: list[Away] = []
        self.takeovers: list[float] = []  # seconds from a kill until each job was done again
        self.recoveries: list[float] = []  # seconds from the server's return until all daemons were at work

    # --- what is done ---

    def kill(self) -> None:
        """Kill one of the daemons; the others have to do its jobs."""
        phase, host = self.chance.choice(PHASES), self.chance.choice(self.hosts)
        with told(f"host {host.number} while {phase.__name__}"):
            phase(self, host)
            while not host.kill():  # it had stopped by then
                host.start()
                host.daemon.wait_for("ready", timeout=PATIENCE)
                phase(self, host)
            at = time.time()
            self.killed[phase.__name__] += 1
            is_back_at_once = self.chance.random() < 0.5
            if is_back_at_once:
                host.start()
            self._wait_for_the_jobs(at)
            if not is_back_at_once:
                host.start()
            host.daemon.wait_for("ready", timeout=PATIENCE)

    def restart(self) -> None:
        """Restart the server, in good order or not."""
        how = self.chance.choice((signal.SIGINT, signal.SIGQUIT))
        with self._lost("restart"):
            writing(self, self.chance.choice(self.hosts))
            self.servers.primary.stop(how)
            pause(self.chance.uniform(0, 0.5))
            self._perhaps_kill()
            pause(self.chance.uniform(0, 0.5))
            self.servers.primary.start(**OF_SERVERS)

    def fail_over(self) -> None:
        """Kill the primary, and have the standby take its place; it gets a standby of its own."""
        with self._lost("failover"):
            writing(self, self.chance.choice(self.hosts))
            self.servers.kill_primary()
            pause(self.chance.uniform(0, 0.5))
            self._perhaps_kill()
            pause(self.chance.uniform(0, 0.5))
            self.servers.promote()
            pause(self.chance.uniform(0, 0.5))
            self.servers.rejoin()

    def _perhaps_kill(self) -> None:
        if self.chance.random() < 0.5:
            host = self.chance.choice(self.hosts)
            host.kill()
            self.killed["server away"] += 1
            host.start()

    @contextmanager
    def _lost(self, what: str) -> Iterator[None]:
        """Lose the server within the block, and wait afterwards until all daemons are at work again."""
        wait_until_safe(self.servers)
        since = time.time()
        with told(what):
            yield
            at = time.time()
            self._wait_for_all(at)
        self.recoveries.append(time.time() - at)
        self.away.append(Away(what, since, time.time()))

    # --- what must come of it ---

    def _read(self) -> None:
        for host in self.hosts:
            host.read()

    def _done(self, since: float) -> dict[str, float]:
        """Return which jobs did their work on any host after a moment, and when they first did."""
        self._read()
        return {each.job: each.at for each in reversed(done(self.hosts, since))}

    def _wait_for_the_jobs(self, at: float) -> None:
        """Wait until each job was done again after a kill at that moment, as it has to be within one interval."""
        eventually(lambda: self._done(at).keys() == SHARED_JOBS, "others do the jobs", timeout=PATIENCE)
        took = {job: self._had(at, until) for job, until in self._done(at).items()}
        late = {job: seconds for job, seconds in took.items() if seconds > INTERVAL + ALLOWANCE}
        assert not late, f"jobs were not taken over within one interval, but only after: {late}"
        self.takeovers.append(max(took.values()))

    def _had(self, since: float, until: float) -> float:
        """Return for how many seconds of that time daemons could work: their flush is the clock.

        A machine that stands still, or that has other work, takes runs of the flush from them as of all jobs.
        """
        runs = (sum(since < at <= until for life in host.lives for at in life.flushes) for host in self.hosts)
        return min(until - since, (max(runs) + 1) * FLUSH)

    def _wait_for_all(self, at: float) -> None:
        """Wait until each daemon has written, and each job was done, after that moment."""

        def at_work() -> bool:
            jobs = self._done(at)
            return jobs.keys() == SHARED_JOBS and all(host.life.flushes[-1:] > [at] for host in self.hosts)

        eventually(at_work, "all daemons are at work again", timeout=PATIENCE)

    def check(self) -> None:
        """Look that nothing is lost, that no daemon has ended, and that none says what it need not say."""
        self._read()
        self.ledger.check()
        said = [line for life in self.lives for line in life.troubles if not self._is_excused(line)]
        assert not said, "\n".join(map(str, said))

    def _is_excused(self, line: Line) -> bool:
        return any(away.excuses(line) for away in self.away)

    def check_that_each_run_was_for_all(self) -> None:
        """See that no daemon cleaned up again what another had cleaned up just before.

        But for a run whose success nobody heard of: its daemon was killed, or the server.
        """
        runs = done(self.hosts, self.began, SESSIONS)
        lost = self.killed.total() + HOSTS * len(self.away)
        assert len(runs) <= (runs[-1].at - self.began) / (INTERVAL * OFTEN) + lost + 1, shares(self.hosts)

    @property
    def lives(self) -> list[Life]:
        return [life for host in self.hosts for life in host.lives]


def wait_until_safe(servers: Pair) -> None:
    """Wait until the standby has all that the primary shows, also what nobody waited for since a restart."""
    with closing(servers.connect()) as admin:
        written = admin.execute("SELECT CAST(pg_current_wal_lsn() AS text)").fetchone()
        eventually(lambda: admin.execute(SAFE, written).fetchone() is not None, "the standby has it", timeout=PATIENCE)


@contextmanager
def told(what: str) -> Iterator[None]:
    """Say in the report of a failure what was being tried."""
    try:
        yield
    except Exception as error:
        error.add_note(f"seed {SEED}, {what}")
        raise


@pytest.fixture
def servers() -> Iterator[Pair]:
    """Give a primary with the web app's tables, and that in which daemons tell each other what is done."""
    with postgres.skipping(), postgres_pair.running(synchronous=True, **OF_SERVERS) as servers:
        with closing(servers.connect()) as admin:
            admin.execute(f"CREATE ROLE {ROLE} LOGIN")
            admin.execute(f"CREATE DATABASE {DATABASE} STRATEGY file_copy")
        made = bangeod("init", "--database", servers.url(DATABASE))
        assert (made.returncode, made.stderr) == (0, "")
        schema.create(servers.conninfo(DATABASE))
        with closing(servers.connect(DATABASE)) as admin:
            admin.execute(f"GRANT USAGE ON SCHEMA bangeod TO {ROLE}")
            admin.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON geo_cache, sessions, bangeod.state TO {ROLE}")
        yield servers


@pytest.fixture
def hosts(tmp_path: Path, servers: Pair) -> list[Host]:
    """Give hosts whose daemons are not started."""
    mmdb = write_mmdb(tmp_path / "all.mmdb", {"0.0.0.0/1": nested(COUNTRY), "2a00::/12": nested(COUNTRY)})
    made = []
    for number in range(HOSTS):
        place = Installation(tmp_path / f"host-{number}")
        place.state.mkdir(parents=True)
        url = f"{servers.url(DATABASE, ROLE)}?target_session_attrs=read-write&application_name={application(number)}"
        place.configure(SETTINGS, {"database.url": url, "geo.mmdb": [str(mmdb)]})
        made.append(Host(number, place))
    return made


def habits(number: int) -> Habits:
    """Return what one of the web apps does."""
    return Habits(every=times(0.02, 0.03), seed=SEED + number, first=number, step=WEB_APPS)


def test_killed_at_any_instant_and_with_the_server_lost_they_lose_nothing_and_others_take_the_work_over(
    servers: Pair, hosts: list[Host]
) -> None:
    steps = [*repeat(Trial.kill, KILLS), *repeat(Trial.restart, RESTARTS), *repeat(Trial.fail_over, FAILOVERS)]
    with ExitStack() as running:
        url = f"{servers.url(DATABASE, ROLE)}?target_session_attrs=read-write"
        web_apps = [running.enter_context(WebApp(url, habits(number), process=ON_SERVER)) for number in range(WEB_APPS)]
        ledger = ServerLedger(partial(servers.connect, DATABASE), web_apps, COUNTRY)
        for host in hosts:
            running.enter_context(host)
            host.start()
        for host in hosts:
            host.daemon.wait_for("ready", timeout=PATIENCE)
        trial = Trial(servers, hosts, ledger)
        trial.chance.shuffle(steps)
        for number, step in enumerate(steps):
            with told(f"step {number} of {len(steps)}"):
                step(trial)
                trial.check()
        with told("at the end"):
            for web_app in web_apps:
                web_app.finish()
            eventually(ledger.is_finished, "the work is done", timeout=PATIENCE)
            for host in hosts:
                host.let_no_more_ask()
                host.stop()
                assert not host.place.unwritten.exists()
            trial.check()
            trial.check_that_each_run_was_for_all()
            with closing(servers.connect(DATABASE)) as web_app:
                rows = {ip for (ip,) in web_app.execute("SELECT ip FROM geo_cache WHERE country_code IS NOT NULL")}
            lost = {ip for life in trial.lives for ip in life.written} - rows
            assert not lost, f"{len(lost)} lookups were answered, but have no row: {sorted(lost)[:5]}"
    print_what_came_of_it(trial)


def print_what_came_of_it(trial: Trial) -> None:
    answered = sum(len(life.answered) for life in trial.lives)
    print(f"killed: {dict(trial.killed)}; {len(trial.away)} times without the server")
    print(f"the jobs of a daemon were done again after {max(trial.takeovers):.2f} s at most")
    print(f"all were at work {max(trial.recoveries):.2f} s after the server's return at most")
    print(
        f"{trial.ledger.resolved} resolved by daemons; {answered} lookups; {trial.ledger.unsure} commits not confirmed"
    )
    for job, on in shares(trial.hosts).items():
        print(f"{job}: " + ", ".join(f"{times} times on host {host}" for host, times in on.items()))
