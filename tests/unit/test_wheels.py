"""What contrib/install and contrib/debian/build say before they begin, where packages have no wheel for the machine."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

CONTRIB = Path(__file__).resolve().parents[2] / "contrib"
SCRIPT = CONTRIB / "install"
HELPERS = ("say() {", "die() {")
BEGINS = "is_up_to_date || require_wheels"
# In the place of Python: it says what the machine is, and of which packages pip finds a wheel.
PYTHON = """#!/bin/sh
case "$*" in
*uname*) echo "$MACHINE" ;;
*'get_config_var("CC")'*) echo "$COMPILER" ;;
*'get_path("include")'*) echo "$HEADERS" ;;
'-m venv '*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python3" ;;
'-m pip download '*)
    for last; do :; done
    echo "$*" >>"$CALLS"
    case " $WHEELS " in *" $last "*) ;; *) exit 1 ;; esac
    ;;
*) exit 99 ;;
esac
"""
# And of setarch: it says that pip was run through it.
SETARCH = """#!/bin/sh
echo "setarch $1" >>"$CALLS"
shift
exec "$@"
"""
ALL = "click msgspec maxminddb"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Return the file in which each call of pip is noted."""
    return tmp_path / "calls"


@pytest.fixture
def run(tmp_path: Path, calls: Path) -> Run:
    """Return what runs that part of the script."""
    script = SCRIPT.read_text()
    helpers = [script[script.index(start) :] for start in HELPERS]
    parts = [
        helper[: helper.index("\n}") + 2] if "\n" in helper.split("}")[0] else helper.split("\n")[0]
        for helper in helpers
    ]
    parts.append(f". {CONTRIB}/wheels.sh")
    for name, text in (("python3", PYTHON), ("setarch", SETARCH)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "Python.h").touch()

    def run(
        machine: str,
        wheels: str,
        *,
        compiler: str = "sh",
        headers: Path = tmp_path,
        is_up_to_date: bool = False,
        options: str = "",
    ) -> subprocess.CompletedProcess[str]:
        state = f"wheels_tried={tmp_path}/tried wheels={options!r} python={tmp_path}/python3"
        environ = {
            "MACHINE": machine,
            "WHEELS": wheels,
            "COMPILER": compiler,
            "HEADERS": str(headers),
            "CALLS": str(calls),
        }
        environ["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
        done_before = f"is_up_to_date() {{ {str(is_up_to_date).lower()}; }}"
        assert BEGINS in script.splitlines()
        lines = ["set -eu", state, done_before, *parts, BEGINS, "echo begins"]
        return subprocess.run(
            ["sh", "-c", "\n".join(lines), "contrib/install"], env=environ, capture_output=True, text=True, check=False
        )

    return run


@pytest.mark.parametrize("machine", ["x86_64 64 bits", "aarch64 64 bits"])
def test_where_there_are_wheels_of_all_pip_is_not_asked(run: Run, calls: Path, machine: str) -> None:
    assert run(machine, "").stdout == "begins\n"
    assert not calls.exists()


def test_nor_where_nothing_is_to_be_installed(run: Run, calls: Path) -> None:
    assert run("armv7l 32 bits", "", is_up_to_date=True).stdout == "begins\n"
    assert not calls.exists()


def test_without_a_compiler_it_does_not_begin_and_says_what_to_do(run: Run) -> None:
    done = run("armv7l 32 bits", "click", compiler="no-such-compiler")
    assert (done.returncode, done.stdout) == (1, "")
    first, *advice = done.stderr.splitlines()
    assert first == (
        "contrib/install: no wheel of msgspec and maxminddb is to be had for this machine (armv7l 32 bits),"
        " and no C compiler is here to build them"
    )
    assert "apt-get install gcc python3-dev" in advice[0]
    assert "--wheels DIR" in advice[1]
    assert "64-bit edition" in advice[2]


def test_nor_without_pythons_headers(run: Run, tmp_path: Path) -> None:
    assert run("armv7l 32 bits", "click", headers=tmp_path / "missing").returncode == 1


def test_with_a_compiler_it_begins_and_says_that_it_will_take_a_while(run: Run) -> None:
    done = run("armv7l 32 bits", "click")
    assert (done.returncode, done.stderr) == (0, "")
    said, begins = done.stdout.splitlines()
    assert "no wheel of msgspec and maxminddb" in said
    assert "pip builds them here, which takes some minutes" in said
    assert begins == "begins"


def test_one_that_has_slower_code_in_python_stops_nothing(run: Run) -> None:
    done = run("riscv64 64 bits", "click msgspec", compiler="no-such-compiler")
    assert (done.returncode, done.stderr) == (0, "")
    assert "no wheel of maxminddb is to be had for this machine (riscv64 64 bits)" in done.stdout
    assert "MMDBs are read by slower code" in done.stdout


def test_where_pip_finds_all_of_them_nothing_is_said(run: Run) -> None:
    assert run("armv7l 32 bits", ALL, compiler="no-such-compiler").stdout == "begins\n"


def test_where_pip_finds_nothing_at_all_it_is_left_to_the_installation_to_say_why(run: Run, calls: Path) -> None:
    assert run("armv7l 32 bits", "", compiler="no-such-compiler").stdout == "begins\n"
    assert len(calls.read_text().splitlines()) == 1


@pytest.mark.parametrize(("machine", "through"), [("aarch64 32 bits", True), ("armv7l 32 bits", False)])
def test_a_32_bit_python_on_a_64_bit_kernel_is_taken_for_what_it_is(
    run: Run, calls: Path, machine: str, *, through: bool
) -> None:
    run(machine, ALL)
    assert ("setarch linux32\n" in calls.read_text()) is through


def test_wheels_that_were_given_are_looked_through(run: Run, calls: Path) -> None:
    run("armv7l 32 bits", ALL, options="/srv/wheels")
    assert all("--no-index --find-links=/srv/wheels" in call for call in calls.read_text().splitlines())
