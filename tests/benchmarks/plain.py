"""The plain way: what a web app does in a task of its own, one statement in one transaction."""

from collections.abc import Sequence

from bangeod.clock import to_text
from bangeod.model import DirtyEntry

DELETE_STALE = "DELETE FROM geo_cache WHERE last_seen < ?"
DELETE_EXPIRED = "DELETE FROM sessions WHERE expires_at < ?"
UPSERT = """
INSERT INTO geo_cache (ip, country_code, country_name, asn, org, cached_at, last_seen) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (ip) DO UPDATE SET country_code = excluded.country_code, country_name = excluded.country_name,
    asn = excluded.asn, org = excluded.org, cached_at = excluded.cached_at, last_seen = excluded.last_seen"""


def upserts(entries: Sequence[DirtyEntry], now: int) -> list[tuple[str | None, ...]]:
    """Return the parameters of UPSERT for each entry."""
    seen = to_text(now)
    return [(entry.ip, *entry.geo, seen, seen) for entry in entries]
