"""Daemon and web app as two users of the machine that share a group: how to become one, and whose files are whose."""

import os
import shutil

import pytest

from tests.support.daemon.installation import Installation

WEB, DAEMON = 61_001, 61_002  # user ids that nobody has; the group of both is the web app's

problem: str | None = None
if os.geteuid() != 0:
    problem = "only root can start programs as other users"
elif shutil.which("setpriv") is None:
    problem = "setpriv (util-linux) is not installed"
needs_two_users = pytest.mark.skipif(problem is not None, reason=problem or "")


def as_user(uid: int) -> list[str]:
    """Start what follows as this user in the web app's group, with the umask of a service.

    The interpreter may lie where only root can read; this one capability lets it be read, and nothing be written.
    """
    capability = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    user = ["setpriv", f"--reuid={uid}", f"--regid={WEB}", "--clear-groups", *capability]
    return [*user, "sh", "-c", 'umask 007 && exec "$0" "$@"']


def share(place: Installation) -> None:
    """Move the database into a directory of both users: setgid, and writable for the group."""
    home = place.home / "shared"
    home.mkdir()
    database = home / "bangui.db"
    place.database.rename(database)
    place.database = database
    place.configure({"database.path": str(database)})
    os.chown(database, WEB, WEB)
    database.chmod(0o660)
    os.chown(home, WEB, WEB)
    home.chmod(0o2770)
    os.chown(place.state, DAEMON, WEB)
