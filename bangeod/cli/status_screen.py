"""The text of ``bangeod status``: the state of the daemon as lines, on one screen."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from bangeod.api.daemon_state import FleetState, IpApiState, JobState, MmdbState, State
from bangeod.api.state_words import CONFIG_REFUSED, ago, failing
from bangeod.cli.tables import count_of, table
from bangeod.clock import to_text
from bangeod.config import duration_text
from bangeod.jobs.job import Outcome

NOTHING = "-"
BAD, BUSY, GOOD = "red", "yellow", "green"
BEHIND: Final = 1.0  # seconds; what follows sooner is as good as at once

_LEFT_OUT: Final = {"retention_days", "page_size", "free_pages", "pages_given_back"}  # not work of the run


class Line(NamedTuple):
    """A line, and its colour on a terminal that has colours."""

    text: str
    colour: str | None = None


def lines(state: State) -> Iterator[Line]:
    """Yield all lines, with what is wrong first."""
    now = state.now
    age = ago(now - state.started)
    yield Line(f"bangeod {state.version}, running for {age} (pid {state.pid})", GOOD if state.healthy else BAD)
    yield from (Line(f"! {text}", BAD) for text in _troubles(state))
    yield Line("")
    yield from _jobs(state.jobs, now)
    yield Line("")
    facts = [*_cache(state), *_sources(state, now), *_database(state), *_daemons(state), *_fleet(state.fleet, now)]
    facts += _api(state)
    yield from _aligned(facts)


def _troubles(state: State) -> Iterator[str]:
    if state.problem is not None:
        yield state.problem
    if state.config.refused:
        yield f"{CONFIG_REFUSED}: bangeod check --config {state.config.path}"
    for job in state.jobs:
        if job.problem is not None and not (state.problem or "").endswith(job.problem):
            yield failing([job.id], NOTHING if job.failing_since is None else to_text(job.failing_since), job.problem)
    if state.log_entries_dropped:
        yield f"the journal did not take {state.log_entries_dropped:,} log entries"


def _jobs(jobs: Sequence[JobState], now: float) -> Iterator[Line]:
    head = ["JOB", "EVERY", "LAST RUN", "RESULT", "TOOK", "NEXT RUN", "WHAT IT DID"]
    text = table(head, [_job(job, now) for job in jobs]).splitlines()
    yield Line(text[0])
    for job, line in zip(jobs, text[1:], strict=True):
        yield Line(line, BAD if job.problem is not None else BUSY if job.running else None)


def _job(job: JobState, now: float) -> list[object]:
    last = NOTHING if job.last_run is None else f"{ago(now - job.last_run)} ago"
    if job.last_run is None and job.last_success is not None:
        last = f"{ago(now - job.last_success)} ago"  # by an earlier daemon
    return [
        job.id,
        duration_text(job.interval) if job.enabled else "off",
        last,
        _result(job),
        NOTHING if job.duration is None else f"{job.duration:.2f} s",
        _next(job, now),
        ", ".join(f"{name} {value}" for name, value in job.figures.items() if name not in _LEFT_OUT) or NOTHING,
    ]


def _result(job: JobState) -> str:
    if job.outcome is None:
        return NOTHING if job.last_success is None else Outcome.DONE.value
    return job.outcome.value.replace("_", " ")


def _next(job: JobState, now: float) -> str:
    if job.running:
        return "running"
    return NOTHING if job.next_run is None else f"in {ago(job.next_run - now)}"


Fact = tuple[str, str, str | None]  # the subject, the text, a colour


def _cache(state: State) -> Iterator[Fact]:
    cache = state.cache
    text = f"{cache.entries:,} of {cache.max_entries:,} entries, {cache.dirty:,} to write, {cache.negative:,} not found"
    if cache.refused:
        text += f"; the database refuses {cache.refused:,}"
    if cache.not_kept:
        text += f"; {cache.not_kept:,} answers were not kept, too many waited"
    colour = BAD if cache.refused else None
    if cache.progress is not None:
        text += f"; the table is being read, {100 * cache.progress:.0f} % so far"
        colour = colour or BUSY
    elif not cache.loaded:
        text += "; the table was not read yet"
        colour = BAD
    yield "cache", text, colour
    lookups = ", ".join(f"{count:,} {source}" for source, count in sorted(state.api.lookups.items()) if count)
    yield "lookups", lookups or "none since the start", None


def _sources(state: State, now: float) -> Iterator[Fact]:
    for mmdb in state.sources.mmdb:
        yield "MMDB", *_mmdb(mmdb)
    if not state.sources.mmdb:
        yield "MMDB", "none; bangeod geodb update fetches one", None
    if state.sources.embedded:
        yield "embedded", "in force: IPv4 only, right for some 94 of 100 addresses", BUSY
    yield "ip-api", *_ip_api(state.sources.ip_api, now)
    yield "fail2ban", _fail2ban(state), None


def _fail2ban(state: State) -> str:
    path, bans = state.sources.fail2ban, state.sources.bans
    if path is None or bans is None:
        return path or "not read"
    addresses = count_of(sum(bans.countries.values()) + bans.without_country, "address", "addresses")
    networks = f" and {count_of(bans.networks, 'network')}" if bans.networks else ""
    return f"{path}: {addresses}{networks} banned"


def _mmdb(mmdb: MmdbState) -> tuple[str, str | None]:
    built = "" if mmdb.age is None else f", {mmdb.database_type}, built {ago(mmdb.age)} ago"
    good_for = f": {mmdb.good_for}" if mmdb.good_for else ""
    errors = f", {mmdb.lookup_errors:,} lookups failed" if mmdb.lookup_errors else ""
    problem = f": {mmdb.problem}" if mmdb.problem else ""
    colour = None if mmdb.status == "loaded" else BUSY if mmdb.status in {"pending", "missing"} else BAD
    return f"{mmdb.path}: {mmdb.status}{built}{good_for}{errors}{problem}", colour


def _ip_api(ip_api: IpApiState, now: float) -> tuple[str, str | None]:
    if not ip_api.enabled:
        return "off", None
    left = "" if ip_api.remaining is None else f", {ip_api.remaining} left this minute"
    text = f"{ip_api.requests:,} requests{left}"
    if ip_api.paused_until is None:
        return text, None
    return f"{text}; paused for {ago(ip_api.paused_until - now)}: {ip_api.reason}", BUSY


def _database(state: State) -> Iterator[Fact]:
    database = state.database
    sizes = _size(database.size)
    if database.kind == "sqlite":
        sizes += f", {_size(database.wal)} of log, {_size(database.free)} free"
    problem = f": {database.problem}" if database.problem else ""
    yield "database", f"{database.path}: {sizes}{problem}", BAD if database.problem else None


def _daemons(state: State) -> Iterator[Fact]:
    daemons = state.daemons
    if daemons is None:
        return
    count = [] if daemons.count is None else [f"{count_of(daemons.count, 'daemon')} within a minute"]
    lag = daemons.lag or 0.0
    behind = f", {lag:.1f} s behind" if lag >= BEHIND else ""
    heard = {
        None: [],
        True: [f"what others write is heard{behind}"],
        False: ["what others write is not heard, but read again from time to time"],
    }[daemons.listening]
    yield "daemons", ", ".join(count + heard) or "unknown", BUSY if behind or daemons.listening is False else None
    for host, seconds in sorted(daemons.clocks.items()):
        yield "clock", f"{host}: {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} the server's", BAD


def _fleet(fleet: FleetState | None, now: float) -> Iterator[Fact]:
    if fleet is None:
        return
    shared = f"{fleet.answered:,} answered, {fleet.shared:,} shared, {fleet.waiting:,} to share"
    last = "" if fleet.last_share is None else f", last {ago(now - fleet.last_share)} ago"
    dropped = f"; {fleet.dropped:,} were not shared, too many waited" if fleet.dropped else ""
    text = f"{fleet.url} as {fleet.host}: {shared}{last}{dropped}"
    if fleet.away_since is not None:
        yield "fleet", f"{text}; away for {ago(now - fleet.away_since)}: {fleet.problem}", BAD
    elif not fleet.connected:
        yield "fleet", f"{text}; not connected yet", BUSY
    else:
        yield "fleet", text if fleet.listening else f"{text}; other hosts are not heard", None


def _api(state: State) -> Iterator[Fact]:
    api = state.api
    text = f"{api.requests:,} requests, {api.errors:,} errors, {api.connections:,} open"
    if api.turned_away:
        text += f", {api.turned_away:,} turned away"
    yield "API", text, None


def _aligned(facts: Sequence[Fact]) -> Iterator[Line]:
    shown = table(["", ""], [[what, text] for what, text, _ in facts]).splitlines()[1:]
    for (_, _, colour), line in zip(facts, shown, strict=True):
        yield Line(line, colour)


def _size(octets: int | None) -> str:
    """Write a number of bytes in the unit that a person would use."""
    if octets is None:
        return "?"
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if octets >= 1 << power:
            return f"{octets / (1 << power):.1f} {unit}"
    return f"{octets} B"
