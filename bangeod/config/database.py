"""Which database the config means, SQLite's file or a PostgreSQL server's, and where its password comes from."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from bangeod.config import files
from bangeod.config.files import UnreadableError
from bangeod.config.settings import DatabaseSettings, Settings
from bangeod.errors import ConfigProblem

if TYPE_CHECKING:
    from bangeod.store.postgres.url import Url

CREDENTIAL: Final = "postgres_password"


def settle(
    settings: Settings, given: Collection[str], environ: Mapping[str, str], findings: list[ConfigProblem]
) -> Settings:
    """Return the settings with one of path and url, and the url with its password; problems are added to the findings.

    ``given`` has the keys of ``[database]`` that the config has, as far as their values are good.
    """
    database = settings.database
    if database.url is None:
        findings += _without_url(database)
        return settings
    findings += _beside_url(settings, given)
    try:
        url = with_password(database.url, environ)
    except UnreadableError as error:
        findings.append(ConfigProblem("database.url", str(error)))
        return settings
    return msgspec.structs.replace(settings, database=msgspec.structs.replace(database, path=None, url=url))


def _without_url(database: DatabaseSettings) -> Iterator[ConfigProblem]:
    if database.path is None:
        yield ConfigProblem("database.path", 'expected an absolute path, or url in its place; found "" and no url')
    if database.schema:
        yield ConfigProblem("database.schema", 'expected "" beside a path: SQLite has no schemas; found a name')


def _beside_url(settings: Settings, given: Collection[str]) -> Iterator[ConfigProblem]:
    from bangeod.store.postgres import driver, extra  # noqa: PLC0415 - most configs have no url

    if "path" in given and settings.database.path is not None:
        yield ConfigProblem(
            "database.url", "expected either path or url; found both: take out the one that is not used"
        )
    if not driver.available():
        yield ConfigProblem("database.url", extra.missing())
    if settings.geo.ip_api.enabled:
        yield ConfigProblem(
            "geo.ip_api.enabled",
            "expected false beside database.url: several daemons may serve one server, and nothing keeps them within "
            "ip-api's limits together",
        )


def with_password(url: "Url", environ: Mapping[str, str], credentials: Sequence[str] = (CREDENTIAL,)) -> "Url":
    """Take the password from systemd, else leave it to libpq's file of passwords, else keep the url's own.

    The first of these credentials that there is counts. Raises UnreadableError where it is no password.
    """
    found = next(filter(None, (files.credential(environ, name) for name in credentials)), None)
    if found is None:
        return url.with_password(None) if environ.get("PGPASSFILE") else url
    text, where = found
    password = password_in(text)
    if password is None:
        raise UnreadableError(f"{where}: expected a password in one line; found something else, not shown here")
    return url.with_password(password)


def password_in(text: str) -> str | None:
    """Return the password in the text of a credential, which may end in a line break; None where there is none."""
    password = text.removesuffix("\n").removesuffix("\r")
    return password if password and not set("\0\n\r") & set(password) else None
