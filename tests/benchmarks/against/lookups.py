"""Looking up many addresses through the API, as a web app does that shows a list of bans."""

import time
from collections.abc import Sequence
from typing import Final

from tests.benchmarks.against.measured_daemon import MeasuredDaemon, post_request
from tests.benchmarks.load import Connection, exchange

AT_ONCE: Final = 10_000  # addresses a call, as many as a request to the API may hold


def looked_up(daemon: MeasuredDaemon, ips: Sequence[str], mode: str) -> float:
    """Look up addresses in batches, on one connection; return the seconds."""
    chunks = [ips[start : start + AT_ONCE] for start in range(0, len(ips), AT_ONCE)]
    requests = [post_request("/v1/lookup", {"ips": list(chunk), "mode": mode}) for chunk in chunks]
    with Connection(daemon.socket) as connection:
        began = time.perf_counter()
        answers = [exchange(connection, request) for request in requests]
        spent = time.perf_counter() - began
    count = sum(answer.count(b'"status"') for answer in answers)
    if count != len(ips):
        raise RuntimeError(f"{daemon.build.name}: {count} of {len(ips)} addresses were answered")
    return spent
