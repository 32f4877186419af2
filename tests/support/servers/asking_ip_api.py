"""A daemon that asks a server of the test about what is due, and what the test waits for while its server goes on."""

import asyncio
import tomllib
from datetime import UTC, datetime

import tomli_w

from tests.support.daemon.installation import Installation, every
from tests.support.daemon.process import DaemonProcess, Line
from tests.support.servers.ip_api import IpApiServer


def asking(server: IpApiServer, **more: object) -> dict[str, object]:
    """Return the settings of a daemon that asks this server about what is due, and never waits for it for long."""
    return {
        **every("100ms", "geo_re_resolve"),
        "jobs.geo_re_resolve.timeout": "5s",
        "geo.ip_api.enabled": True,
        "geo.ip_api.url": server.url,
        **more,
    }


async def said(daemon: DaemonProcess, event: str, *, since: int = 0, **keys: int) -> Line:
    """Wait for a line of the daemon while the server here goes on."""
    return await asyncio.to_thread(lambda: daemon.wait_for(event, since=since, **keys))


def paused_until(place: Installation) -> float:
    """Return until when nothing may be sent, as the state directory has it; 0 where it has nothing of it."""
    document = tomllib.loads(place.history.read_text())
    until = document.get("ip_api", {}).get("paused_until")
    return until.timestamp() if isinstance(until, datetime) else 0.0


def let_the_pause_pass(place: Installation) -> None:
    """Change the state of a daemon that does not run as if it had been down until its pause was over."""
    document = tomllib.loads(place.history.read_text())
    document["ip_api"]["paused_until"] = datetime.fromtimestamp(0, UTC)
    place.history.write_text(tomli_w.dumps(document))
