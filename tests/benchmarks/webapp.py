"""A second process that plays the web app: every 5 ms it inserts a session, and notes how long that took.

    python -m tests.benchmarks.webapp DATABASE

It prints a line when it has begun, writes until its standard input ends, and then prints what it saw as JSON.
It opens the database with Python's own SQLite, as a web app does, at that library's defaults: full
synchronous, an automatic checkpoint at 1,000 pages, the standard busy handler.
"""

import contextlib
import json
import os
import secrets
import sqlite3
import sys
import threading
import time

EVERY = 0.005  # seconds
BUSY_TIMEOUT = 5  # seconds; Python's default
INSERT = "INSERT INTO sessions (token, expires_at) VALUES (?, '2999-01-01T00:00:00Z')"


def main(path: str) -> None:
    """Write until the standard input ends."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
    ended = threading.Event()
    threading.Thread(target=_wait_for_end, args=[ended], daemon=True).start()
    commits: list[tuple[float, float]] = []
    errors = 0
    largest_wal = 0
    while not ended.is_set():
        began = time.monotonic()
        try:
            _insert(connection)
        except sqlite3.OperationalError:
            errors += 1
        commits.append((began, time.monotonic()))
        if len(commits) == 1:
            print("begun", flush=True)
        with contextlib.suppress(FileNotFoundError):
            largest_wal = max(largest_wal, os.stat(f"{path}-wal").st_size)  # noqa: PTH116 - this loop is timed
        time.sleep(max(0.0, began + EVERY - time.monotonic()))
    connection.close()
    print(json.dumps({"commits": commits, "errors": errors, "largest_wal": largest_wal}))


def _wait_for_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def _insert(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(INSERT, (secrets.token_hex(32),))
        connection.execute("COMMIT")
    except sqlite3.OperationalError:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


if __name__ == "__main__":
    main(sys.argv[1])
