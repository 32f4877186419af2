"""aiohttp's server without its client, and what happens where it can't be had so."""

import importlib.metadata
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

# Neither the client nor what aiohttp's own routing and files need; what is left are the modules of a server.
UNUSED = {"client", "client_reqrep", "connector", "cookiejar", "resolver", "formdata", "tracing"}
UNUSED |= {"web", "web_app", "web_urldispatcher", "web_fileresponse", "web_runner", "web_ws"}
LOOK = f"unused = {{f'aiohttp.{{name}}' for name in {sorted(UNUSED)}}} & sys.modules.keys()\n"


def run(program: str) -> list[str]:
    """Run a program in a process of its own, which has not imported aiohttp yet; return the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import sys\n" + program], check=True, capture_output=True, text=True
    )
    return done.stdout.splitlines()


def test_the_server_comes_without_the_client() -> None:
    """Where this fails with a new aiohttp, the daemon works, and takes some six megabytes more than it has to."""
    assert run("from bangeod.api import web\n" + LOOK + "print(*unused)") == [""]


def test_to_others_it_is_aiohttp_as_ever() -> None:
    program = "from bangeod.api import web\n"
    program += "import aiohttp, aiohttp.web\n"
    program += "print(aiohttp.__version__, aiohttp.ClientSession.__module__, 'TCPConnector' in vars(aiohttp))\n"
    program += "print(all(getattr(aiohttp.web, name) is getattr(web, name) for name in ('Response', 'Server')))\n"
    program += "print(aiohttp.StreamReader is web.StreamReader)\n"
    version = importlib.metadata.version("aiohttp")
    assert run(program) == [f"{version} aiohttp.client True", "True", "True"]


def test_the_header_names_its_version() -> None:
    program = "from bangeod.api import web\nfrom aiohttp.http import SERVER_SOFTWARE\nprint(SERVER_SOFTWARE)"
    assert run(program)[0].endswith(f" aiohttp/{importlib.metadata.version('aiohttp')}")


def test_where_aiohttp_was_imported_before_it_is_taken_as_it_is() -> None:
    assert run("import aiohttp.web\nfrom bangeod.api import web\nprint(web.Response is aiohttp.web.Response)") == [
        "True"
    ]


@pytest.mark.parametrize("module", ["http_writer", "streams", "web_server"])
def test_where_its_modules_are_others_it_is_imported_as_usual(module: str) -> None:
    program = f"""
class Once:
    def find_spec(self, name, path=None, target=None):
        if name == "aiohttp.{module}" and self in sys.meta_path:
            sys.meta_path.remove(self)
            raise ImportError("there is no such module")
sys.meta_path.insert(0, Once())
from bangeod.api import web
import aiohttp.web
print(web.Response is aiohttp.web.Response, web.Server is aiohttp.web.Server)
print(web.StreamReader is aiohttp.StreamReader, "ClientSession" in vars(aiohttp))
"""
    assert run(program) == ["True True", "True True"]
