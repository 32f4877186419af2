"""The whole loop in one command: ``python3 -m tests`` lints, checks types and runs the tests.

It makes its own virtual environment in ``.venv`` and installs bangeod and the development tools there, so a
fresh clone needs nothing but Python with venv. What follows on the command line goes to pytest.
"""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
STAMP = ENVIRONMENT / "installed-for"  # says which pyproject.toml and Python the environment was made for


def prepare() -> None:
    """Make the virtual environment, or make it anew where pyproject.toml or Python have changed since."""
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + sys.version.encode()).hexdigest()
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    print(f"Installing into {ENVIRONMENT} ...", flush=True)
    venv.create(ENVIRONMENT, with_pip=True, clear=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable"]
    subprocess.run([*pip, f"{ROOT}[dev]"], check=True, cwd=ROOT)
    STAMP.write_text(wanted)


def main() -> int:
    """Run each step; stop at the first that fails."""
    if sys.version_info < (3, 11):  # noqa: UP036 - it is the person's own Python that runs this
        print(f"bangeod needs Python 3.11 or newer; this is {sys.version.split()[0]}", file=sys.stderr)
        return 2
    try:
        prepare()
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    for step in (
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["pytest", *sys.argv[1:]],
    ):
        print(f"\n$ {' '.join(step)}", flush=True)
        status = subprocess.run([str(PYTHON), "-m", *step], check=False, cwd=ROOT).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
