"""What the daemon is made of, without its schedule: it serves a database for as long as a test wants."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from bangeod.clock import Clock
from bangeod.config import Settings
from bangeod.service.components import Components
from bangeod.service.lock import DatabaseLock
from bangeod.service.settings_in_force import SettingsInForce
from bangeod.store.sqlite import schema


def settings_in(directory: Path) -> Settings:
    """Make an empty database in a directory; return the defaults for it, with the state directory ``state`` beside."""
    replace, default, path = msgspec.structs.replace, Settings(), directory / "bangui.db"
    schema.create(path)
    database, state = replace(default.database, path=path), replace(default.state, directory=directory / "state")
    return replace(default, database=database, state=state)


@asynccontextmanager
async def served(settings: Settings, clock: Clock) -> AsyncGenerator[Components, None]:
    """Hand out components that hold the lock, and have looked at their sources."""
    with DatabaseLock(settings.database.file) as lock:
        components = Components(SettingsInForce(settings), clock, lock)
        components.read_history()
        try:
            await components.sources.refresh()
            yield components
        finally:
            await components.close()
