"""A process that holds an MMDB as the daemon does, while the file is damaged again and again.

    python -m tests.support.mmdb.holder GOOD WORK SEED COUNT

copies the MMDB at GOOD into the directory WORK, follows it there, does COUNT damages to it, and looks addresses up all
the while. It prints what happened as JSON; a process that a damaged file has killed prints nothing.
"""

import asyncio
import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address
from itertools import islice
from pathlib import Path
from random import Random

import maxminddb
import structlog

from bangeod.geo.sources.mmdb import file
from bangeod.geo.sources.mmdb.merged import MmdbFiles
from bangeod.model import Geo
from tests.support.mmdb.damage import damaged
from tests.support.mmdb.files import put
from tests.support.mmdb.forked_probe import ForkedProbe

NETWORKS = 3_000  # at most so many are looked up, at their first and last address
RANDOM = 500  # addresses anywhere
SOME = 200  # of all these addresses, looked up at every step


@dataclass
class Outcome:
    """What became of the damages."""

    refused: int = 0
    killed: int = 0  # of the refused: those that killed the probe
    taken_up: int = 0  # harmless to the reader, whatever they say
    lookup_errors: int = 0  # lookups in a file that was taken up that raised
    descriptors_left: int = 0  # more open files than before the damages
    faults: list[str] = field(default_factory=list)


class Holder:
    """The file, what is looked up in it, and what it answered when it was good."""

    def __init__(self, good: Path, work: Path, chance: Random) -> None:
        self.outcome = Outcome()
        self._good = good.read_bytes()
        self._path = work / "held.mmdb"
        self._chance = chance
        self._files = MmdbFiles([self._path])
        self._ips = [*_inside(good), *_anywhere(chance)]
        chance.shuffle(self._ips)
        self._answers: Sequence[Geo | None] = ()

    async def run(self, count: int) -> None:
        """Do so many damages."""
        put(self._path, self._good)
        await self._files.refresh()
        self._answers = self._look_up()
        descriptors = _descriptors()
        for number in range(count):
            await self._damage(f"damage {number}")
        await self._restore("at the end")
        self.outcome.descriptors_left = _descriptors() - descriptors
        self._files.close()

    async def _damage(self, name: str) -> None:
        self._write(damaged(self._good, self._chance))
        self._expect_good_answers(f"{name}, not looked at yet")
        if await self._files.refresh():
            self.outcome.taken_up += 1
            self._look_up()
            self.outcome.lookup_errors += self._files.states()[0].lookup_errors
            await self._restore(f"after {name}")
            return
        self.outcome.refused += 1
        self.outcome.killed += "killed the reader" in (self._files.states()[0].problem or "")
        self._expect_good_answers(f"{name}, refused")

    def _write(self, content: bytes) -> None:
        """Put another file in its place, or, as often, write over the one that is there."""
        if self._chance.random() < 0.5 or not self._path.exists():
            put(self._path, content)
            return
        with self._path.open("r+b") as file:
            file.truncate(self._chance.randrange(len(self._good)))
            self._expect_good_answers("truncated in place")
            file.write(content)
            file.truncate(len(content))

    async def _restore(self, when: str) -> None:
        put(self._path, self._good)
        if not await self._files.refresh():
            self.outcome.faults.append(f"{when}: the good file was not taken up")
        self._expect_good_answers(when)

    def _expect_good_answers(self, when: str) -> None:
        if self._look_up(SOME) != self._answers[:SOME]:
            self.outcome.faults.append(f"{when}: another answer than the good file's")

    def _look_up(self, most: int | None = None) -> Sequence[Geo | None]:
        return [self._files.find(ip) for ip in self._ips[:most]]


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _inside(good: Path) -> list[str]:
    """Return the first and the last address of networks that the file knows."""
    with maxminddb.open_database(good) as reader:
        networks = [network for network, _ in islice(reader, NETWORKS)]
    return [str(end) for network in networks for end in (network[0], network[-1])]


def _anywhere(chance: Random) -> list[str]:
    numbers = [chance.getrandbits(32) for _ in range(RANDOM)]
    return [
        *(str(ip_address(number)) for number in numbers),
        *(str(ip_address((0x2A << 120) | number << 64)) for number in numbers),
    ]


def main(arguments: Sequence[str]) -> int:
    """Run it from the command line."""
    good, work, seed, count = arguments
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()], logger_factory=structlog.ReturnLoggerFactory()
    )
    warnings.simplefilter("error")
    forked = ForkedProbe()
    file._probe = forked.probe
    holder = Holder(Path(good), Path(work), Random(int(seed)))
    asyncio.run(holder.run(int(count)))
    forked.close()
    print(json.dumps(asdict(holder.outcome)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
