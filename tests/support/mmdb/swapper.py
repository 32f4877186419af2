"""A process that holds an MMDB as the daemon does, while one good file takes the other's place thousands of times.

    python -m tests.support.mmdb.swapper DIRECTORY ONE OTHER COUNT

swaps the files DIRECTORY/ONE and DIRECTORY/OTHER COUNT times and looks addresses up all the while, on the same event
loop. It prints what happened as JSON.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import structlog

from bangeod.geo.sources.mmdb import file
from bangeod.geo.sources.mmdb.merged import MmdbFiles
from bangeod.service.daemon import SWITCH_INTERVAL
from tests.support.mmdb.files import put
from tests.support.mmdb.forked_probe import ForkedProbe

FIRST = 200  # swaps after which all that is held has been allocated
PAUSE = 0.001  # seconds between lookups
ENOUGH = 1.2  # times the memory after the first swaps: at so much nothing more need be tried


async def swap(directory: Path, names: Sequence[str], count: int) -> dict[str, object]:
    """Swap and look up."""
    contents = [(directory / name).read_bytes() for name in names]
    held = put(directory / "held.mmdb", contents[0])
    files = MmdbFiles([held])
    await files.refresh()
    answers: Counter[str | None] = Counter()
    asking = asyncio.create_task(_ask(files, answers))
    descriptors, memory = _descriptors(), 0
    problems: list[str | None] = []  # why a file was not taken up
    for number in range(count):
        put(held, contents[(number + 1) % 2])
        if not await files.refresh():
            problems.append(files.states()[0].problem)
        if number == FIRST:
            memory = _memory()
        if number > FIRST and _memory() > ENOUGH * memory:
            break
    asking.cancel()
    grown, copies = _memory() / memory, _copies()
    left = _descriptors() - descriptors
    files.close()
    return {
        "swaps": number + 1,
        "answers": dict(answers),
        "problems": problems,
        "descriptors_left": left,
        "memory_grown": grown,
        "copies": copies,
    }


async def _ask(files: MmdbFiles, answers: Counter[str | None]) -> None:
    """Look a few addresses up every millisecond."""
    number = 0
    while True:
        for _ in range(10):
            number = (number + 9_973) % (16 << 16)  # of sixteen networks, soon in another one
            geo = files.find(f"20.{number >> 16}.{number >> 8 & 255}.{number & 255}")
            answers[geo and geo.country_code] += 1
        await asyncio.sleep(PAUSE)


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _copies() -> int:
    return Path("/proc/self/maps").read_text().count("/memfd:bangeod-mmdb")


def _memory() -> int:
    """Return the resident set, in pages."""
    return int(Path("/proc/self/statm").read_text().split()[1])


def main(arguments: Sequence[str]) -> int:
    """Run it from the command line."""
    directory, one, other, count = arguments
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    sys.setswitchinterval(SWITCH_INTERVAL)
    forked = ForkedProbe()
    file._probe = forked.probe
    print(json.dumps(asyncio.run(swap(Path(directory), (one, other), int(count)))))
    forked.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
