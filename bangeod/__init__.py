"""bangeod: the maintenance daemon of BanGUI, a web interface for fail2ban.

The rooms; imports point down, and what stands side by side does not know each other (tests hold it):

    cli       the commands                      client   for the web app: the way to the daemon's socket
    check     what ``bangeod check`` looks at
    service   the running process: daemon.py first; log/, schedule/, state/ (its own files)
    api       HTTP on a Unix socket             jobs     the periodic jobs, one file each
    geo       where an address is: cache/ (what memory holds), sources/ (who knows), update/ (files fetched)
    store     the database: port.py is what all above see; sqlite/ the web app's file, fail2ban.py fail2ban's
    config    bangeod.toml                      and the ground: model, addresses, banned, countries, errors, clock …

The two threads. The main thread holds APScheduler and waits (service/schedule/scheduler.py). All else is one event
loop's, on the thread ``bangeod-loop``: between two awaits nothing else runs, so there are no locks over its state.
SQLite has a thread of its own, which knows nothing but the statements that it is given (store/sqlite/connection.py).

A lookup (api/handlers.py → geo/cache/cache.py): memory's table; what is not there is asked of its row and of the local
sources at once, then of ip-api.com, unless it was just not found. What is found goes to memory and to the dirty set.

A run of a job: its time comes in the main thread, which hands it to the loop (service/schedule/job_schedule.py); it is
run once, within its timeout, and reports (jobs/runner.py). What is unfinished is taken up again soon.

A flush (geo/cache/dirty.py → store/sqlite/geo_writing.py): entries of the dirty set are written slice by slice; what
was committed leaves the set, unless it has changed since; where the database fails they stay and wait for the next.

The stop (service/daemon.py, service/shutdown.py): the schedule ends, the API lets nobody in, jobs get some seconds, the
dirty set is flushed, what is left goes to the unwritten file, and the lock is let go.

The words:

    dirty set        entries that memory has and the table does not have yet
    negative cache   addresses that nobody knew just now; for minutes they are not asked about
    backoff          when such an address may be asked about again: after 10, 20, 40 minutes … a day
    slice            what is written in one short transaction, so that the web app hardly meets the lock
    checkpoint       the move of the WAL (SQLite's write-ahead log) into the database, when it has grown
    unwritten file   ``unwritten.json``: what could not be flushed at the stop; the next start takes it up
    probe            a process that reads a whole MMDB before it is taken into use, since a damaged one may kill it
    verification     entries held against an MMDB that has changed, in the background
"""

from importlib.metadata import version

__version__ = version("bangeod")
