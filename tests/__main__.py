"""The whole loop in one command: ``python3 -m tests`` lints, checks types and runs the tests.

It makes its own virtual environment in ``.venv`` and installs bangeod and the development tools there, so a
fresh clone needs nothing but Python with venv. What follows on the command line goes to pytest.

Two words may come first, for pytest alone in an environment of its own: ``--lowest`` tests with the lowest version
of each package that pyproject.toml allows (``.venv-lowest``), ``--beside`` with the Python that runs this, while
``.venv`` stays another's (``.venv-3.13``, say).
"""

import hashlib
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STEPS = (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"])
# The machine of these has packages of its own, and the system's Python.
NOT_OF_OURS = "--ignore=tests/systemd"


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


def main() -> int:
    """Run what is asked for."""
    if sys.version_info < (3, 11):  # noqa: UP036 - it is the person's own Python that runs this
        print(f"bangeod needs Python 3.11 or newer; this is {sys.version.split()[0]}", file=sys.stderr)
        return 2
    first, *others = sys.argv[1:] or [""]
    if first == "--lowest":
        from tests import floors  # noqa: PLC0415 - an older Python could not, and is to hear what is said above

        environment, steps = Environment(".venv-lowest", floors.of(ROOT)), [["pytest", NOT_OF_OURS, *others]]
    elif first == "--beside":
        version = ".".join(map(str, sys.version_info[:2]))
        environment, steps = Environment(f".venv-{version}"), [["pytest", NOT_OF_OURS, *others]]
    else:
        environment, steps = Environment(".venv"), [*STEPS, ["pytest", *sys.argv[1:]]]
    try:
        environment.prepare()
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    return environment.run(steps)


if __name__ == "__main__":
    sys.exit(main())
