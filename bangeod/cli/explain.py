"""`bangeod lookup --explain`: what each source knows of addresses, from the daemon if one runs."""

from collections.abc import Sequence

import click
import msgspec

from bangeod.api.messages import MOST_EXPLAINED, Explanation, Said
from bangeod.cli import explain_screen, without_daemon
from bangeod.cli.daemon_client import through_daemon
from bangeod.client.command_client import CommandClient
from bangeod.config import Settings
from bangeod.errors import StoreError
from bangeod.service.components import Components
from bangeod.service.explain import explain


def explained(settings: Settings, ips: Sequence[str], *, as_json: bool) -> str:
    """Explain addresses: blocks of lines for people, or JSON. Raises RefusedError, NoDaemonError."""
    told = through_daemon(settings, lambda client: _told(client, ips))
    if told is None:
        told = without_daemon.work(settings, lambda components: _by_itself(components, ips), look_only=True)
    show = explain_screen.as_json if as_json else explain_screen.as_text
    return show(told, _model)


def _told(client: CommandClient, ips: Sequence[str]) -> list[Explanation]:
    said = []
    for start in range(0, len(ips), MOST_EXPLAINED):
        said += client.explain(ips[start : start + MOST_EXPLAINED])
    return msgspec.convert(said, list[Explanation])


async def _by_itself(components: Components, ips: Sequence[str]) -> list[Explanation]:
    try:
        await components.store.prepare()
    except StoreError as error:
        click.echo(f"warning: {error}", err=True)
    return await explain(components, ips)


def _model(explanation: Explanation, said: Said) -> explain_screen.Model | None:
    """Return a record of a MaxMind file as geoip2's model; None for other records.

    Done here and not in the daemon, which would keep geoip2 in memory for good.
    """
    file = said.file
    if file is None or file.record is None or file.database_type is None or file.network is None:
        return None
    from bangeod.geo.sources.mmdb import maxmind_models  # noqa: PLC0415 - its import takes longer than all others

    asked = file.asked or explanation.address or explanation.ip
    typed = maxmind_models.typed(file.database_type, asked, int(file.network.partition("/")[2]), file.record)
    return None if typed is None else {"name": typed.model, "fields": typed.fields}
