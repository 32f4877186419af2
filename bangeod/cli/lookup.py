"""`bangeod lookup`: where addresses are, and which source says so."""

import click

from bangeod.cli import json_output
from bangeod.cli.daemon_client import through_daemon
from bangeod.cli.options import config_option, load_settings
from bangeod.cli.tables import table
from bangeod.client import Entry
from bangeod.client.command_client import CommandClient
from bangeod.errors import UsageError


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
        from bangeod.cli.explain import explained  # noqa: PLC0415 - a lookup beside a daemon imports none of the daemon

        click.echo(explained(settings, ips, as_json=as_json))
        return
    answers = through_daemon(settings, lambda client: _told(client, ips, cached_only=cached_only))
    if answers is None:
        from bangeod.cli.lookup_here import look_up  # noqa: PLC0415 - as above

        answers = look_up(settings, ips, cached_only=cached_only)
    click.echo(_as_json(answers) if as_json else _as_text(answers))


def _told(client: CommandClient, ips: tuple[str, ...], *, cached_only: bool) -> list[Entry]:
    return (client.lookup_cached_only if cached_only else client.lookup_batch)(ips, origin=True)


def _as_json(entries: list[Entry]) -> str:
    return json_output.as_json(entries)


def _as_text(entries: list[Entry]) -> str:
    return table(
        ["ADDRESS", "STATUS", "COUNTRY", "NAME", "ASN", "ORGANISATION", "FROM"],
        [[e.ip, e.status, e.country_code, e.country_name, e.asn, e.org, e.origin] for e in entries],
    )
