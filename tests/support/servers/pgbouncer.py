"""PgBouncer from Debian's package, in front of the server that tests share."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from bangeod.store.postgres import driver
from tests.support.servers import postgres
from tests.support.servers.postgres import PATIENCE, PostgresServer

CONFIG: Final = """\
[databases]
* = host={server} user=postgres
[pgbouncer]
listen_addr =
unix_socket_dir = {home}
listen_port = 6432
auth_type = any
pool_mode = {mode}
default_pool_size = {sessions}
logfile = {home}/pgbouncer.log
"""


@contextmanager
def running(server: PostgresServer, *, mode: str = "transaction", sessions: int = 1) -> Iterator[str]:
    """Run it with so many sessions of the server's; give libpq's keywords for it, without a database."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if program is None:
        pytest.skip("there is no PgBouncer: apt-get install pgbouncer")
    home = server.home / postgres.new_name()
    home.mkdir()
    config = home / "pgbouncer.ini"
    config.write_text(CONFIG.format(server=server.home, home=home, mode=mode, sessions=sessions))
    server.hand_over(home)
    command = server.as_user(Path(program), config)
    keywords = f"host={home} port=6432 user=postgres"
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/") as pgbouncer:
        try:
            ends = time.monotonic() + PATIENCE
            while not _answers(keywords):
                assert pgbouncer.poll() is None
                assert time.monotonic() < ends, (home / "pgbouncer.log").read_text()
                time.sleep(0.02)
            yield keywords
        finally:
            pgbouncer.kill()


def _answers(keywords: str) -> bool:
    import psycopg  # noqa: PLC0415 - it need not be there

    try:
        psycopg.connect(f"{keywords} dbname=postgres").close()
    except driver.error():
        return False
    return True
