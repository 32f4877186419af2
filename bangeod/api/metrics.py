"""The metrics for Prometheus, made from the state at each scrape (text exposition format 0.0.4)."""

import os
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bangeod.api.daemon_state import (
    BansState,
    CacheState,
    DaemonsState,
    FleetState,
    JobState,
    MmdbState,
    State,
    Timestamp,
)

NO_COUNTRY: Final = "none"  # in place of a code; a label with an empty value would be no label
Read = Callable[[JobState], float | None]


def _epoch(time: Timestamp | None) -> int | None:
    """Return a time in whole seconds, as in the JSON."""
    return None if time is None else int(time)


def _interval(job: JobState) -> float | None:
    return job.interval if job.enabled else None


_OF_JOBS: Final[tuple[tuple[type[Metric], str, str, Read], ...]] = (
    (CounterMetricFamily, "job_runs", "Runs of a job since the start.", lambda job: job.runs),
    (CounterMetricFamily, "job_failures", "Runs that failed or timed out.", lambda job: job.failures),
    (CounterMetricFamily, "job_seconds", "Time that runs have taken.", lambda job: job.total_duration),
    (CounterMetricFamily, "job_rows_written", "Rows that a job has written.", lambda job: job.written),
    (CounterMetricFamily, "job_rows_deleted", "Rows that a job has deleted.", lambda job: job.deleted),
    (GaugeMetricFamily, "job_rows_unreadable", "Rows that the last run passed over.", lambda job: job.unreadable),
    (GaugeMetricFamily, "job_last_duration_seconds", "How long the last run took.", lambda job: job.duration),
    (GaugeMetricFamily, "job_last_success_timestamp_seconds", "Last success.", lambda job: _epoch(job.last_success)),
    (GaugeMetricFamily, "job_next_run_timestamp_seconds", "When it is due.", lambda job: _epoch(job.next_run)),
    (GaugeMetricFamily, "job_interval_seconds", "How often it runs; of enabled jobs.", _interval),
    (GaugeMetricFamily, "job_timeout_seconds", "How long a run may take.", lambda job: job.timeout),
    (GaugeMetricFamily, "job_running", "Whether it is running.", lambda job: job.running),
)


def render(state: State) -> bytes:
    """Write the metrics of a state, and of this process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(state))
    return generate_latest(registry)


class _Snapshot(Collector):
    """A Prometheus collector for one state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def describe(self) -> Iterable[Metric]:
        """Describe nothing in advance: the registry is made for one scrape."""
        return ()

    def collect(self) -> Iterator[Metric]:
        state = self._state
        info = GaugeMetricFamily("bangeod_info", "Version of bangeod.", labels=["version"])
        info.add_metric([state.version], 1)
        yield info
        yield _gauge("healthy", "Whether the database can be read, and the jobs can write it.", state.healthy)
        yield _gauge("start_timestamp_seconds", "When the daemon started.", _epoch(state.started))
        yield _gauge("config_refused", "Whether the config file is no good.", state.config.refused)
        yield from _jobs(state.jobs)
        yield from _cache(state.cache)
        yield from _mmdbs(state.sources.mmdb)
        yield _counter("mmdb_reloads", "MMDBs taken into use.", state.sources.mmdb_reloads)
        yield _gauge("embedded_in_force", "Whether the embedded default answers.", state.sources.embedded)
        yield from _bans(state.sources.bans)
        if state.fleet is not None:
            yield from _fleet(state.fleet)
        yield from _rest(state)
        yield from _process(state)


def _jobs(jobs: Iterable[JobState]) -> Iterator[Metric]:
    for family, name, text, read in _OF_JOBS:
        # Not "job": Prometheus sets that label on everything it scrapes.
        metric = family(f"bangeod_{name}", text, labels=["job_id"])  # type: ignore[call-arg]
        for job in jobs:
            value = read(job)
            if value is not None:
                metric.add_metric([str(job.id)], value)  # type: ignore[attr-defined]
        yield metric


def _cache(cache: CacheState) -> Iterator[Metric]:
    yield _gauge("cache_entries", "Addresses in memory.", cache.entries)
    yield _gauge("cache_max_entries", "The most addresses that memory may hold.", cache.max_entries)
    yield _gauge("cache_dirty", "Entries that wait to be written.", cache.dirty)
    yield _gauge(
        "cache_max_dirty",
        "With so many a flush begins at once; with twice as many, none are added.",
        cache.max_dirty,
    )
    yield _counter("cache_not_kept", "New addresses that were answered and not kept: too many waited.", cache.not_kept)
    yield _gauge("cache_refused", "Of these, what the database refused.", cache.refused)
    read = 1.0 if cache.loaded else cache.progress or 0.0
    yield _gauge("cache_read_ratio", "How much of the table has been read into memory; 1: all of it.", read)
    yield _gauge("cache_negative", "Addresses known not to be found.", cache.negative)


def _mmdbs(mmdbs: Iterable[MmdbState]) -> Iterator[Metric]:
    built = GaugeMetricFamily("bangeod_mmdb_build_timestamp_seconds", "When an MMDB was built.", labels=["path"])
    usable = GaugeMetricFamily("bangeod_mmdb_current", "Whether what is at the path is in use.", labels=["path"])
    errors = CounterMetricFamily("bangeod_mmdb_lookup_errors", "Lookups that failed in an MMDB.", labels=["path"])
    for mmdb in mmdbs:
        epoch = _epoch(mmdb.build_time)
        if epoch is not None:
            built.add_metric([mmdb.path], epoch)
        usable.add_metric([mmdb.path], mmdb.status == "loaded")
        errors.add_metric([mmdb.path], mmdb.lookup_errors)
    yield from (built, usable, errors)


