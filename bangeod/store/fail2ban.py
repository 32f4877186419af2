"""Who is banned now, from fail2ban's own database: opened read-only, and only for as long as it is read.

fail2ban 0.11 and newer say of each ban how long it lasts: ``bips`` has the last ban of each address in each jail,
``bans`` every ban. Older ones have ``bans`` without ``bantime``, which stands in their jails' configuration; who is
banned can't be told from it, and that is said as an error.
"""

import asyncio
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from bangeod.errors import StoreDamagedError, StoreError, StoreLockedError, StoreMissingError
from bangeod.geo.addresses import Kind
from bangeod.geo.addresses import read as read_address
from bangeod.store import faults, queries
from bangeod.store.engine import engine

if TYPE_CHECKING:
    from sqlite3 import Connection

_OTHER_FILE = 'set [fail2ban] database to its dbfile (fail2ban-client get dbfile), or to "" to do without'


class Fail2banReader:
    """Reads the database at ``path``; ``busy_timeout`` is how long to wait for a lock, in seconds."""

    def __init__(self, path: Path, *, busy_timeout: float) -> None:
        self._path = path
        self._busy_timeout = busy_timeout

    async def banned(self, now: int) -> frozenset[str]:
        """Return the canonical addresses that are banned at ``now``: for good, or not at their end yet.

        Raises StoreError where the database can't be read.
        """
        return await asyncio.to_thread(self._read, now)

    def _read(self, now: int) -> frozenset[str]:
        if faults.is_missing(self._path):
            raise StoreMissingError(str(self._path), "there is no such fail2ban database", _OTHER_FILE)
        uri = f"file:{quote(str(self._path))}?mode=ro"
        try:
            with closing(engine.connect(uri, uri=True, timeout=self._busy_timeout)) as connection:
                connection.text_factory = _decode
                rows = connection.execute(self._statement(connection), {"now": now}).fetchall()
        except engine.Error as error:
            raise self._translated(error) from error
        read = (read_address(ip) for (ip,) in rows)
        return frozenset(ip for kind, ip in read if kind is not Kind.INVALID)

    def _statement(self, connection: "Connection") -> str:
        tables = {name for (name,) in connection.execute(queries.FAIL2BAN_TABLES)}
        if "bips" in tables:
            return queries.FAIL2BAN_BIPS
        columns = {name for name, _ in connection.execute(queries.COLUMNS, ("bans",))}
        if not columns:
            raise StoreError(str(self._path), "this is no fail2ban database: it has no table bans", _OTHER_FILE)
        if "bantime" not in columns:
            problem = "it comes from a fail2ban older than 0.11, which does not say how long a ban lasts"
            raise StoreError(str(self._path), problem, 'update fail2ban, or set [fail2ban] database to ""')
        return queries.FAIL2BAN_BANS

    def _translated(self, error: Exception) -> StoreError:
        fault = faults.translate(self._path, getattr(error, "sqlite_errorcode", None) or 0, str(error))
        if isinstance(fault, StoreLockedError):
            advice = "tried again at the next run"
        elif isinstance(fault, StoreDamagedError):
            advice = _OTHER_FILE
        else:
            advice = f"it belongs to root: setfacl -m u:bangeod:r {self._path} (and x on its directory) lets us read it"
        return type(fault)(str(self._path), f"fail2ban's database can't be read: {fault.problem}", advice)


def _decode(raw: bytes) -> str:
    return raw.decode(errors="replace")
