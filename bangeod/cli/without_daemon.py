"""Running a command's work without a daemon: with components of its own, for as long as the command runs."""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import click

from bangeod.clock import SystemClock
from bangeod.config import Settings
from bangeod.errors import AlreadyServedError, StoreError
from bangeod.service.components import Components
from bangeod.service.database import lock_of
from bangeod.service.log import setup
from bangeod.service.settings_in_force import SettingsInForce
from bangeod.service.state.files import is_there
from bangeod.service.unwritten_entries import UNWRITTEN_FILE

T = TypeVar("T")


def work(
    settings: Settings,
    body: Callable[[Components], Awaitable[T]],
    *,
    look_only: bool = False,
    ask_sources: bool = True,
) -> T:
    """Run ``body`` with its own components. Warnings go to standard error; the caller prints results.

    With ``look_only`` nothing in the state directory changes. Opening the sources takes a while: one who asks none does
    without.
    """
    level = "warning" if settings.log.level == "info" else settings.log.level
    log_format = "console" if settings.log.format == "auto" else settings.log.format
    setup.configure(level, log_format, environ=os.environ)

    async def main() -> T:
        async with _components(settings, look_only=look_only, ask_sources=ask_sources) as components:
            return await body(components)

    return asyncio.run(main())


def _is_something_left(settings: Settings) -> bool:
    with suppress(OSError):  # a file that may not be seen can't be taken up either
        return is_there(settings.state.directory / UNWRITTEN_FILE)
    return False


@asynccontextmanager
async def _components(settings: Settings, *, look_only: bool, ask_sources: bool) -> AsyncGenerator[Components, None]:
    """Make the components, holding the lock if it is needed and free; without it they don't ask ip-api.

    A daemon that is started meanwhile would find the lock taken. So it is taken only for what two processes must not do
    at once: ask ip-api, and write what an earlier daemon has left.
    """
    lock = lock_of(settings)
    if not look_only and (settings.geo.ip_api.enabled or _is_something_left(settings)):
        with suppress(AlreadyServedError, StoreError):  # problems of the database itself are reported later
            lock.acquire()
    components = Components(SettingsInForce(settings), SystemClock(), lock, look_only=look_only)
    components.read_history()
    try:
        if lock.held or look_only:
            components.unwritten.take_up()
        elif settings.geo.ip_api.enabled:
            click.echo(
                "warning: the running daemon alone asks ip-api; what only ip-api knows stays unresolved", err=True
            )
        if ask_sources:
            await components.sources.refresh()
        yield components
    finally:
        if lock.held:
            components.unwritten.keep()
        await components.close()
        lock.release()
