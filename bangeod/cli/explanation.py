"""`bangeod lookup --explain`: what each source says of addresses, asked of the daemon where there is one."""

from collections.abc import Sequence

import click
import msgspec

from bangeod.api.explanations import MOST_EXPLAINED, Explanation, Said
from bangeod.cli import explained, oneshot
from bangeod.cli.link import through_daemon
from bangeod.client import GeoClient
from bangeod.config import Settings
from bangeod.errors import StoreError
from bangeod.service.core import Core
from bangeod.service.explaining import explain


def text(settings: Settings, ips: Sequence[str], *, as_json: bool) -> str:
    """Explain addresses: blocks of lines for people, or JSON. Raises RefusedError, NoDaemonError."""
    told = through_daemon(settings, lambda client: _told(client, ips))
    if told is None:
        told = oneshot.work(settings, lambda core: _explained(core, ips), look_only=True)
    show = explained.as_json if as_json else explained.as_text
    return show(told, _model)


def _told(client: GeoClient, ips: Sequence[str]) -> list[Explanation]:
    said = []
    for start in range(0, len(ips), MOST_EXPLAINED):
        said += client.explain(ips[start : start + MOST_EXPLAINED])
    return msgspec.convert(said, list[Explanation])


async def _explained(core: Core, ips: Sequence[str]) -> list[Explanation]:
    try:
        await core.store.prepare()
    except StoreError as error:
        click.echo(f"warning: {error}", err=True)
    return await explain(core, ips)


def _model(explanation: Explanation, said: Said) -> explained.Model | None:
    """Return the record of one of MaxMind's files as geoip2's model; None where it is none.

    Here and not in the daemon, which would keep geoip2 in memory for good.
    """
    file = said.file
    if file is None or file.record is None or file.database_type is None or file.network is None:
        return None
    from bangeod.geo.sources import maxmind  # noqa: PLC0415 - it takes longer to import than all else

    asked = file.asked or explanation.address or explanation.ip
    typed = maxmind.typed(file.database_type, asked, int(file.network.partition("/")[2]), file.record)
    return None if typed is None else {"name": typed.model, "fields": typed.fields}
