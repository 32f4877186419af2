"""The url of a PostgreSQL database: libpq's syntax, read so that nothing that may be a password is ever shown.

libpq reads urls, too, but repeats those that it does not understand, with all that is in them. So this reads them, and
libpq gets keywords. The grammar: postgresql.org/docs/current/libpq-connect.html, "Connection URIs".
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from bangeod.store.postgres.connection import Conninfo

SCHEMES: Final = ("postgresql://", "postgres://")
LOCAL: Final = "/run/postgresql"  # the directory of the server's socket, where distributions have it
VERIFIED: Final = "verify-full"

_LONGEST: Final = 4096  # characters
_WORD: Final = re.compile(r"[a-z_]{1,40}")
_LONE_PERCENT: Final = re.compile("%(?![0-9A-Fa-f]{2})")
_BRACKETED: Final = re.compile(r"\[([0-9A-Fa-f:.%A-Za-z]+)\](?::(.*))?")
_PARTS: Final = re.compile(r"([^/?]*)(?:/([^?]*))?(?:\?(.*))?")  # hosts, database, parameters
_HIGHEST_PORT: Final = 65_535

# libpq's parameters but those that are secrets themselves (sslpassword and the like: whoever has one can't keep it out
# of what shows a url), that lead elsewhere (service), or that change how rows are read (client_encoding, replication).
_NUMBERS: Final = frozenset(
    {
        *("connect_timeout", "tcp_user_timeout", "keepalives", "keepalives_idle", "keepalives_interval"),
        *("keepalives_count", "sslcompression", "sslsni", "gssdelegation"),
    }
)
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", VERIFIED),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "gssencmode": ("disable", "prefer", "require"),
    "channel_binding": ("disable", "prefer", "require"),
    "load_balance_hosts": ("disable", "random"),
    "sslnegotiation": ("postgres", "direct"),
    "sslcertmode": ("disable", "allow", "require"),
}
_TEXTS: Final = frozenset(
    {
        *("host", "hostaddr", "port", "user", "password", "dbname", "passfile", "require_auth", "requirepeer"),
        *("options", "application_name", "fallback_application_name", "krbsrvname", "gsslib"),
        *("sslcert", "sslkey", "sslrootcert", "sslcrl", "sslcrldir"),
        *("ssl_min_protocol_version", "ssl_max_protocol_version"),
    }
)
PARAMETERS: Final = frozenset({*_NUMBERS, *_CHOICES, *_TEXTS})


class Url:
    """A url that was read. No text of it but ``text()`` has the password.

    ``is_tcp``: whether any of its servers is reached over TCP; ``is_verified``: whether that one has to prove by TLS
    who it is.
    """

    __slots__ = ("_keywords", "_password", "_rest", "_user")

    def __init__(self, user: str, rest: str, keywords: Mapping[str, str], password: str | None) -> None:
        """Take what stands in the url before ``@`` and after it, without a password, and libpq's keywords."""
        self._user = user
        self._rest = rest
        self._keywords = dict(keywords)
        self._password = password or None

    def shown(self) -> str:
        """Return the url without its password."""
        is_needed = self._user or "@" in self._rest.partition("/")[0]  # else the user would end there
        return f"{SCHEMES[0]}{self._user}@{self._rest}" if is_needed else f"{SCHEMES[0]}{self._rest}"

    def text(self) -> str:
        """Return the url with its password, for a config and for nothing else."""
        if self._password is None:
            return self.shown()
        return f"{SCHEMES[0]}{self._user}:{quote(self._password, safe='')}@{self._rest}"

    @property
    def keywords(self) -> str:
        """What libpq is given, as a text of keywords and values, without the password."""
        return " ".join(f"{name}='{_escaped(value)}'" for name, value in self._keywords.items())

    @property
    def password(self) -> str | None:
        """The password, which must not be shown."""
        return self._password

    @property
    def is_tcp(self) -> bool:
        return _is_tcp(self._keywords)

    @property
    def is_verified(self) -> bool:
        return not self.is_tcp or self._keywords.get("sslmode") == VERIFIED

    @property
    def sslmode(self) -> str | None:
        """What is asked of TLS; None over a Unix socket, where there is none."""
        return self._keywords.get("sslmode") if self.is_tcp else None

    @property
    def sockets(self) -> list[str]:
        """The directories of Unix sockets that it names."""
        return [host for host in self._keywords.get("host", "").split(",") if host.startswith("/")]

    def conninfo(self, *, is_fleets: bool = False) -> Conninfo:
        """Return what a connection is made from: to the web app's tables, or to the fleet's."""
        return Conninfo(self.keywords, self.shown(), self._password, is_fleets=is_fleets)

    def with_password(self, password: str | None) -> "Url":
        """Return the same with another password, or with none."""
        return Url(self._user, self._rest, self._keywords, password)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Url) and self.text() == other.text()

    def __hash__(self) -> int:
        return hash((Url, self.text()))

    def __str__(self) -> str:
        return self.shown()

    def __repr__(self) -> str:
        return f"Url({self.shown()!r})"


