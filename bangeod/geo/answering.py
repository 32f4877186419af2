"""Answering lookups from memory: what it knows, what is left to ask about, and what was found filled in."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from bangeod.clock import SECONDS_A_DAY, Clock
from bangeod.geo.addresses import Kind
from bangeod.geo.addresses import read as read_address
from bangeod.geo.memory import Memory
from bangeod.geo.model import UNKNOWN, Answer, Origin, Status
from bangeod.geo.resolver import Found

DATABASE_SECONDS: Final = 1.0  # for the rows of a lookup, from a database that is busy; the client waits for two

LOCALLY_KNOWN: Final = {Kind.PRIVATE: Status.PRIVATE, Kind.INVALID: Status.INVALID}

Unresolved = dict[int, str]  # canonical addresses, by their place among the answers

# Looked up here once: in a loop over a million addresses each of them is felt.
_GLOBAL: Final = Kind.GLOBAL
_RESOLVED: Final = Status.RESOLVED
_UNRESOLVED: Final = Status.UNRESOLVED
_MEMORY: Final = Origin.MEMORY


def look(memory: Memory, clock: Clock, ips: Sequence[str]) -> tuple[list[Answer], Unresolved]:
    """Answer what memory can, in the order asked, and return what it can't. Being looked up moves ``last_seen``."""
    now = int(clock.now())
    yesterday = now - SECONDS_A_DAY
    entry_of = memory.table.entry
    answers: list[Answer] = []
    answer = answers.append
    unresolved: Unresolved = {}
    for ip in ips:
        canonical, entry = ip, entry_of(ip)
        if entry is None:  # nothing that memory holds, or not in the one form in which it holds it
            kind, canonical = read_address(ip)
            if kind is not _GLOBAL:
                answer(Answer(ip, LOCALLY_KNOWN[kind]))
                continue
            entry = entry_of(canonical)
        known = UNKNOWN
        if entry is not None:
            geo, seen = entry
            if seen <= yesterday:
                memory.seen(canonical, geo, now)
            if geo.country_code is not None:
                answer(Answer(ip, _RESOLVED, geo, _MEMORY))
                continue
            known = geo
        unresolved[len(answers)] = canonical
        answer(Answer(ip, _UNRESOLVED, known))
    return answers, unresolved


def unasked(memory: Memory, clock: Clock, unresolved: Unresolved) -> list[str]:
    """Return the canonical addresses worth asking about, each once: not those that were just not found."""
    wanted = dict.fromkeys(unresolved.values())
    if not memory.negative:
        return list(wanted)
    now = clock.monotonic()
    return [ip for ip in wanted if not memory.negative.holds(ip, now)]


def worth_asking(memory: Memory, clock: Clock, ips: Iterable[str]) -> bool:
    """Say whether any of these, as they were asked, is worth asking about: not where all just were not found."""
    if not memory.negative:
        return True
    now = clock.monotonic()
    return not all(memory.negative.holds(read_address(ip)[1], now) for ip in ips)


def complete(memory: Memory, answers: list[Answer], unresolved: Unresolved, found: Mapping[str, Found]) -> None:
    """Fill in what was found, or what memory has learned meanwhile from others who asked.

    An answer without a country has no origin, whoever knew the rest of it.
    """
    geo_of = memory.table.get
    for place, ip in unresolved.items():
        known = found.get(ip)
        if known is None or not known.resolved:
            geo = geo_of(ip)
            if geo is not None and geo.country_code is not None:
                known = Found(geo, _MEMORY)
            elif known is None:
                known = Found(geo or UNKNOWN, _MEMORY)
        if known.resolved:
            answers[place] = Answer(answers[place].ip, _RESOLVED, known.geo, known.origin)
        elif known.geo != UNKNOWN:
            answers[place] = Answer(answers[place].ip, _UNRESOLVED, known.geo)
