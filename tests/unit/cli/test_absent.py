"""Importing modules as if others did not exist."""

import importlib
import subprocess
import sys
from collections.abc import Iterator

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


@pytest.mark.slow
def test_the_libraries_without_openssl_do_what_the_daemon_needs_of_them() -> None:
    program = """
import sys
from bangeod.cli import daemon_libraries
assert daemon_libraries.web.Server
import asyncio, hashlib, hmac, os, secrets, zoneinfo
assert "PYTHONTZPATH" not in os.environ
assert not [name for name in sys.modules if name.startswith("_sysconfigdata")]
assert hashlib.sha256(b"").hexdigest().startswith("e3b0c44298fc")
assert hmac.compare_digest(hmac.digest(b"", b"", "sha256").hex()[:8], "b613679a")
secrets.token_hex(4), os.urandom(4)
assert "ssl" not in sys.modules
import ssl, httpx
assert ssl.create_default_context() and httpx.AsyncClient()
print("done")
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], check=False, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("done\n", "")