def parse(text: str) -> Url:
    """Read a url. Raises ValueError with what was found in place of one; no value of it is in that."""
    rest = _after_scheme(text)
    user, at, behind = rest.partition("@")
    if not at or "/" in user:  # as libpq has it: a user ends at the first @, where that comes before the first slash
        user, behind = "", rest
    user, _, password = user.partition(":")
    parts = _PARTS.fullmatch(behind)
    places, database, query = parts.groups("") if parts else (behind, "", "")
    keywords = {
        **_hosts(places),
        **_named("user", _decoded(user, "the user")),
        **_named("password", _decoded(password, "the password")),
        **_named("dbname", _decoded(database, "the database")),
    }
    kept = []
    for name, value, written in _parameters(query):
        keywords[name] = value
        if name != "password":
            kept.append(written)
    found = keywords.pop("password", None)
    _judge(keywords)
    path = f"{places}/{database}" if database else places
    return Url(user, f"{path}?{'&'.join(kept)}" if kept else path, _completed(keywords), found)


def _after_scheme(text: str) -> str:
    if not text:
        raise ValueError("an empty text")
    if len(text) > _LONGEST:
        raise ValueError(f"more than {_LONGEST} characters")
    for number, character in enumerate(text, 1):
        if character.isspace() or not character.isprintable():
            raise ValueError(
                f"a space or a control character, the {_nth(number)} character (in a url it is % and its code)"
            )
    for scheme in SCHEMES:
        if text.startswith(scheme):
            return text.removeprefix(scheme)
    if text.startswith(("postgresql+", "postgres+")):
        raise ValueError("a driver's name in its scheme (SQLAlchemy's: leave out the + and what follows it)")
    raise ValueError(f"no {SCHEMES[0]} at its beginning")


def _hosts(places: str) -> dict[str, str]:
    """Read ``HOST:PORT,HOST:PORT``; nothing of it is shown, as it may be the end of a password with a slash or an @."""
    if not places:
        return {}
    hosts, ports = [], []
    for number, place in enumerate(places.split(","), 1):
        what = f"the {_nth(number)} host" if "," in places else "the host"
        if "@" in place:
            raise ValueError(f"an @ in {what} (in a user or a password it is written %40)")
        if place.startswith("["):
            bracketed = _BRACKETED.fullmatch(place)
            if bracketed is None:
                raise ValueError(f"brackets in {what} that are no IPv6 address and a port")
            host, port = bracketed[1], bracketed[2] or ""
        else:
            host, _, port = place.partition(":")
        if port and not _is_port(port):
            raise ValueError(
                f"a port of {what} that is no number from 1 to {_HIGHEST_PORT} (in a user or a password, / is written "
                "%2F and : is written %3A)"
            )
        host = _decoded(host, what)
        if "," in host:
            raise ValueError(f"a comma in {what}")
        hosts.append(host)
        ports.append(port)
    return {**_named("host", ",".join(hosts)), **(_named("port", ",".join(ports)) if any(ports) else {})}


