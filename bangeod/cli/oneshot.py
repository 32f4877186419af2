"""Work that a command does by itself, without a daemon: a core for as long as the command runs."""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import click

from bangeod.clock import SystemClock
from bangeod.config import Settings
from bangeod.errors import AlreadyServedError, StoreError
from bangeod.service import logs
from bangeod.service.core import LEFTOVER_FILE, Core
from bangeod.service.lock import DatabaseLock
from bangeod.service.state_files import is_there

T = TypeVar("T")


def work(settings: Settings, body: Callable[[Core], Awaitable[T]], *, look_only: bool = False) -> T:
    """Run ``body`` with a core of its own. Warnings go to standard error, results are the caller's to print.

    With ``look_only`` nothing in the state directory changes.
    """
    level = "warning" if settings.log.level == "info" else settings.log.level
    log_format = "console" if settings.log.format == "auto" else settings.log.format
    logs.configure(level, log_format, environ=os.environ)

    async def main() -> T:
        async with _core(settings, look_only=look_only) as core:
            return await body(core)

    return asyncio.run(main())


def _is_something_left(settings: Settings) -> bool:
    with suppress(OSError):  # what may not be seen can't be taken up either
        return is_there(settings.state.directory / LEFTOVER_FILE)
    return False


@asynccontextmanager
async def _core(settings: Settings, *, look_only: bool) -> AsyncGenerator[Core, None]:
    """Make a core; with the lock where it is needed and nobody else has it, without (and so without ip-api) otherwise.

    A daemon that is started meanwhile would find it taken, so it is needed only for what two must not do at once: ask
    ip-api, and write what an earlier daemon has left.
    """
    lock = DatabaseLock(settings.database.path)
    if not look_only and (settings.geo.ip_api.enabled or _is_something_left(settings)):
        with suppress(AlreadyServedError, StoreError):  # the database itself is what the person hears about
            lock.acquire()
    core = Core(settings, SystemClock(), lock, look_only=look_only)
    try:
        if lock.held or look_only:
            core.take_up_leftover()
        elif settings.geo.ip_api.enabled:
            click.echo(
                "warning: the running daemon alone asks ip-api; what only ip-api knows stays unresolved", err=True
            )
        await core.sources.refresh()
        yield core
    finally:
        if lock.held:
            core.keep_leftover()
        await core.close()
        lock.release()
