"""``python -m tests.benchmarks [NAME...] [--quick] [--json FILE]``: run the benchmarks and print their tables."""

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import structlog

from tests.benchmarks import api, ip_api, jobs, machine, memory, neighbour, resolving, service, start
from tests.benchmarks.scale import Scale

BENCHMARKS = {
    "start": start.run,
    "service": service.run,
    "jobs": jobs.run,
    "memory": memory.run,
    "resolving": resolving.run,
    "neighbour": neighbour.run,
    "ip_api": ip_api.run,
    "api": api.run,
}


def main(arguments: Sequence[str]) -> int:
    """Run those that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="bangeod beside the plain way.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(BENCHMARKS)} (all)")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the sizes, one run: a smoke test")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE, too")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - BENCHMARKS.keys()
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}: there are {', '.join(BENCHMARKS)}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    figures = _run(options.names or list(BENCHMARKS), Scale(quick=options.quick))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def _run(names: Sequence[str], scale: Scale) -> dict[str, object]:
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="bangeod-benchmark-") as scratch:
        facts = machine.facts(Path(scratch).parent)
        figures["machine"] = facts
        print("\n".join(f"{name}: {value}" for name, value in facts.items()), flush=True)
        print("quick: small sizes, one run" if scale.quick else f"medians of {scale.runs} runs", flush=True)
        for name in names:
            own = Path(scratch, name)
            own.mkdir()
            for section in BENCHMARKS[name](scale, own):
                print(section.text(), flush=True)
                figures[section.title] = section.figures
    return figures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
