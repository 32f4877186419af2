"""Measuring one build after the other, trial by trial."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.benchmarks.against import builds
from tests.benchmarks.against.api import Api
from tests.benchmarks.against.backup import Backup
from tests.benchmarks.against.builds import Build
from tests.benchmarks.against.commands import Commands
from tests.benchmarks.against.comparison import Figures, Measured, summary
from tests.benchmarks.against.jobs import NewAddresses, geo_cache_cleanup, session_cleanup
from tests.benchmarks.against.replication import Replication
from tests.benchmarks.against.start import Start
from tests.benchmarks.against.trial import Trial
from tests.benchmarks.report import Section
from tests.benchmarks.scale import Scale

TRIALS: Mapping[str, Callable[[Scale, Path], Trial]] = {
    "commands": Commands,
    "start": Start,
    "api": Api,
    "new": NewAddresses,
    "geo_cache_cleanup": geo_cache_cleanup,
    "session_cleanup": session_cleanup,
    "backup": Backup,
    "replication": Replication,
}


def run(commit: str, names: Sequence[str], scale: Scale, directory: Path) -> Iterator[Section]:
    """Measure both in turns. Raises NotToBeHadError where one of them is not to be had."""
    with builds.of_commit(commit) as first, builds.of_working_tree() as second:
        measured = []
        for name in names or TRIALS:
            own = directory / name
            own.mkdir()
            measured.append(_in_turns(TRIALS[name](scale, own), first, second, scale.runs, own))
            yield measured[-1].section((first.name, second.name))
        yield summary(measured)


def _in_turns(trial: Trial, first: Build, second: Build, turns: int, directory: Path) -> Measured:
    """Measure the one first in this turn, the other in the next: what wears off on the way is nobody's."""
    seen: dict[Build, list[Figures]] = {first: [], second: []}
    for turn in range(turns):
        for build in (second, first) if turn % 2 else (first, second):
            with tempfile.TemporaryDirectory(dir=directory) as home:
                seen[build].append(trial.measure(build, Path(home)))
    return Measured(trial.title, seen[first], seen[second], trial.notes)
