"""Run the benchmarks and print their tables.

    python -m tests.benchmarks [NAME...] [--against COMMIT] [--quick] [--runs N] [--json FILE]

By themselves they are beside the plain way of doing the same; against a commit its build is measured, in turns with
that of the working tree, and of the others ``memory`` follows: it can't be measured from outside.
"""

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import structlog

from tests.benchmarks import api, idle, ip_api, jobs, machine, memory, neighbour, postgres, resolving, service, start
from tests.benchmarks.against import turns
from tests.benchmarks.report import Section
from tests.benchmarks.scale import Scale
from tests.support.mmdb.published import NotToBeHadError

NOT_TO_BE_HAD = 77  # exit status; what test runners take for a test that can't be run here

Benchmark = Callable[[Scale, Path], Iterator[Section]]

BENCHMARKS: Mapping[str, Benchmark] = {
    "start": start.run,
    "service": service.run,
    "idle": idle.run,
    "jobs": jobs.run,
    "memory": memory.run,
    "resolving": resolving.run,
    "neighbour": neighbour.run,
    "postgres": postgres.run,
    "ip_api": ip_api.run,
    "api": api.run,
}
BESIDES = ("memory",)  # what is measured with --against, too


def main(arguments: Sequence[str]) -> int:
    """Run those that are named, or all."""
    parser = _parser()
    options = parser.parse_args(arguments)
    known = [*turns.TRIALS, *BESIDES] if options.against else list(BENCHMARKS)
    unknown = set(options.names).difference(known)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    names = options.names or known
    compared = [name for name in names if options.against and name in turns.TRIALS]
    chosen = {"against": _against(options.against, compared)} if compared else {}
    chosen |= {name: BENCHMARKS[name] for name in names if name not in compared}
    try:
        figures = _run(chosen, Scale(quick=options.quick, wanted_runs=options.runs))
    except NotToBeHadError as error:
        print(error, file=sys.stderr)
        return NOT_TO_BE_HAD
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="bangeod beside the plain way.")
    names = f"which ones: {', '.join(BENCHMARKS)}; with --against {', '.join([*turns.TRIALS, *BESIDES])} (all)"
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    parser.add_argument("--against", metavar="COMMIT", help="measure the working tree's build beside COMMIT's")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the sizes, one run: a smoke test")
    parser.add_argument("--runs", type=_count, metavar="N", help="how many runs the medians are of (3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE, too")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: a number from 1 on is wanted")
    return int(text)


def _against(commit: str, names: Sequence[str]) -> Benchmark:
    return lambda scale, directory: turns.run(commit, names, scale, directory)


def _run(chosen: Mapping[str, Benchmark], scale: Scale) -> dict[str, object]:
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="bangeod-benchmark-") as scratch:
        facts = machine.facts(Path(scratch).parent)
        figures["machine"] = facts
        print("\n".join(f"{name}: {value}" for name, value in facts.items()), flush=True)
        runs = "one run" if scale.runs == 1 else f"medians of {scale.runs} runs"
        print(f"quick: small sizes, {runs}" if scale.quick else runs, flush=True)
        for name, benchmark in chosen.items():
            own = Path(scratch, name)
            own.mkdir()
            for section in benchmark(scale, own):
                print(section.text(), flush=True)
                figures[section.title] = section.figures
    return figures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
