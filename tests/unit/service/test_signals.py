"""Signals reach the event loop whatever the main thread is at."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from bangeod.service.loop import LoopThread
from bangeod.service.signals import SignalRelay

USED = signal.SIGUSR1


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    with LoopThread() as loop:
        yield loop


class Heard:
    """A handler that remembers what came, and on which thread."""

    def __init__(self) -> None:
        self.numbers: list[signal.Signals] = []
        self.threads: set[str] = set()
        self.some = threading.Event()

    def __call__(self, number: signal.Signals) -> None:
        self.numbers.append(number)
        self.threads.add(threading.current_thread().name)
        self.some.set()


def test_a_handler_is_called_on_the_loop(loop: LoopThread) -> None:
    heard = Heard()
    with SignalRelay(loop, {USED: heard}):
        os.kill(os.getpid(), USED)
        assert heard.some.wait(10)
    assert (heard.numbers, heard.threads) == ([USED], {"bangeod-loop"})


def test_a_signal_is_heard_although_the_main_thread_never_wakes(loop: LoopThread) -> None:
    heard = Heard()
    with SignalRelay(loop, {USED: heard}):
        # To a thread that is not the main one: the main one stays in its lock, as where it is just falling asleep.
        sender = threading.Thread(target=lambda: signal.pthread_kill(threading.get_ident(), USED))
        sender.start()
        assert heard.some.wait(10)
        sender.join()


def test_handlers_and_wakeup_are_as_before_when_it_ends(loop: LoopThread) -> None:
    before = signal.getsignal(USED)
    with SignalRelay(loop, {USED: Heard()}):
        assert signal.getsignal(USED) is not before
    assert signal.getsignal(USED) is before
    assert signal.set_wakeup_fd(-1) == -1


def test_it_ends_well_where_the_loop_has_ended_before() -> None:
    with LoopThread() as loop:
        relay = SignalRelay(loop, {USED: Heard()})
        relay.__enter__()
    relay.__exit__(None, None, None)
    assert signal.set_wakeup_fd(-1) == -1