def _parameters(query: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, value and both as they are written."""
    pieces = query.split("&")
    if not pieces[-1]:
        pieces.pop()
    for number, piece in enumerate(pieces, 1):
        what = f"the {_nth(number)} parameter"
        name, equals, value = piece.partition("=")
        if not equals:
            raise ValueError(f"no = in {what} (in a value, & is written %26)")
        if "=" in value:
            raise ValueError(f"a second = in {what} (in a value it is written %3D)")
        name = _decoded(name, what)
        if name not in PARAMETERS:
            raise ValueError(f"{what}{_unknown(name)}")
        yield name, _decoded(value, what), piece


def _unknown(name: str) -> str:
    """Describe a parameter that there is not; its name is shown only where it resembles one, and so is no secret."""
    import difflib  # noqa: PLC0415 - hardly ever needed

    close = difflib.get_close_matches(name[:40], sorted(PARAMETERS), n=1)
    if close and _WORD.fullmatch(name):
        return f", {name}, which is none of those that bangeod takes; did you mean {close[0]}?"
    return ", which is none of those that bangeod takes: the documentation of libpq has their names"


def _judge(keywords: Mapping[str, str]) -> None:
    """Refuse what libpq would refuse at each connection, as far as it can be told without one."""
    if ":" in keywords.get("user", ""):
        raise ValueError("a colon in the user (before a password it is written as it is)")
    for name, value in keywords.items():
        if name in _CHOICES and value not in _CHOICES[name]:
            raise ValueError(f"a value of {name} that is none of {', '.join(_CHOICES[name])}")
        if name in _NUMBERS and not re.fullmatch(r"-?[0-9]{1,9}", value):
            raise ValueError(f"a value of {name} that is no whole number")
    ports = keywords.get("port", "").split(",")
    if any(port and not _is_port(port) for port in ports):
        raise ValueError(f"a port that is no number from 1 to {_HIGHEST_PORT}")
    hosts = keywords.get("hostaddr", keywords.get("host", "")).split(",")
    if len(ports) > 1 and len(ports) != len(hosts):
        raise ValueError(f"{len(ports)} ports for {len(hosts)} host{'' if len(hosts) == 1 else 's'}")
    if not keywords.get("dbname"):
        raise ValueError("no database's name after the host")


def _completed(keywords: Mapping[str, str]) -> dict[str, str]:
    """Add what is bangeod's own, and not libpq's, where the url does not say."""
    added = {}
    if not {"host", "hostaddr"} & keywords.keys():
        added["host"] = LOCAL  # else $PGHOST would count
    if _is_tcp(keywords):
        added["sslmode"] = VERIFIED
    if "," in keywords.get("hostaddr", keywords.get("host", "")):
        added["target_session_attrs"] = "read-write"  # of several, the one that takes writes
    return {**added, **keywords}


def _is_tcp(keywords: Mapping[str, str]) -> bool:
    if keywords.get("hostaddr"):
        return True
    return any(host and not host.startswith(("/", "@")) for host in keywords.get("host", "").split(","))


def _is_port(text: str) -> bool:
    return re.fullmatch("[0-9]{1,5}", text) is not None and 1 <= int(text) <= _HIGHEST_PORT


def _named(name: str, value: str) -> dict[str, str]:
    return {name: value} if value else {}


def _decoded(text: str, what: str) -> str:
    """Replace %XX by what it stands for."""
    if _LONE_PERCENT.search(text):
        raise ValueError(f"a % in {what} without two hexadecimal digits after it (a % itself is written %25)")
    try:
        value = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise ValueError(f"bytes in {what} that are no UTF-8") from None
    if "\0" in value:
        raise ValueError(f"a NUL in {what}")
    return value


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _nth(number: int) -> str:
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number % 100 not in (11, 12, 13) else 0, "th")
    return f"{number}{suffix}"
