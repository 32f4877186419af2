"""One update from end to end: ask, download, unpack, probe, install; the old file stays until then."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import httpx

from bangeod.clock import Clock
from bangeod.errors import SourceError
from bangeod.geo.sources.mmdb.file import PROBE_SECONDS, open_file
from bangeod.geo.sources.mmdb.probe import Findings
from bangeod.geo.update import answers, install, releases
from bangeod.geo.update.answers import Advice, UpdateError
from bangeod.geo.update.download import Credentials, Progress, Reply, Request, download
from bangeod.geo.update.install import Directory, Owner, Part
from bangeod.geo.update.releases import Database
from bangeod.geo.update.unpack import unpack

DEADLINE: Final = 900.0  # seconds for one database in total; 10 MiB at 12 kB/s


class Update(NamedTuple):
    """The result of an update."""

    source: Database
    path: Path
    findings: Findings  # of the file in place now
    is_new: bool


class Present(NamedTuple):
    """The existing file, which can be used."""

    findings: Findings
    modified: float  # epoch seconds; when its publisher last changed it


class Updater:
    """Updates databases in a state directory.

    ``owner`` is whom the directory is made for if root has to make it, ``base`` replaces the providers' own URLs,
    and ``force`` also fetches what has not changed. Used on one event loop.
    """

    def __init__(
        self,
        directory: Path,
        client: httpx.AsyncClient,
        clock: Clock,
        *,
        credentials: Credentials | None = None,
        owner: Owner | None = None,
        force: bool = False,
        base: str = "",
        deadline: float = DEADLINE,
        probe_seconds: float = PROBE_SECONDS,
    ) -> None:
        self._path = directory
        self._client = client
        self._clock = clock
        self._credentials = credentials
        self._owner = owner
        self._force = force
        self._base = base
        self._deadline = deadline
        self._probe_seconds = probe_seconds

    async def update(self, source: Database, on_progress: Progress) -> Update:
        """Fetch a database if there is a newer one. Raises UpdateError; the old file is then untouched."""
        try:
            async with asyncio.timeout(self._deadline):
                with install.opened(self._path, self._owner, self._clock.now()) as directory:
                    return await self._update(source, directory, on_progress)
        except UpdateError as error:
            problem = error.problem
        except TimeoutError:
            problem = f"not done within {self._deadline / 60:g} min: the line is slow or the server is; try again later"
        except OSError as error:
            problem = install.explain(error, self._path)
        path = self._path / source.file_name
        raise UpdateError(source.name, f"{problem}. {path} stays as it is" if _is_seen(path) else problem)

    async def _update(self, source: Database, directory: Directory, on_progress: Progress) -> Update:
        path = self._path / source.file_name
        present = await self._look_at(path)
        with directory.part(source.file_name) as packed, directory.part(source.file_name) as unpacked:
            reply = await self._download(source, packed, present, on_progress)
            if reply.verdict is Advice.UNCHANGED and present:
                return Update(source, path, present.findings, is_new=False)
            await asyncio.to_thread(unpack, source, packed, unpacked)
            findings = await self._probe(source, unpacked, reply.host)
            unpacked.put_in_place(source.file_name, modified=reply.last_modified)
        return Update(source, path, findings, is_new=True)

    async def _look_at(self, path: Path) -> Present | None:
        """Look at the existing file; None where it can't be used: then it is fetched again, however new it is."""
        if self._force:
            return None
        try:
            opened = await open_file(path, time_limit=self._probe_seconds)
        except SourceError:
            return None
        opened.close()
        return Present(opened.findings, opened.signature.modified_ns / 1e9)

    async def _download(self, source: Database, packed: Part, present: Present | None, on_progress: Progress) -> Reply:
        """Try one URL after the other."""
        today = datetime.fromtimestamp(self._clock.now(), UTC).date()
        candidates = releases.candidates(source, today, base=self._base)
        since = present.modified if present else None
        credentials = self._credentials if source.provider.needs_account else None
        for candidate in candidates:
            reply = await download(
                self._client, Request(source, candidate.url, since, credentials), packed, on_progress
            )
            if reply.verdict is not Advice.NOT_THERE:
                return reply
        if len(candidates) == 1:
            raise UpdateError(source.name, answers.explain(404, reply.host, to_account=credentials is not None))
        months = " nor for ".join(candidate.release for candidate in candidates)
        problem = f"{reply.host} has no file for {months}: see whether the clock is right (timedatectl)"
        raise UpdateError(source.name, f"{problem}; if it is, try again later")

    async def _probe(self, source: Database, unpacked: Part, host: str) -> Findings:
        try:
            opened = await open_file(unpacked.path, time_limit=self._probe_seconds)
        except SourceError as error:
            raise UpdateError(source.name, f"what {host} sent {error.problem}") from None
        opened.close()
        if not source.holds.count(opened.findings):
            raise UpdateError(source.name, f"what {host} sent holds no {source.holds.name}: try again later")
        return opened.findings


def _is_seen(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110  False, not an error, where a directory is closed
