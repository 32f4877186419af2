"""The whole loop in one command: ``python3 -m tests`` lints, checks types and runs the tests.

It makes its own virtual environment in ``.venv`` and installs bangeod and the development tools there, so a
fresh clone needs nothing but Python with venv. What needs no system is tested on all cores; then the rest, with the
tests of a booted machine beside the others. What follows on the command line goes to pytest, which is then run once.

One word may come first:

``--quick`` lints and checks types as the whole does, but tests only what needs no system (tests/unit and
tests/contract without what is marked ``slow``, with fewer examples of hypothesis), on all cores: the loop to work in,
not one that decides anything.

``--lowest`` runs pytest alone, with the lowest version of each package that pyproject.toml allows, in an environment of
its own (``.venv-lowest``).

``--beside`` runs pytest alone with the Python that runs this, while ``.venv`` stays another's (``.venv-3.13``, say).
"""

import hashlib
import signal
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
LINT = (["ruff", "check", "."], ["ruff", "format", "--check", "."])
TYPES = ["mypy"]
NEEDS_NO_SYSTEM = ["tests/unit", "tests/contract"]
ON_ALL_CORES = ["pytest", "--quiet", "--numprocesses=auto"]
QUICK = [*ON_ALL_CORES, "--hypothesis-profile=quick", "-m", "not slow", *NEEDS_NO_SYSTEM]
# Of the rest two tests run at a time, one of them on a booted machine: more daemons would wait for the same disk and
# processors. That machine has packages of its own, and the system's Python.
OF_A_MACHINE = "tests/systemd"
NOT_OF_OURS = f"--ignore={OF_A_MACHINE}"
FIRST = [*ON_ALL_CORES, "--hypothesis-profile=all-cores", *NEEDS_NO_SYSTEM]
# So that both end at about the same time, what asks little of the disk goes with those: what works on PostgreSQL, whose
# files are in memory, and what takes a processor for minutes.
ASIDE = ("postgres", "fleet", "migrat", "benchmarks", "mmdb_damage")  # how such modules' names begin
ASIDE_MODULES = [
    f"tests/integration/{path.name}"
    for name in ASIDE
    for path in sorted((ROOT / "tests" / "integration").glob(f"test_{name}*.py"))
]
REST_ELSEWHERE = [*NEEDS_NO_SYSTEM, *ASIDE_MODULES]
REST = ["pytest", "--durations=20", NOT_OF_OURS, *(f"--ignore={path}" for path in REST_ELSEWHERE)]
REST_ASIDE = ["pytest", "--durations=20", OF_A_MACHINE, *ASIDE_MODULES]
END_SECONDS = 60.0  # for what runs aside, where the other was interrupted


class Environment:
    """A virtual environment in the checkout."""

    def __init__(self, name: str, constraints: Sequence[str] = ()) -> None:
        self._path = ROOT / name
        self._constraints = constraints
        self._python = self._path / "bin" / "python"
        self._stamp = self._path / "installed-for"  # says which pyproject.toml and Python it was made for

    def prepare(self) -> None:
        """Make it, or make it anew where pyproject.toml or Python have changed since."""
        wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + sys.version.encode()).hexdigest()
        if self._stamp.exists() and self._stamp.read_text() == wanted:
            return
        print(f"Installing into {self._path} ...", flush=True)
        venv.create(self._path, with_pip=True, clear=True)
        pip = ["pip", "install", "--quiet", "--disable-pip-version-check", "--editable", f"{ROOT}[dev]"]
        if self._constraints:
            file = self._path / "constraints.txt"
            file.write_text("\n".join([*self._constraints, ""]))
            pip.append(f"--constraint={file}")
        subprocess.run([str(self._python), "-m", *pip], check=True, cwd=ROOT)
        self._stamp.write_text(wanted)

    def run(self, steps: Sequence[Sequence[str]]) -> int:
        """Run each step; stop at the first that fails, and return its status."""
        for step in steps:
            print(f"\n$ {' '.join(step)}", flush=True)
            status = subprocess.run([str(self._python), "-m", *step], check=False, cwd=ROOT).returncode
            if status:
                return status
        return 0

    def run_beside(self, aside: Sequence[str], steps: Sequence[Sequence[str]]) -> int:
        """Run the steps, and ``aside`` meanwhile, whose output is shown after theirs; return the first bad status."""
        with tempfile.TemporaryFile() as output, self._begun(aside, output) as process:
            status = self.run(steps)
            process.wait()
            output.seek(0)
            print(f"\n$ {' '.join(aside)}\n{output.read().decode(errors='replace')}", end="", flush=True)
            return status or process.returncode

    @contextmanager
    def _begun(self, step: Sequence[str], output: IO[bytes]) -> "Iterator[subprocess.Popen[bytes]]":
        command = [str(self._python), "-m", *step]
        with subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT) as process:
            try:
                yield process
            finally:
                process.send_signal(signal.SIGINT)  # so that it ends what it has started; no error where it has ended
                with suppress(subprocess.TimeoutExpired):
                    process.wait(END_SECONDS)
                process.kill()


def main() -> int:
    """Run what is asked for."""
    if sys.version_info < (3, 11):  # noqa: UP036 - it is the person's own Python that runs this
        print(f"bangeod needs Python 3.11 or newer; this is {sys.version.split()[0]}", file=sys.stderr)
        return 2
    first, *others = sys.argv[1:] or [""]
    aside: Sequence[str] | None = None
    before: Sequence[Sequence[str]] = []
    if first == "--lowest":
        from tests import floors  # noqa: PLC0415 - an older Python could not, and is to hear what is said above

        environment, steps = Environment(".venv-lowest", floors.of(ROOT)), [["pytest", NOT_OF_OURS, *others]]
    elif first == "--beside":
        version = ".".join(map(str, sys.version_info[:2]))
        environment, steps = Environment(f".venv-{version}"), [["pytest", NOT_OF_OURS, *others]]
    elif first == "--quick":
        environment, steps, aside = Environment(".venv"), [*LINT, [*QUICK, *others]], TYPES
    elif first:
        environment, steps = Environment(".venv"), [*LINT, TYPES, ["pytest", *sys.argv[1:]]]
    else:
        environment, before, steps, aside = Environment(".venv"), [*LINT, TYPES, FIRST], [REST], REST_ASIDE
    try:
        environment.prepare()
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    status = environment.run(before)
    if status:
        return status
    return environment.run(steps) if aside is None else environment.run_beside(aside, steps)


if __name__ == "__main__":
    sys.exit(main())
