"""The event loop on its own thread."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError

import pytest

from bangeod.service.loop import LoopThread

LONG = 10.0  # seconds to wait for what comes at once unless it is broken


async def thread_name() -> str:
    return threading.current_thread().name


async def fail() -> None:
    raise LookupError("inside")


def test_coroutines_run_on_the_thread_of_the_loop() -> None:
    with LoopThread() as loop:
        assert loop.submit(thread_name()).result(LONG) == "bangeod-loop"


def test_all_coroutines_share_one_loop() -> None:
    async def running() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    with LoopThread() as loop:
        assert loop.submit(running()).result(LONG) is loop.submit(running()).result(LONG)


def test_an_error_of_a_coroutine_reaches_who_waits_and_leaves_the_loop_running() -> None:
    with LoopThread() as loop:
        with pytest.raises(LookupError, match="inside"):
            loop.submit(fail()).result(LONG)
        assert loop.submit(thread_name()).result(LONG)


def test_an_error_at_the_start_is_raised_in_the_caller() -> None:
    def no_loop() -> asyncio.AbstractEventLoop:
        raise OSError("too many open files")

    with pytest.raises(OSError, match="too many"), LoopThread(no_loop):
        pytest.fail("entered")


def test_leaving_cancels_what_is_left_and_lets_it_clean_up() -> None:
    started, cleaned = threading.Event(), threading.Event()

    async def endless() -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.set()

    with LoopThread() as loop:
        future = loop.submit(endless())
        assert started.wait(LONG)
    assert cleaned.is_set()
    with pytest.raises(CancelledError):
        future.result(0)


def test_leaving_waits_for_the_default_executor() -> None:
    started, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def slow() -> None:
        started.set()
        go_on.wait(LONG)
        ended.set()

    with LoopThread() as loop:
        loop.submit(asyncio.to_thread(slow))
        assert started.wait(LONG)
        loop.call_soon(lambda: asyncio.get_running_loop().call_later(0.01, go_on.set))
    assert ended.is_set()


def test_leaving_closes_async_generators() -> None:
    closed = threading.Event()

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            closed.set()

    generator = numbers()

    async def first() -> int:
        return await anext(generator)

    with LoopThread() as loop:
        assert loop.submit(first()).result(LONG) == 1
    assert closed.is_set()


def test_the_thread_has_ended_after_the_block() -> None:
    before = set(threading.enumerate())  # other tests' may be running
    with LoopThread() as loop:
        pass
    assert loop.finished.done()
    assert not [thread for thread in threading.enumerate() if thread.name == "bangeod-loop" and thread not in before]


def test_an_error_of_the_block_ends_the_loop_too() -> None:
    loop = LoopThread()
    with pytest.raises(LookupError, match="mine"), loop:
        raise LookupError("mine")
    assert loop.finished.done()


def test_nothing_can_be_submitted_before_the_block() -> None:
    with pytest.raises(RuntimeError, match="not running"):
        LoopThread().submit(thread_name())


def test_nothing_can_be_submitted_after_the_block() -> None:
    with LoopThread() as loop:
        pass
    with pytest.raises(RuntimeError, match="not running"):
        loop.submit(thread_name())


def test_nothing_can_be_submitted_while_the_block_ends() -> None:
    started = threading.Event()

    async def carry_on() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            loop.submit(thread_name())

    with LoopThread() as loop:
        future = loop.submit(carry_on())
        assert started.wait(LONG)
    with pytest.raises(RuntimeError, match="not running"):
        future.result(0)


def test_what_is_submitted_just_before_the_end_is_ended_too() -> None:
    with LoopThread() as loop:
        futures = [loop.submit(asyncio.sleep(3600)) for _ in range(100)]
    assert all(future.done() for future in futures)


def test_a_callback_runs_on_the_loop() -> None:
    name: list[str] = []
    called = threading.Event()

    def callback(word: str) -> None:
        name.extend([word, threading.current_thread().name])
        called.set()

    with LoopThread() as loop:
        assert loop.call_soon(callback, "hello")
        assert called.wait(LONG)
    assert name == ["hello", "bangeod-loop"]


def test_a_callback_is_refused_without_an_error_where_no_loop_runs() -> None:
    loop = LoopThread()
    assert not loop.call_soon(print)
    with loop:
        pass
    assert not loop.call_soon(print)


def test_a_signal_handler_reaches_the_loop_while_the_main_thread_waits() -> None:
    caught = threading.Event()
    with LoopThread() as loop:
        before = signal.signal(signal.SIGUSR1, lambda *_: loop.call_soon(caught.set))
        try:
            loop.call_soon(os.kill, os.getpid(), signal.SIGUSR1)
            assert caught.wait(LONG)
        finally:
            signal.signal(signal.SIGUSR1, before)


def test_a_signal_handler_may_interrupt_a_submit() -> None:
    loop = LoopThread()
    called = threading.Event()
    with loop, loop._accepts:  # as if the signal came while the main thread holds the lock
        assert loop.call_soon(called.set)
        assert called.wait(LONG)


def die() -> None:
    raise SystemExit(3)


def test_what_kills_the_loop_is_raised_at_the_end_of_the_block() -> None:
    loop = LoopThread()
    loop.__enter__()
    loop.call_soon(die)
    assert isinstance(loop.finished.exception(LONG), SystemExit)
    with pytest.raises(SystemExit):
        loop.__exit__(None, None, None)


def test_a_dead_loop_refuses_work() -> None:
    with contextlib.suppress(SystemExit), LoopThread() as loop:
        loop.call_soon(die)
        loop.finished.exception(LONG)
        assert not loop.call_soon(print)
        with pytest.raises(RuntimeError, match="not running"):
            loop.submit(thread_name())
