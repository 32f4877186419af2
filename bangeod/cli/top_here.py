"""Counting without a daemon: with store and memory of the command's own, which the table is read into first."""

from bangeod.api.messages import Top, TopQuery
from bangeod.cli import without_daemon
from bangeod.config import Settings
from bangeod.service import top
from bangeod.service.components import Components


def count(settings: Settings, asked: TopQuery) -> Top:
    """Count; changes nothing. Raises StoreError, Fail2banOffError."""

    async def body(components: Components) -> Top:
        await components.store.prepare()
        if not asked.banned:  # the rows of what is banned are looked for one by one
            await components.cache.load_from_db()
        return await top.count(components, asked)

    return without_daemon.work(settings, body, look_only=True, ask_sources=False)
