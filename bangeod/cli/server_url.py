"""A url of a PostgreSQL server on the command line: never with a password in it."""

from bangeod.errors import BangeodError, UsageError
from bangeod.store.postgres import driver, extra
from bangeod.store.postgres.url import Url, parse


def read(option: str, text: str) -> Url:
    """Read the url that an option was given. Raises UsageError, and BangeodError where psycopg is not installed."""
    try:
        url = parse(text)
    except ValueError as error:
        raise UsageError(f"{option}: expected a url of PostgreSQL; found {error}") from None
    if url.password is not None:
        raise UsageError(
            f"{option}: a password on the command line can be seen by everybody (ps), and stays in the shell's "
            "history: change it, take it out of the url, and let $PGPASSFILE name a file that has it"
        )
    if not driver.available():
        raise BangeodError(extra.missing())
    return url
