"""Importing modules as if others did not exist."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bangeod.cli.absent import absent

RARE = "this"  # a module of Python that nobody imports
USED = "json"


@pytest.fixture(autouse=True)
def not_imported() -> Iterator[None]:
    sys.modules.pop(RARE, None)
    yield
    sys.modules.pop(RARE, None)


def test_a_module_is_missing_within_and_there_afterwards(capsys: pytest.CaptureFixture[str]) -> None:
    with absent(RARE):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(RARE)
        assert capsys.readouterr().out == ""
    assert RARE not in sys.modules
    importlib.import_module(RARE)
    assert "Zen" in capsys.readouterr().out


def test_it_is_there_after_an_error_as_well() -> None:
    with pytest.raises(ValueError, match="other"), absent(RARE):
        raise ValueError("some other error")
    assert RARE not in sys.modules


def test_one_that_was_imported_before_stays() -> None:
    importlib.import_module(USED)
    with absent(USED):
        assert importlib.import_module(USED) is sys.modules[USED]
    assert USED in sys.modules


def test_one_that_is_set_within_stays() -> None:
    module = type(sys)(RARE)
    with absent(RARE):
        sys.modules[RARE] = module
    assert sys.modules[RARE] is module


def test_what_was_imported_within_is_whole_for_those_who_ask_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "for_this_test"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "part.py").write_text(f"try:\n    import {RARE} as found\nexcept ImportError:\n    found = None\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with absent(RARE, again=["for_this_test.part", "not_imported_at_all"]):
        maimed = importlib.import_module("for_this_test.part")
        assert maimed.found is None
    found: dict[str, Any] = {}
    exec("from for_this_test import part", found)  # noqa: S102 - as another module would import it
    assert found["part"] is not maimed
    assert found["part"].found is not None


def test_nothing_is_imported_again_where_nothing_was_missing() -> None:
    json = sys.modules[USED]
    with absent("sys", again=[USED, "json.tool"]):
        importlib.import_module("json.tool")
    assert "json.tool" in sys.modules
    assert sys.modules[USED] is json


@pytest.mark.slow
def test_the_libraries_without_openssl_do_what_the_daemon_needs_of_them() -> None:
    program = """
import sys
from bangeod.cli import daemon_libraries
assert daemon_libraries.web.Server
import asyncio, os, secrets, zoneinfo
assert "PYTHONTZPATH" not in os.environ
assert not [name for name in sys.modules if name.startswith("_sysconfigdata")]
assert len(secrets.token_hex(4)) == 8
assert not {"ssl", "_ssl", "_hashlib"} & sys.modules.keys()
import hashlib, http.client, urllib.request
assert hashlib.pbkdf2_hmac and http.client.HTTPSConnection and urllib.request.HTTPSHandler
import ssl, httpx, prometheus_client
assert ssl.create_default_context() and httpx.AsyncClient()
print("done")
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], check=False, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("done\n", "")
