"""One MMDB, opened so that neither a damaged file nor a file changed while in use can crash bangeod."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import maxminddb
import structlog

from bangeod import addresses
from bangeod.errors import SourceError
from bangeod.geo.sources.mmdb import layouts
from bangeod.geo.sources.mmdb.network_memo import NetworkMemo
from bangeod.geo.sources.mmdb.probe import Findings
from bangeod.geo.sources.mmdb.reader import open_reader
from bangeod.geo.sources.mmdb.snapshot import Signature, Snapshot
from bangeod.model import Geo, Origin

log = structlog.get_logger(__name__)

PROBE_SECONDS: Final = 120.0  # a city file takes some 5 s on a server, ten times that on a small board

# -P: the working directory is no place for modules. Not -I, since bangeod itself may be found through PYTHONPATH.
_PROBE: Final = (sys.executable, "-P", "-m", "bangeod.geo.sources.mmdb.probe")
_MAX_MEMO: Final = 100_000  # the largest AS files know some 90,000 distinct answers
_MAX_REMEMBERED_TEXT: Final = 1_000  # characters; only a hostile file has longer texts


_CRASHES: Final = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE}


class UnusableFileError(SourceError):
    """The file's content can't be used; retrying is useless until the file changes."""


class ProbeError(SourceError):
    """The file could not be checked: too little time or memory, because of the file or the machine."""


class MmdbSource:
    """One file as it was when it was opened. Equal answers are one object. The event loop's thread owns it."""

    def __init__(self, path: Path, signature: Signature, findings: Findings, reader: maxminddb.Reader) -> None:
        self.path = path
        self.signature = signature
        self.findings = findings
        self.lookup_errors = 0  # how often the file's reader raised
        self._reader = reader
        self._no_ipv6 = findings.ip_version == 4  # noqa: PLR2004 - IP version 4
        self._networks = NetworkMemo()
        self._by_essence: dict[tuple[object, ...], Geo | None] = {}
        self._shared: dict[Geo, Geo] = {}

    @property
    def origin(self) -> Origin:
        return Origin.MMDB

    def find(self, ip: str) -> Geo | None:
        """Return what the file knows of an address, or only of the IPv4 address that an IPv6 one carries."""
        if ":" in ip:
            carried = addresses.carried_ipv4(ip)
            if carried is None:
                return None if self._no_ipv6 else self._read(ip)[0]
            ip = carried
        geo = self._networks.find(ip)
        if geo is ...:
            geo, prefix_length = self._read(ip)
            self._networks.remember(ip, prefix_length, geo)
        return geo

    def _read(self, ip: str) -> tuple[Geo | None, int]:
        """Return the file's answer for an address and the prefix length it holds for; 0 where it can't be read."""
        try:
            record, prefix_length = self._reader.get_with_prefix_len(ip)
        except Exception as error:  # noqa: BLE001 - damaged records raise anything: no answer from this file
            self._count(error)
            return None, 0
        return self._interpret(record) if isinstance(record, dict) else None, prefix_length

    def _interpret(self, record: Mapping[Any, object]) -> Geo | None:
        essence = layouts.essence(record)
        try:
            return self._by_essence[essence]
        except KeyError:
            return self._remember(essence, layouts.interpret(record))
        except TypeError:  # a field of a type that can't be hashed
            return self._share(layouts.interpret(record))

    def _remember(self, essence: tuple[object, ...], geo: Geo | None) -> Geo | None:
        if len(self._by_essence) >= _MAX_MEMO:
            self._by_essence.clear()
        geo = self._share(geo)
        if len(str(essence)) <= _MAX_REMEMBERED_TEXT:
            self._by_essence[essence] = geo
        return geo

    def _share(self, geo: Geo | None) -> Geo | None:
        if geo is None:
            return None
        if len(self._shared) >= _MAX_MEMO:
            self._shared.clear()
        return self._shared.setdefault(geo, geo)

    def record(self, ip: str) -> tuple[object, int | None]:
        """Return the whole record of an address, which may be any object, and the prefix length that it holds for.

        (None, None) where the file has no addresses of this family. Raises what the reader raises.
        """
        return (None, None) if ":" in ip and self._no_ipv6 else self._reader.get_with_prefix_len(ip)

    def _count(self, error: Exception) -> None:
        self.lookup_errors += 1
        if self.lookup_errors == 1:
            log.warning("mmdb_lookup_failed", path=str(self.path), problem=f"{type(error).__name__}: {error}"[:300])

    def close(self) -> None:
        self._reader.close()


async def open_file(path: Path, *, time_limit: float = PROBE_SECONDS) -> MmdbSource:
    """Copy the file, let a child process read all of it, and open the copy. Raises SourceError."""
    snapshot = await asyncio.to_thread(Snapshot, path)
    with snapshot:
        findings = await _probe(path, snapshot, time_limit)
        try:
            reader = await asyncio.to_thread(open_reader, snapshot.path)
        except Exception as error:
            raise SourceError(str(path), f"can't be opened: {type(error).__name__}: {error}") from error
    return MmdbSource(path, snapshot.signature, findings, reader)


async def _probe(path: Path, snapshot: Snapshot, time_limit: float) -> Findings:
    try:
        child = await asyncio.create_subprocess_exec(
            *_PROBE,
            str(snapshot.fd),
            pass_fds=(snapshot.fd,),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as error:
        raise ProbeError(str(path), f"could not be checked: no probe can be started: {error.strerror}") from error
    try:
        async with asyncio.timeout(time_limit):
            answer, _ = await child.communicate()
    except TimeoutError:
        raise ProbeError(str(path), f"could not be checked within {time_limit:.0f} s") from None
    finally:
        await asyncio.shield(_end(child))
    return read_answer(path, answer, child.returncode or 0)


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


def read_answer(path: Path, answer: bytes, status: int) -> Findings:
    """Interpret the probe's output and exit status. Raises UnusableFileError or ProbeError."""
    if -status in _CRASHES:
        name = signal.Signals(-status).name
        raise UnusableFileError(str(path), f"is damaged: reading it killed the reader ({name}); fetch it again")
    try:
        fields = json.loads(answer)
    except ValueError:
        raise ProbeError(str(path), f"could not be checked: the probe ended with status {status}") from None
    if "problem" in fields:
        raise UnusableFileError(str(path), fields["problem"])
    return Findings(**fields)
