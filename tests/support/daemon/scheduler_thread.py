"""A scheduler that runs on a thread of its own, as the main thread's does in the daemon."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bangeod.service.schedule.scheduler import JobScheduler

LONG = 10.0  # seconds to wait for what comes at once unless it is broken


@contextmanager
def running(scheduler: JobScheduler) -> Iterator[None]:
    """Run it, from when it is up until the end of the ``with`` block."""
    up = threading.Event()
    thread = threading.Thread(target=scheduler.run_forever, args=(up.set,))
    thread.start()
    try:
        assert up.wait(LONG)
        yield
    finally:
        scheduler.shutdown()
        thread.join(LONG)
        assert not thread.is_alive()
