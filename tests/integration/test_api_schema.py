"""schemathesis makes up requests from the OpenAPI document: none brings a 5xx, or an answer the document lacks."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.conftest import Start
from tests.support.daemon.installation import Installation
from tests.support.daemon.process import environment

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 240  # seconds
# To schemathesis these are refusals of what does not fit the document; more addresses than fit are refused with 413.
CONFIG = """
[[operations]]
include-name = "POST /v1/lookup"
checks.negative_data_rejection.expected-statuses = ["400", "408", "413", "415", "422"]
"""


@contextmanager
def forwarded(socket: Path) -> Iterator[str]:
    """Hand out a URL under which the server on a Unix socket answers."""
    command = [sys.executable, "-m", "tests.support.servers.unix_forwarder", str(socket)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def test_no_request_that_fits_the_document_or_misses_it_brings_a_fault(start: Start, place: Installation) -> None:
    daemon = start({"api.enabled": True})
    (place.home / "schemathesis.toml").write_text(CONFIG)
    with forwarded(place.home / "bangeod.sock") as url:
        command = ["-m", "schemathesis.cli", "run", f"{url}/v1/openapi.json", "--url", url, "--checks", "all"]
        ran = subprocess.run(
            [sys.executable, *command, "--max-examples", "30", "--no-color"],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
            cwd=place.home,
            env={**environment(), "PYTHONWARNINGS": "default"},
        )
    assert ran.returncode == 0, ran.stdout
    assert daemon.stop() == 0
    assert not daemon.lines("request_failed")
