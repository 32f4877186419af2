"""Each ban in force with its times, as a fleet is told of them, and which jails' bans count: pure policy."""

from collections.abc import Iterable, Mapping
from enum import Enum, auto
from typing import Final, NamedTuple

from bangeod.banned import Network

LONGEST_NAME: Final = 255  # characters of a jail's or a host's name, as others read it
LAST: Final = 253_402_300_799  # seconds since the epoch: the end of the year 9999; what ends later is for good

# What is found of a ban: what it bans, its jail, when it began, and for how many seconds, less than 0 for good. The
# times are whole numbers, as fail2ban's database holds them: any.
FoundBan = tuple[str | Network, str, int | None, int | None]


class BanKey(NamedTuple):
    """What is banned, and by which jail."""

    jail: str
    ip: str  # a canonical address, or a network


class BanSpan(NamedTuple):
    """When a ban began and when it ends, in seconds since the epoch; ``until`` is None for good."""

    since: int
    until: int | None


class BansInForce(NamedTuple):
    """Each ban in force, those of jails that fail2ban no longer has as well.

    Equal bans have the same ``signature``; other bans hardly ever have it.
    """

    bans: Mapping[BanKey, BanSpan] = {}
    enabled: frozenset[str] = frozenset()  # the names of the enabled jails
    signature: int = 0


def in_force(found: Iterable[FoundBan], enabled: Iterable[str]) -> BansInForce:
    """Put bans together: of two of one address in one jail the one that ends later.

    An address with a zone is left out: outside its host it means nothing.
    """
    bans: dict[BanKey, BanSpan] = {}
    names: dict[str, str] = {}
    for what, jail, since, length in found:
        name = names.get(jail) or names.setdefault(jail, cleaned(jail))
        key, span = BanKey(name, str(what)), span_of(since, length)
        if "%" not in key.ip and (key not in bans or _rank(bans[key]) < _rank(span)):
            bans[key] = span
    return BansInForce(bans, frozenset(map(cleaned, enabled)), hash(frozenset(bans.items())))


def cleaned(name: str) -> str:
    """Return a name that any database can store and any terminal show."""
    if len(name) <= LONGEST_NAME and name.isprintable():
        return name
    return "".join(letter if letter.isprintable() else "?" for letter in name[:LONGEST_NAME])


def span_of(since: int | None, length: int | None) -> BanSpan:
    """Return the times of a ban within what a server can store."""
    began = min(max(since or 0, 0), LAST)
    if length is None or length < 0:
        return BanSpan(began, None)
    until = (since or 0) + length
    return BanSpan(began, until if 0 <= until <= LAST else None)


def _rank(span: BanSpan) -> tuple[bool, int, int]:
    return span.until is None, span.until or 0, span.since


class Verdict(Enum):
    """What becomes of the bans of a jail."""

    COUNT = auto()
    IN_DOUBT = auto()  # what was told of them stays as it is
    GONE = auto()


class Jails:
    """Which jails' bans count, by the last two looks: fail2ban enables and disables its jails one by one.

    A jail that is disabled while another is enabled is gone (bangeod.banned.sort_out says why), once two looks say so
    that find the same jails enabled.
    """

    def __init__(self) -> None:
        self._enabled: frozenset[str] = frozenset()
        self._settled = False

    def look(self, enabled: frozenset[str]) -> None:
        """Take a further look."""
        self._settled = self._enabled == enabled
        self._enabled = enabled

    @property
    def state(self) -> tuple[frozenset[str], bool]:
        """What verdicts depend on."""
        return self._enabled, self._settled

    def verdict(self, jail: str) -> Verdict:
        if not self._enabled or jail in self._enabled:
            return Verdict.COUNT
        return Verdict.GONE if self._settled else Verdict.IN_DOUBT
