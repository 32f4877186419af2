"""What breaks the daemon from within: code that Python runs as it starts (sitecustomize, a .pth file)."""

import textwrap
from pathlib import Path

SCHEDULER, LOOP = "SIGUSR1", "SIGUSR2"  # the signals, named for what they hang

# The main thread is the scheduler's; the event loop's is found by its frames.
ON_THE_LOOP = """
import asyncio, os, signal, sys, time

def on_the_loop(function, *arguments):
    for frame in sys._current_frames().values():
        while frame and not isinstance(frame.f_locals.get("self"), asyncio.AbstractEventLoop):
            frame = frame.f_back
        if frame:
            frame.f_locals["self"].call_soon_threadsafe(function, *arguments)
"""

HANGS = f"""{ON_THE_LOOP}
def hang_the_scheduler(*_):
    time.sleep(600)

def hang_the_loop(*_):
    on_the_loop(time.sleep, 600)

signal.signal(signal.SIGUSR1, hang_the_scheduler)
signal.signal(signal.SIGUSR2, hang_the_loop)
"""

DEATH = "DEATH"  # the environment variable that chooses what the loop dies of
DEATHS = f"""{ON_THE_LOOP}
def callback():
    raise SystemExit(78)

def task():
    async def die():
        raise KeyboardInterrupt
    asyncio.ensure_future(die())

def loop():
    def out_of_memory():
        raise MemoryError("no room")
    asyncio.get_running_loop()._run_once = out_of_memory

def fail_in_the_scheduler(*_):
    raise LookupError("no schedule")

def kill_the_loop(*_):
    on_the_loop(globals()[os.environ["{DEATH}"]])

signal.signal(signal.SIGUSR1, fail_in_the_scheduler)
signal.signal(signal.SIGUSR2, kill_the_loop)
"""


def guarded(code: str) -> str:
    """Return the code for the daemon alone, not for what it starts with ``python -c``."""
    return f"import sys\nif sys.argv[1:2] != ['-c']:\n{textwrap.indent(code, '    ')}"


def put(code: str, directory: Path) -> dict[str, str]:
    """Write the code into a directory to be made; return the environment in which the daemon runs it."""
    directory.mkdir()
    (directory / "sitecustomize.py").write_text(guarded(code))
    return {"PYTHONPATH": str(directory)}
