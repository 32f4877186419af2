"""Configs for tests: good ones, and spoilt ones of which it is known what has to be said."""

from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

from hypothesis import strategies as st

from bangeod.config import Settings, leaves

KEYS = [key for key, _ in leaves(Settings())]
TABLES = sorted({key.rpartition(".")[0] for key in KEYS} | {"jobs"})

# No key takes any of these.
WRONG: tuple[object, ...] = (
    [[1]],
    {"x": 1},
    date(2026, 1, 1),
    10**40,
    -(10**40),
    float("nan"),
    float("inf"),
    "\0",
)

_FLAGS = st.booleans()
_NUMBERS = st.integers(1, 1_000_000)
_SPANS = st.sampled_from(["60s", "7m", "1.5h", "24h", 60, 3_600.5])
_GOOD: Mapping[str, st.SearchStrategy[object]] = {
    "database.busy_timeout": st.sampled_from(["0s", "200ms", 5, "10m"]),
    "database.max_lock_time": st.sampled_from(["1ms", 0.01, "1s"]),
    "fleet.host": st.sampled_from(["", "web1", "wëb.example"]),
    "fleet.timeout": st.sampled_from(["1ms", 0.1, "1s"]),
    "cache.max_entries": _NUMBERS,
    "cache.max_dirty": _NUMBERS,
    "geo.mmdb": st.lists(st.sampled_from(["/nowhere/a.mmdb", "/nowhere/ü.mmdb"]), max_size=2),
    "geo.embedded": _FLAGS,
    "geo.ip_api.enabled": _FLAGS,
    "geo.ip_api.url": st.sampled_from(["http://127.0.0.1:9/batch", "https://[::1]:9/batch"]),
    "geo.ip_api.timeout": st.sampled_from(["1ms", 10, "10m"]),
    "fail2ban.database": st.sampled_from(["", "/nowhere/fail2ban.sqlite3"]),
    "geo.update.account_id": st.sampled_from(["", "12345"]),
    "geo.update.license_key": st.sampled_from(["", "S3cret"]),
    "jobs.geo_cache_cleanup.retention_days": st.integers(1, 36_500),
    "jobs.geo_cache_cleanup.max_rows": st.integers(0, 1_000_000),
    **{key: _SPANS for key in KEYS if key.endswith((".interval", ".timeout")) and key.startswith("jobs.")},
    **{key: _FLAGS for key in KEYS if key.endswith(".enabled") and key.startswith("jobs.")},
}


class Document(NamedTuple):
    """A config by dotted keys, and the keys that have to be named where it is refused; none where it is good."""

    settings: dict[str, Any]
    named: frozenset[str]


def documents(*, spoilt: bool | None = None) -> st.SearchStrategy[Document]:
    """Return a strategy for documents; all of them good, or all of them spoilt, where that is said."""
    least = 1 if spoilt else 0
    most = 0 if spoilt is False else 6
    wrongs = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(WRONG), min_size=least, max_size=most)
    names = st.from_regex(r"x_[a-z_]{1,12}", fullmatch=True)
    unknown = st.dictionaries(
        st.tuples(st.sampled_from(TABLES), names), st.sampled_from([1, "", []]), max_size=most // 2
    )
    flat = st.sets(st.sampled_from(TABLES), max_size=most // 3)
    return st.builds(_document, st.fixed_dictionaries({}, optional=dict(_GOOD)), wrongs, unknown, flat)


def _document(
    good: Mapping[str, object], wrong: Mapping[str, object], unknown: Mapping[tuple[str, str], object], flat: set[str]
) -> Document:
    """Put a document together; what would lie in a table that is ``flat``, and so no table, is left out."""
    added = {f"{table}.{name}": value for (table, name), value in unknown.items()}
    flat = {table for table in flat if not _is_within(table, flat)}
    kept = {key: value for key, value in {**good, **wrong, **added}.items() if not _is_within(key, flat)}
    named = {key for key in kept if key in wrong or key in added} | flat
    return Document({**kept, **dict.fromkeys(flat, 1)}, frozenset(named))


def _is_within(key: str, tables: set[str]) -> bool:
    return any(key.startswith(f"{table}.") for table in tables)


def spoil(text: bytes, place: int, harm: int) -> bytes:
    """Do one of a few harms to a good text, at a place in it."""
    place %= len(text) + 1
    before, after = text[:place], text[place:]
    return (
        before,
        before + b"\0" + after,
        before + b"\xff\xfe" + after,
        before + after[1:],
        before + b"[" * 10 + after,
        before + b"\n" + after,
        before + after[:40] + after,
        text + b"\nx = " + b"[" * 50_000,
        text + b"\nx = " + b"9" * 10_000,
        text + b"\n#" * 600_000,
    )[harm % HARMS]


HARMS = 10
