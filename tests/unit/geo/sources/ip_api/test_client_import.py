"""What the client of ip-api.com does where httpx is not there any more by the time of its first request."""

import sys

import pytest
from structlog.testing import capture_logs

from bangeod.errors import SourcePausedError
from bangeod.geo.sources import ip_api
from bangeod.geo.sources.ip_api.client import IpApi
from tests.support.manual_clock import ManualClock
from tests.support.servers.ip_api import Pauses


async def test_it_pauses_as_after_any_failure_and_advises_a_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "bangeod.geo.sources.ip_api.transport", None)
    monkeypatch.delattr(ip_api, "transport", raising=False)
    client = IpApi(url="http://127.0.0.1:1/batch", timeout=10, clock=ManualClock(), pause_store=Pauses())
    with capture_logs() as logs, pytest.raises(SourcePausedError, match="systemctl restart bangeod"):
        await client.resolve(["8.8.8.8"])
    assert [line["event"] for line in logs] == ["ip_api_paused"]
    assert client.wait() > 0
    await client.close()
