"""The end of a daemon that can't go on: its process is gone at once, with status 1, whatever else is the matter."""

import subprocess
import sys
import textwrap
from typing import Final

import pytest

from tests.support.feed import DEADLINE

pytestmark = pytest.mark.slow  # each test starts a process

# A thread that keeps Python from ending, as aiosqlite's does.
BEGIN: Final = """
import threading, time
from bangeod.errors import SourceError
from bangeod.service import crash
from bangeod.service.loop import LoopThread
threading.Thread(target=time.sleep, args=(600,)).start()
def say(word):
    print(word, flush=True)
def die(error):
    raise error
def last_steps(reason):
    return [lambda: say(reason), lambda: say(threading.current_thread().name)]
"""


def run(code: str) -> tuple[int, list[str]]:
    """Run the code in a process of its own; return how it ended and what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


def test_the_last_steps_are_taken_in_order_and_the_status_is_1() -> None:
    status, lines = run("crash.end('crashed', LookupError(), [lambda: say('one'), lambda: say('two')])")
    assert (status, lines[-2:]) == (1, ["one", "two"])


def test_the_reason_is_logged_before_them() -> None:
    _, lines = run("crash.end('crashed', LookupError('no room'), [lambda: say('one')])")
    assert "crashed" in lines[0]
    assert "LookupError('no room')" in lines[0]


@pytest.mark.parametrize("error", ["ValueError()", "MemoryError()", "SystemExit(0)", "KeyboardInterrupt()"])
def test_a_step_that_fails_keeps_none_from_being_taken(error: str) -> None:
    status, lines = run(f"crash.end('crashed', LookupError(), [lambda: die({error}), lambda: say('two')])")
    assert (status, lines[-1]) == (1, "two")


def test_a_step_that_hangs_does_not_keep_the_process() -> None:
    code = "crash.LIMIT = 0.1; crash.end('crashed', LookupError(), [lambda: say('one'), lambda: time.sleep(600)])"
    status, lines = run(code)
    assert (status, lines[-1]) == (1, "one")


def test_a_step_that_hangs_in_c_with_pythons_lock_does_not_keep_it_either() -> None:
    hang = "__import__('ctypes').PyDLL(None).pause()"
    status, _ = run(f"crash.LIMIT = 0.1; crash.end('crashed', LookupError(), [lambda: {hang}])")
    assert status == 1


@pytest.mark.parametrize("error", ["SystemExit(78)", "KeyboardInterrupt()"])
def test_a_death_of_the_loop_ends_the_process_from_its_thread(error: str) -> None:
    status, lines = run(f"""
        with LoopThread() as loop, crash.CrashGuard(loop, last_steps):
            loop.call_soon(die, {error})
            threading.Event().wait()
    """)
    assert (status, lines[-2:]) == (1, [f"event_loop_died: {error}", "bangeod-loop"])


def test_a_loop_that_has_died_before_ends_it_too() -> None:
    status, lines = run("""
        loop = LoopThread()
        loop.__enter__()
        loop.call_soon(die, SystemExit())
        loop.finished.exception()
        with crash.CrashGuard(loop, last_steps):
            say("went on")
    """)
    assert (status, lines[-2]) == (1, "event_loop_died: SystemExit()")


def test_a_thread_of_the_executor_that_never_ends_is_not_waited_for() -> None:
    status, _ = run("""
        import asyncio
        started = threading.Event()
        def work():
            started.set()
            time.sleep(600)
        with LoopThread() as loop, crash.CrashGuard(loop, last_steps):
            loop.submit(asyncio.to_thread(work))
            started.wait()
            loop.call_soon(die, SystemExit())
            threading.Event().wait()
    """)
    assert status == 1


def test_a_failure_of_the_main_thread_ends_it_from_the_loops() -> None:
    status, lines = run("""
        with LoopThread() as loop, crash.CrashGuard(loop, last_steps):
            raise LookupError("no plan")
    """)
    assert (status, lines[-2:]) == (1, ["crashed: LookupError('no plan')", "bangeod-loop"])


def test_a_failure_of_the_main_thread_ends_it_though_the_loop_hangs() -> None:
    status, lines = run("""
        crash.LIMIT = 0.05
        with LoopThread() as loop, crash.CrashGuard(loop, last_steps):
            loop.call_soon(time.sleep, 600)
            raise LookupError("no plan")
    """)
    assert (status, lines) == (1, [])


def test_an_error_raised_on_purpose_ends_in_the_usual_way() -> None:
    status, lines = run("""
        try:
            with LoopThread() as loop, crash.CrashGuard(loop, last_steps):
                raise SourceError("ip-api", "is out of reach")
        except SourceError as error:
            say(error)
            crash.os._exit(3)
    """)
    assert (status, lines) == (3, ["ip-api: is out of reach"])


def test_nothing_happens_where_all_goes_well() -> None:
    status, lines = run("""
        with LoopThread() as loop, crash.CrashGuard(loop, last_steps):
            say("worked")
        crash.os._exit(0)
    """)
    assert (status, lines) == (0, ["worked"])
