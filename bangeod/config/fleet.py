"""Where the config has the fleet: whether it can be reached from here, and where its password comes from."""

from collections.abc import Mapping
from typing import Final

import msgspec

from bangeod.config import database
from bangeod.config.files import UnreadableError
from bangeod.config.settings import Settings
from bangeod.errors import ConfigProblem

CREDENTIAL: Final = "fleet_password"  # for where both urls are there, with different passwords
CREDENTIALS: Final = (CREDENTIAL, database.CREDENTIAL)


def settle(settings: Settings, environ: Mapping[str, str], findings: list[ConfigProblem]) -> Settings:
    """Return the settings with the password in the fleet's url; problems are added to the findings."""
    fleet = settings.fleet
    if fleet.url is None:
        return settings
    from bangeod.store.postgres import driver, extra  # noqa: PLC0415 - most configs have no url

    if not driver.available():
        findings.append(ConfigProblem("fleet.url", extra.missing()))
    try:
        url = database.with_password(fleet.url, environ, CREDENTIALS)
    except UnreadableError as error:
        findings.append(ConfigProblem("fleet.url", str(error)))
        return settings
    return msgspec.structs.replace(settings, fleet=msgspec.structs.replace(fleet, url=url))
