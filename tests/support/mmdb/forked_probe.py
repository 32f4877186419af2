"""The probe of MMDBs in a process that is forked instead of started: the same in a fiftieth of the time.

Thousands of files can be probed so in a test. What probes is still a process of its own that may be killed by what
it reads, and it runs the probe's own ``main``.
"""

import asyncio
import contextlib
import gc
import json
import os
import socket
import sys
from pathlib import Path

from bangeod.geo.sources.mmdb import probe
from bangeod.geo.sources.mmdb.file import read_answer
from bangeod.geo.sources.mmdb.probe import Findings
from bangeod.geo.sources.mmdb.snapshot import Snapshot

_LARGEST_ANSWER = 65_536  # octets

# To be run as the daemon starts (see ``broken_within``): what the daemon probes is probed so from then on.
IN_THE_DAEMON = f"""
import atexit
sys.path.append({str(Path(__file__).resolve().parents[3])!r})
from bangeod.geo.sources.mmdb import file
from tests.support.mmdb.forked_probe import ForkedProbe
forked = ForkedProbe()
file._probe = forked.probe
atexit.register(forked.close)
"""


class ForkedProbe:
    """Takes the place of the probe of ``geo.sources.mmdb.file``. Make it while there is one thread, no event loop."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pid = os.fork()
        if self._pid == 0:
            self._socket.close()
            _serve(theirs)
        theirs.close()

    async def probe(self, path: Path, snapshot: Snapshot, time_limit: float) -> Findings:
        """Probe a snapshot as ``mmdb_file`` does."""
        socket.send_fds(self._socket, [b"probe"], [snapshot.fd])
        reply = json.loads(await asyncio.to_thread(self._socket.recv, _LARGEST_ANSWER))
        return read_answer(path, reply["answer"].encode(), reply["status"])

    def close(self) -> None:
        """End the process that forks."""
        self._socket.close()
        os.waitpid(self._pid, 0)


def _serve(requests: socket.socket) -> None:
    """Fork a probe for each descriptor that comes, until the other side hangs up, or is killed meanwhile."""
    gc.freeze()  # or the probes' collectors would copy most of what they share with us
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, 16, 1)
        if not message:
            os._exit(0)
        with contextlib.suppress(BrokenPipeError):
            requests.send(json.dumps(_probe(descriptors[0])).encode())
        os.close(descriptors[0])


def _probe(descriptor: int) -> dict[str, object]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(writing, 1)
        sys.argv = ["probe", str(descriptor)]
        probe.main()
        sys.stdout.flush()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        answer = answers.read()
    _, status = os.waitpid(pid, 0)
    return {"answer": answer.decode(), "status": os.waitstatus_to_exitcode(status)}
