"""What lets a signal hang the daemon from within, where Python runs it at the start (sitecustomize, a .pth file)."""

SCHEDULER, LOOP = "SIGUSR1", "SIGUSR2"  # the signals, named for what they hang

# The main thread is the scheduler's; the event loop's is found by its frames.
CODE = """
import asyncio, signal, sys, time

def hang_the_scheduler(*_):
    time.sleep(600)

def hang_the_loop(*_):
    for frame in sys._current_frames().values():
        while frame and not isinstance(frame.f_locals.get("self"), asyncio.AbstractEventLoop):
            frame = frame.f_back
        if frame:
            frame.f_locals["self"].call_soon_threadsafe(time.sleep, 600)

if sys.argv[1:2] != ["-c"]:
    signal.signal(signal.SIGUSR1, hang_the_scheduler)
    signal.signal(signal.SIGUSR2, hang_the_loop)
"""
