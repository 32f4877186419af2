"""The web app's workers share the daemon's cache: the example of the README, under two processes of uvicorn."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from bangeod.client import GeoClient
from tests.integration.conftest import Start
from tests.support.daemon.installation import Installation
from tests.support.daemon.process import environment
from tests.support.feed import DEADLINE, eventually

ROOT = Path(__file__).resolve().parents[2]
GOOGLE = "8.8.8.8"
WORKERS = 2


@pytest.fixture
def app(tmp_path: Path, place: Installation) -> Path:
    """Write the README's example to a module that says beside its answer which process gave it."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    example = next(block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "FastAPI" in block)
    code = example.replace("/run/bangeod/bangeod.sock", str(place.home / "bangeod.sock"))
    code += '\n\n@app.get("/pid")\nasync def pid() -> int:\n    import os\n\n    return os.getpid()\n'
    (tmp_path / "example.py").write_text(code)
    return tmp_path


@contextlib.contextmanager
def serving(directory: Path) -> Iterator[int]:
    """Run the app; hand out its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        command = [sys.executable, "-m", "uvicorn", "example:app", "--fd", str(listener.fileno())]
        with subprocess.Popen(
            [*command, "--workers", str(WORKERS), "--log-level", "warning"],
            cwd=directory,
            pass_fds=[listener.fileno()],
            env={**environment(), "PYTHONWARNINGS": "default"},
            start_new_session=True,
        ) as server:
            try:
                yield port
            finally:
                server.terminate()
                try:
                    server.wait(DEADLINE)
                finally:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(server.pid, signal.SIGKILL)  # its workers


def get(port: int, path: str) -> Any:
    connection = HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def test_two_workers_share_the_daemons_cache(start: Start, place: Installation, app: Path) -> None:
    daemon = start({"api.enabled": True})
    pids = set()
    with serving(app) as port:

        def asked_both() -> bool:
            pids.add(get(port, "/pid"))
            assert get(port, f"/bans/{GOOGLE}") == {"ip": GOOGLE, "country": "US", "status": "resolved"}
            return len(pids) == WORKERS

        eventually(asked_both, "both workers have answered")
        with GeoClient(str(place.home / "bangeod.sock"), strict=True) as client:
            lookups = client.status()["api"]["lookups"]
        assert lookups["embedded"] == 1  # whoever was first
        assert lookups["memory"] >= 1
        assert daemon.stop() == 0
        assert get(port, f"/bans/{GOOGLE}") == {"ip": GOOGLE, "country": None, "status": "unknown"}
        start({"api.enabled": True})
        assert get(port, f"/bans/{GOOGLE}")["country"] == "US"
