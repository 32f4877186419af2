"""Lookups of a command without a daemon: with store, sources and cache of its own."""

from collections.abc import Sequence
from typing import Final

import click

from bangeod.cli import without_daemon
from bangeod.client import Entry, Status
from bangeod.config import Settings
from bangeod.errors import StoreError
from bangeod.model import Answer, Geo, Origin
from bangeod.service.components import Components

_OF_ROWS: Final = {Origin.MEMORY, Origin.DATABASE}


def look_up(settings: Settings, ips: Sequence[str], *, cached_only: bool) -> list[Entry]:
    """Look up; new entries and new times of use are written to the database at once."""
    return without_daemon.work(settings, lambda components: _answers(components, ips, cached_only=cached_only))


async def _answers(components: Components, ips: Sequence[str], *, cached_only: bool) -> list[Entry]:
    try:
        await components.store.prepare()
    except StoreError as error:
        click.echo(f"warning: {error}", err=True)
    answers = await (components.cache.lookup_stored(ips) if cached_only else components.cache.lookup_batch(ips))
    try:
        await components.cache.flush_dirty()
    except StoreError as error:
        click.echo(f"warning: not stored: {error}", err=True)
    return [Entry(a.ip, Status(a.status), *_geo(components, a), origin=a.origin) for a in answers]


def _geo(components: Components, answer: Answer) -> Geo:
    """Return the place of an answer, with the country name from its row: only the first write fixes a name."""
    return components.naming.named(answer.geo) if answer.origin not in _OF_ROWS else answer.geo
