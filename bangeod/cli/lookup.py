"""`bangeod lookup`: where addresses are, and which source says so."""

from typing import Final

import click

from bangeod.cli import json_output, without_daemon
from bangeod.cli.daemon_client import through_daemon
from bangeod.cli.explain import explained
from bangeod.cli.options import config_option, load_settings
from bangeod.cli.tables import table
from bangeod.client import Entry, GeoClient, Status
from bangeod.errors import StoreError, UsageError
from bangeod.model import Answer, Geo, Origin
from bangeod.service.components import Components

_OF_ROWS: Final = {Origin.MEMORY, Origin.DATABASE}


@click.command()
@click.argument("ips", metavar="IP...", nargs=-1, required=True)
@click.option("--cached-only", is_flag=True, help="Ask memory and database only, no source.")
@click.option("--explain", is_flag=True, help="Show what each source says, and who decides; changes nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def lookup(ips: tuple[str, ...], cached_only: bool, explain: bool, as_json: bool, config: str | None) -> None:
    """Say where each address IP is, and where the answer comes from."""
    if explain and cached_only:
        raise UsageError("--explain shows every source: leave --cached-only out")
    settings = load_settings(config)
    if explain:
        click.echo(explained(settings, ips, as_json=as_json))
        return
    answers = through_daemon(settings, lambda client: _told(client, ips, cached_only=cached_only))
    if answers is None:
        answers = without_daemon.work(settings, lambda components: _answers(components, ips, cached_only=cached_only))
    click.echo(_as_json(answers) if as_json else _as_text(answers))


def _told(client: GeoClient, ips: tuple[str, ...], *, cached_only: bool) -> list[Entry]:
    return (client.lookup_cached_only if cached_only else client.lookup_batch)(ips, origin=True)


async def _answers(components: Components, ips: tuple[str, ...], *, cached_only: bool) -> list[Entry]:
    """Look up without a daemon; new entries and new times of use are written to the database at once."""
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


def _as_json(entries: list[Entry]) -> str:
    return json_output.as_json(entries)


def _as_text(entries: list[Entry]) -> str:
    return table(
        ["ADDRESS", "STATUS", "COUNTRY", "NAME", "ASN", "ORGANISATION", "FROM"],
        [[e.ip, e.status, e.country_code, e.country_name, e.asn, e.org, e.origin] for e in entries],
    )
