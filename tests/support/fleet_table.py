"""A fleet over dicts, for tests of what asks it: other hosts' findings, and what this host tells them."""

from collections.abc import Callable, Mapping, Sequence

from bangeod.fleet.geo_rows import EVIDENCE
from bangeod.model import Geo, Origin


class FleetTable:
    """What others found is in ``places``; what this host told is in ``told`` once it is flushed, as others find it."""

    def __init__(self, places: Mapping[str, Geo] | None = None) -> None:
        self.places = dict(places or {})
        self.kept: dict[str, Geo] = {}
        self.asked: list[str] = []
        self.told: dict[str, Geo] = {}
        self.seen_at: dict[str, int] = {}
        self.is_away = False
        self._waiting: dict[str, tuple[Geo, int]] = {}

    async def find(self, ips: Sequence[str]) -> Mapping[str, Geo]:
        kept = {ip: self.kept[ip] for ip in ips if ip in self.kept}
        if self.is_away:
            return kept
        self.asked += [ip for ip in ips if ip not in kept]
        return {ip: self.places[ip] for ip in ips if ip in self.places} | kept

    async def read_again(self, ips: Sequence[str]) -> Mapping[str, Geo]:
        found = {} if self.is_away else {ip: self.places[ip] for ip in ips if ip in self.places}
        self.kept = {ip: geo for ip, geo in self.kept.items() if ip not in ips} | found
        return found

    def found(self, ip: str, geo: Geo, origin: Origin, *, last_seen: int, resolved_at: int) -> None:
        if origin in EVIDENCE:
            self._waiting[ip] = geo, last_seen

    def seen(self, ip: str, last_seen: int) -> None:
        if ip in self._waiting:
            geo, _ = self._waiting[ip]
            self._waiting[ip] = geo, last_seen
        elif ip in self.told:
            self.seen_at[ip] = last_seen

    async def flush(self, time_left: Callable[[], float]) -> None:
        if self.is_away or time_left() <= 0:
            return
        for ip, (geo, last_seen) in self._waiting.items():
            self.told[ip], self.seen_at[ip] = geo, last_seen
        self._waiting.clear()

    async def delete_stale(self, before: int, time_left: Callable[[], float]) -> int:
        stale = [ip for ip, at in self.seen_at.items() if at < before]
        if self.is_away or time_left() <= 0:
            return 0
        for ip in stale:
            del self.told[ip], self.seen_at[ip]
        return len(stale)