def _bans(bans: BansState | None) -> Iterator[Metric]:
    text = f"Addresses that fail2ban bans; {NO_COUNTRY}: their country is not known."
    addresses = GaugeMetricFamily("bangeod_banned_addresses", text, labels=["country"])
    if bans is not None:
        for code, count in [*sorted(bans.countries.items()), (NO_COUNTRY, bans.without_country)]:
            addresses.add_metric([code], count)
    yield addresses
    yield _gauge("banned_networks", "Networks that fail2ban bans.", None if bans is None else bans.networks)


def _fleet(fleet: FleetState) -> Iterator[Metric]:
    yield _gauge("fleet_up", "Whether the fleet's server answers.", fleet.connected)
    yield _gauge("fleet_listening", "Whether other hosts are heard.", fleet.listening)
    away_since = _epoch(fleet.away_since) or 0
    yield _gauge("fleet_away_since_timestamp_seconds", "Since when it does not answer; 0: it does.", away_since)
    yield _counter("fleet_answered", "Addresses that the fleet has answered.", fleet.answered)
    yield _counter("fleet_shared", "Rows that this host has written for others.", fleet.shared)
    yield _gauge("fleet_waiting", "Addresses that wait to be written for others.", fleet.waiting)
    yield _counter("fleet_dropped", "Addresses that were not written: too many waited.", fleet.dropped)
    last_share = _epoch(fleet.last_share)
    yield _gauge("fleet_last_share_timestamp_seconds", "When nothing was left to be written.", last_share)


def _rest(state: State) -> Iterator[Metric]:
    ip_api, database, api = state.sources.ip_api, state.database, state.api
    yield _counter("ip_api_requests", "Requests to ip-api.", ip_api.requests)
    yield _gauge("ip_api_enabled", "Whether ip-api is in use.", ip_api.enabled)
    yield _gauge("ip_api_refused", "Whether ip-api refuses this address or key.", ip_api.refused)
    yield _gauge("ip_api_remaining", "Requests left until the quota is renewed.", ip_api.remaining)
    paused_until = _epoch(ip_api.paused_until) or 0
    yield _gauge("ip_api_paused_until_timestamp_seconds", "When ip-api may be asked again; 0: now.", paused_until)
    yield _gauge("database_up", "Whether the database can be used.", database.problem is None)
    yield _gauge("database_bytes", "Size of the database.", database.size)
    yield _gauge("database_wal_bytes", "Size of its write-ahead log.", database.wal)
    yield _gauge("database_free_bytes", "What its free pages hold.", database.free)
    yield from _daemons(state.daemons)
    yield _gauge("event_loop_lag_seconds", "The longest of the last minute.", state.loop_lag)
    yield _counter("log_entries_dropped", "Log entries that the journal did not take.", state.log_entries_dropped)
    yield _counter("api_requests", "Requests to the API.", api.requests)
    yield _counter("api_errors", "Requests that were answered with an error.", api.errors)
    yield _gauge("api_connections", "Open connections to the API.", api.connections)
    lookups = CounterMetricFamily("bangeod_lookups", "Addresses looked up, by source.", labels=["source"])
    for source, count in api.lookups.items():
        lookups.add_metric([source], count)
    yield lookups
    yield _counter("api_turned_away", "Connections that were closed or refused for others.", api.turned_away)


def _daemons(daemons: DaemonsState | None) -> Iterator[Metric]:
    count, heard, lag = (None, None, None) if daemons is None else (daemons.count, daemons.listening, daemons.lag)
    yield _gauge("daemons", "Daemons on this database of a server, seen within a minute.", count)
    yield _gauge("daemons_heard", "Whether what others write there is heard at once.", heard)
    yield _gauge("daemons_lag_seconds", "How long what was heard waits until memory follows.", lag)


def _process(state: State) -> Iterator[Metric]:
    """Yield the process metrics of prometheus_client, which has none where the unit's ProcSubset= hides /proc/stat."""
    start = _epoch(state.started)
    yield GaugeMetricFamily("process_start_time_seconds", "Start of the process.", value=start)
    yield CounterMetricFamily("process_cpu_seconds", "CPU time of the process.", value=time.process_time())
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        files = len(os.listdir("/proc/self/fd")) - 1  # noqa: PTH208 - without the descriptor that lists them
    except (OSError, ValueError):
        return
    memory = pages * resource.getpagesize()
    yield GaugeMetricFamily("process_resident_memory_bytes", "Memory of the process.", value=memory)
    yield GaugeMetricFamily("process_open_fds", "Open files of the process.", value=files)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield GaugeMetricFamily("process_max_fds", "How many files it may have open.", value=most)


def _gauge(name: str, text: str, value: float | None) -> Metric:
    metric = GaugeMetricFamily(f"bangeod_{name}", text)
    if value is not None:
        metric.add_metric([], value)
    return metric


def _counter(name: str, text: str, value: float) -> Metric:
    metric = CounterMetricFamily(f"bangeod_{name}", text)
    metric.add_metric([], value)
    return metric
