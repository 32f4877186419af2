"""bangeod: the maintenance daemon of BanGUI, a web interface for fail2ban.

The rooms. A module imports from its own and from those below it that tests/unit/test_architecture.py lists:

    cli       the commands
    client    for the web app and the commands: the way to the daemon's socket; knows nothing but errors
    check     what ``bangeod check`` looks at
    service   the running process: daemon.py first; log/, schedule/, state/ (its own files)
    api       HTTP on a Unix socket
    jobs      the periodic jobs: each has a file, and registry.py has them all
    geo       where an address is: cache/ (what memory holds), sources/ (who knows), update/ (files fetched)
    store     port.py: the store as jobs and geo see it; sqlite/: the web app's file; fail2ban.py: fail2ban's
    config    bangeod.toml
    ground    model, addresses, banned, countries, errors, clock, trouble and all else at the top: everybody's

The threads. The main thread holds APScheduler and waits (service/schedule/scheduler.py). The daemon's state is all one
event loop's, on the thread ``bangeod-loop`` (service/loop.py): between two awaits nothing else runs, so what is done
there needs no lock. SQLite has a thread that knows nothing but the statements it is given (store/sqlite/thread.py);
what blocks for a while, as small files, MMDBs and fail2ban's database do, is done by threads that come and go.

A lookup (api/handlers.py → geo/cache/cache.py): memory's entries first. What is not there, and was not just asked about
in vain, is asked of its row and of the local sources at once, then of ip-api.com (resolver.py). What is found goes to
memory and to the dirty set (contents.py); what nobody knows gets a row without a country, to be tried again.

A ban's country comes by the web app's lookup, or, where nobody looked, by geo_re_resolve: store/fail2ban.py reads who
is banned, jobs/ban_watch.py remembers it, jobs/unresolved.py finds those without a row or a country,
jobs/geo_re_resolve.py has the cache ask the sources about them, and the flush writes what was found.

A run of a job: its time comes in the main thread, which hands it to the loop (schedule/scheduler.py); it is run once,
within its timeout, and reports (schedule/job_schedule.py → service/job_runs.py → jobs/runner.py). What failed or is not
finished is tried again soon.

A flush (geo/cache/dirty.py → store/sqlite/geo_writing.py): entries of the dirty set are written slice by slice; what
was committed leaves the set, unless it has changed since. On a full disk the slice is rolled back (connection.py) and
the error says so (faults.py); what is not written stays and waits for the next flush, up to a bound (contents.py).

The start: READY waits for nothing. Then the table is read into memory in the background (service/served_database.py →
geo/cache/loading.py → store/sqlite/whole_table.py); what is not there yet is answered from its row.

Another database at the path, by a backup restored, say: before each job, and before each write,
store/sqlite/connection.py looks which file is there, and copied_over.py whether another was copied over it. Then memory
forgets all but the dirty set, and is filled again from the new file.

Too much at once (api/__init__.py has the limits): connections, bodies, large batches and lookups that nobody waits for
any more are bounded each by its own module.

The stop (service/signals.py → Daemon._finish): the schedule ends, the API lets nobody in, running jobs get 5 s and are
cancelled then, the dirty set is flushed (service/final_flush.py), what is left goes to the unwritten file, and the lock
is let go.

The words:

    entry, row       where an address is, as memory has it, and as the table geo_cache has it
    dirty set        entries that memory has and the table does not have yet
    negative cache   addresses that nobody knew just now: for ten minutes a lookup does not even look for their rows
    backoff          when sources may be asked about such an address again: after 10, 20, 40 minutes … a day
    slice            what is written in one short transaction, so that the web app hardly meets the lock
    checkpoint       the move of the WAL (SQLite's write-ahead log) into the database, while and after much is written,
                     and before the web app's commits have made it so long that one of them would have to
    read mark        bangeod's own, while it writes much: nobody has anything to checkpoint, and the WAL may grow
    giving way       keeping quiet while a backup copies: a job that writes much would let it begin anew each time
    unwritten file   ``unwritten.json``: what could not be flushed at the stop; the next start takes it up. The log
                     calls it leftover: ``leftover_kept``, ``leftover_taken_up``
    probe            a process that reads a whole MMDB before it is taken into use, since a damaged one may kill it
    verification     entries held against an MMDB that has changed, in the background
"""

# Written here, from where pyproject.toml takes it: asking the installation for it would take a quarter of the time of a
# short command.
__version__ = "0.1.0"
