"""Packages whose modules are imported without the package's own code, until somebody asks for a name of it."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bangeod.api.unexecuted import unexecuted

NAME = "package_for_this_test"
MAIN = '__version__ = "1.2"\nfrom package_for_this_test.other import OTHER\nMORE = OTHER + 1\n'
MODULES = {
    "wants_the_version": "from . import __version__\nfrom . import other\nVALUE = (__version__, other.OTHER)\n",
    "other": "OTHER = 41\n",
    "wants_more": "from . import MORE\n",
    "wants_too_much": "from . import NOTHING\n",
}

Make = Callable[[str], None]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Give what makes the package, with a text as its own code."""

    def make(main: str) -> None:
        directory = tmp_path / NAME
        directory.mkdir()
        for name, text in {"__init__": main, **MODULES}.items():
            (directory / f"{name}.py").write_text(text)
        importlib.invalidate_caches()

    monkeypatch.syspath_prepend(str(tmp_path))
    yield make
    for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
        del sys.modules[name]


def imported(module: str) -> Any:
    return importlib.import_module(f"{NAME}.{module}")


def is_executed() -> bool:
    return "MORE" in vars(sys.modules[NAME])


def test_a_module_that_wants_the_version_and_other_modules_has_both(make: Make) -> None:
    make(MAIN)
    with unexecuted(NAME):
        assert imported("wants_the_version").VALUE == ("1.2", 41)
    assert not is_executed()


def test_a_name_that_is_asked_for_is_there(make: Make) -> None:
    make(MAIN)
    with unexecuted(NAME):
        imported("other")
    package = importlib.import_module(NAME)
    assert (package.__version__, package.other.OTHER) == ("1.2", 41)
    assert not is_executed()
    assert package.MORE == 42
    assert is_executed()
    assert package is sys.modules[NAME]


def test_a_module_that_wants_more_of_the_package_gets_it(make: Make) -> None:
    make(MAIN)
    with unexecuted(NAME):
        assert imported("wants_more").MORE == 42


def test_what_the_package_does_not_have_is_an_error_as_ever(make: Make) -> None:
    make(MAIN)
    with unexecuted(NAME), pytest.raises(ImportError, match="cannot import name 'NOTHING'"):
        imported("wants_too_much")
    with pytest.raises(AttributeError, match="NOTHING"):
        _ = sys.modules[NAME].NOTHING


def test_all_names_are_there_for_who_wants_all(make: Make) -> None:
    make(MAIN + '__all__ = ["MORE"]\n')
    with unexecuted(NAME):
        imported("other")
    names: dict[str, Any] = {}
    exec(f"from {NAME} import *", names)  # noqa: S102 - within a function there is no other way
    assert names["MORE"] == 42


def test_a_package_that_finds_names_by_itself_goes_on_doing_so(make: Make) -> None:
    make(MAIN + "def __getattr__(name):\n    return name.upper()\n")
    with unexecuted(NAME):
        imported("other")
    assert sys.modules[NAME].MORE == 42
    assert sys.modules[NAME].anything == "ANYTHING"


def test_a_package_whose_code_fails_does_so_each_time(make: Make) -> None:
    make(MAIN + "raise ValueError('broken')\n")
    with unexecuted(NAME):
        imported("other")
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            _ = sys.modules[NAME].LAST


@pytest.mark.parametrize("main", ["MORE = 42\n", "import sys\n__version__, MORE = '1', 42\n"])
def test_one_without_a_version_at_the_margin_is_imported_as_usual(make: Make, main: str) -> None:
    make(main)
    with unexecuted(NAME):
        imported("other")
    assert is_executed()


def test_one_that_was_imported_before_stays_as_it_is(make: Make) -> None:
    make(MAIN)
    package = importlib.import_module(NAME)
    with unexecuted(NAME):
        imported("wants_the_version")
    assert sys.modules[NAME] is package
    assert is_executed()


def test_one_that_is_missing_is_missing() -> None:
    with unexecuted("no_such_package"), pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_package.module")
