"""bangeod: the maintenance daemon of BanGUI, a web interface for fail2ban.

The rooms. A module imports from its own and from those below it that tests/unit/test_architecture.py lists:

    cli       the commands
    client    for the web app and the commands: the way to the daemon's socket; imports errors.py alone
    check     what ``bangeod check`` looks at
    service   the running process: daemon.py first; log/, schedule/, state/ (the state directory)
    api       HTTP on a Unix socket
    jobs      the periodic jobs: each has a file, and registry.py has them all
    fleet     what many hosts tell each other, through tables of bangeod's own on a PostgreSQL server
    geo       where an address is: cache/ (what memory holds), sources/ (who knows), update/ (files fetched)
    store     port.py: the store as jobs and geo see it; sqlite/: the web app's file; postgres/: its tables on a
              server; fail2ban.py: fail2ban's; memory.py: for tests
    config    bangeod.toml
    ground    model, addresses, banned, countries, errors, clock, trouble and all else at the top: everybody's

Which database it is, a file of SQLite's or a PostgreSQL server's, only these tell apart: config/database.py (path or
url, and the password), service/database.py (store and lock), check (``database`` or ``server``), and the views that
show its sizes. A server may have several daemons; a state directory has one.

The threads. The main thread holds APScheduler and waits (service/schedule/scheduler.py). The daemon's state is all one
event loop's, on the thread ``bangeod-loop`` (service/loop.py): between two awaits nothing else runs, so what is done
there needs no lock. SQLite has a thread that knows nothing but the statements it is given (store/sqlite/thread.py);
what blocks for a while, as small files, the opening of MMDBs and fail2ban's database do, goes to asyncio's pool
(asyncio.to_thread). Looking up in an MMDB is quick and done on the loop.

A lookup (api/handlers.py → geo/cache/cache.py): memory's entries first. For what is neither there nor in the negative
cache, the database and the local sources are asked at once, then the fleet, then ip-api.com (resolver.py); who asked is
answered in time (api/pending_lookups.py). What a row has goes to memory, what a source knows to the dirty set as well
(contents.py); what nobody knows gets a row without a country, to be tried again.

A request to ip-api.com (geo/sources/ip_api/client.py): limit.py says whether its time has come. In a fleet, the host's
turn is taken on the server and the addresses are claimed before it (turns.py; fleet/ip_api_turns.py, egress.py), and
what came of it is told to the others after it.

A ban's country comes by the web app's lookup, or, where nobody looked, by geo_re_resolve: store/fail2ban.py reads who
is banned (which jails count: banned.py), jobs/ban_watch.py has it read for the job and logs where it can't be,
jobs/unresolved.py finds those without a row or a country, and jobs/geo_re_resolve.py has the cache ask the sources
about them and flushes what was found, batch by batch.

Where most addresses come from (cli/top.py, or GET /v1/top → service/top.py): memory's entries are counted by their
places in steps (geo/cache/tally.py), those that fail2ban bans one by one, and put into groups by country or by network
(geo/groups.py).

A run of a job: its time comes in the main thread, which hands it to the loop (schedule/scheduler.py); it is run once,
within its timeout, and reports (schedule/job_schedule.py → service/job_runs.py → jobs/runner.py). What failed or is not
finished is tried again soon.

A flush, by geo_cache_flush each minute, by geo_re_resolve, and at the stop (geo/cache/cache.py → geo/cache/dirty.py →
store/sqlite/geo_writing.py, slicing.py): entries of the dirty set are written slice by slice; what was committed leaves
the set, unless it has changed since. On a full disk the slice is rolled back (store/sqlite/connection.py) and becomes a
StoreFullError (store/sqlite/faults.py), with which the job fails (jobs/runner.py). What is not written stays and waits
for the next flush, up to twice ``max_dirty``; beyond that new addresses are answered, but not kept
(geo/cache/contents.py).

A fleet (fleet/fleet.py: who this host is in it): what this host's own sources found waits (fleet/outbox.py) for the
flush, which writes it to the server's table and sends a notice (fleet/sharing.py); what others found is asked within a
deadline (fleet/geo_tier.py), each row read with suspicion (fleet/geo_rows.py). Notices of others have it read again
(service/fleet_notices.py). Nothing waits for the server: without it, all goes on as in no fleet.

The start: READY follows once the MMDBs are looked at, the opening of the database was tried and the socket is open. The
rows are read into memory after that, in the background (service/served_database.py → geo/cache/loading.py →
store/sqlite/whole_table.py); what is not there yet is answered from its row.

How the daemon stands (api/daemon_state.py, filled by service/state_report.py) is described once: the line of systemctl
status (service/status_line.py), the screen (cli/status_screen.py), /v1/status, metrics and health are views of it.

Several daemons on one server's database (service/other_daemons.py): after each slice that is committed, its addresses
are sent to the others (store/postgres/announcing.py), which hear of them (listening.py), read these rows and have
memory follow (service/following.py → geo/cache/cache.py); after a lost connection they read the whole table. A job is
run by the one that gets its turn (jobs/turns.py, fleet/job_turns.py), and who is there is seen by heartbeats
(fleet/heartbeat.py).

Another database at the path, by a backup restored, say: before each job, and before each write,
store/sqlite/connection.py looks which file is there, and copied_over.py whether another was copied over it. Then memory
forgets all but the dirty set, and is filled again from the new file.

Too much at once (api/__init__.py has the limits): connections, bodies, large batches and lookups that nobody waits for
any more are bounded each by its own module.

The stop (service/signals.py → Daemon._finish): the schedule ends, the API lets nobody in, running jobs get 5 s and are
cancelled then, the dirty set is flushed (service/final_flush.py), what is left goes to the unwritten file, and the
daemon's own lock (service/lock.py) is let go.

The words:

    entry, row       where an address is, as memory has it, and as the table geo_cache has it
    table            geo_cache, in the database; memory's own is EntryTable (geo/cache/table.py)
    dirty set        entries of memory whose row is missing or out of date: they wait to be written
    negative cache   addresses that nobody knew just now: for ten minutes a lookup does not even look for their rows
    backoff          when sources may be asked about such an address again: after 10, 20, 40 minutes … a day
    claim, egress    what nobody else in a fleet asks ip-api about; the public address that some of its hosts share
    slice            what is written in one short transaction, so that the web app hardly meets the lock
    checkpoint       the move of the WAL (SQLite's write-ahead log) into the database, while and after much is written,
                     and before the web app's commits have made it so long that one of them would have to
    read mark        bangeod's own, while it writes much: nobody has anything to checkpoint, and the WAL may grow
    turn             the right to run a job for all daemons of a database: an advisory lock of the server's
    notice           addresses whose rows another daemon has changed, sent by NOTIFY
    giving way       keeping quiet while a backup copies: with each commit of another process it begins anew
    unwritten file   ``unwritten.json``: what could not be flushed at the stop; the next start takes it up. The log
                     calls it leftover: ``leftover_kept``, ``leftover_taken_up``
    probe            a process that reads a whole MMDB before it is taken into use, since a damaged one may kill it
    verification     entries held against an MMDB that has changed, in the background
"""

# Written here, from where pyproject.toml takes it: asking the installation for it would take a quarter of the time of a
# short command.
__version__ = "0.1.0"
