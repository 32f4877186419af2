"""Daemon and web app as two users of the machine, over one database and its write-ahead log."""

import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Start
from tests.support.daemon.installation import Installation, every, text
from tests.support.daemon.process import environment
from tests.support.daemon.two_users import DAEMON, WEB, as_user, needs_two_users, share

pytestmark = needs_two_users

# Reads statements, a line each, and commits each; plays BanGUI.
WEB_APP = """
import sqlite3, sys
connection = None
for line in sys.stdin:
    if line == "close\\n":
        connection.close()
        connection = None
    else:
        if connection is None:
            connection = sqlite3.connect(sys.argv[1], timeout=10, isolation_level=None)
        connection.execute(line)
    print("done", flush=True)
"""


class WebApp:
    """The web app's process."""

    def __init__(self, database: Path) -> None:
        command = [*as_user(WEB), sys.executable, "-c", WEB_APP, str(database)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
        )

    def does(self, statement: str) -> None:
        """Have it run a statement and commit, or ``close`` the database."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(statement + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def end(self) -> None:
        """End it."""
        self._process.communicate()


@pytest.fixture
def shared(place: Installation) -> Installation:
    share(place)
    place.configure(every("500ms"))
    return place


@pytest.fixture
def web_app(shared: Installation) -> Iterator[WebApp]:
    app = WebApp(shared.database)
    yield app
    app.end()


def insert(ip: str) -> str:
    return f"INSERT INTO geo_cache (ip, last_seen) VALUES ('{ip}', '{text()}')"


def files(database: Path) -> dict[str, tuple[int, str]]:
    """Return group and mode of the database and of what SQLite makes beside it."""
    found = database.parent.glob("bangui.db*")
    status = {path.name.removeprefix("bangui.db"): path.stat() for path in found if "lock" not in path.name}
    return {name: (each.st_gid, stat.filemode(each.st_mode)) for name, each in status.items()}


def test_what_the_web_app_makes_the_daemon_can_write(shared: Installation, web_app: WebApp, launch: Start) -> None:
    web_app.does(insert("8.8.8.8"))
    daemon = launch(shared.config, through=as_user(DAEMON))
    daemon.wait_for("geo_re_resolve_complete", resolved=1)
    ours = (WEB, "-rw-rw----")
    assert files(shared.database) == {"": ours, "-wal": ours, "-shm": ours}
    assert not daemon.lines(level="error")


def test_what_the_daemon_makes_the_web_app_can_write(shared: Installation, web_app: WebApp, launch: Start) -> None:
    daemon = launch(shared.config, through=as_user(DAEMON))
    daemon.wait_for("session_cleanup_ran")
    web_app.does(insert("8.8.8.8"))
    daemon.wait_for("geo_re_resolve_complete", resolved=1)
    ours = (WEB, "-rw-rw----")
    assert files(shared.database) == {"": ours, "-wal": ours, "-shm": ours}


def test_each_comes_and_goes_and_the_other_goes_on(shared: Installation, web_app: WebApp, launch: Start) -> None:
    for ip in ("8.8.8.8", "9.9.9.9"):
        daemon = launch(shared.config, through=as_user(DAEMON))
        daemon.wait_for("session_cleanup_ran")
        web_app.does(insert(ip))
        daemon.wait_for("geo_re_resolve_complete", resolved=1)
        web_app.does("close")
        since = daemon.mark()
        daemon.wait_for("session_cleanup_ran", since=since)
        web_app.does("INSERT INTO sessions (token, expires_at) VALUES (hex(randomblob(8)), '2000-01-01T00:00:00Z')")
        daemon.wait_for("session_cleanup_ran", since=since, deleted_count=1)
        assert daemon.stop() == 0
        assert not daemon.lines(level="error")
        web_app.does("DELETE FROM sessions")
    assert shared.countries().keys() == {"8.8.8.8", "9.9.9.9"}
    assert None not in shared.countries().values()
