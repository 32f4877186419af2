"""The asyncio event loop, on a thread of its own."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")


class LoopThread:
    """Runs one event loop on the thread ``bangeod-loop`` for the duration of the ``with`` block.

    Entering waits until the loop runs, and raises what kept it from starting. Leaving cancels the remaining tasks,
    waits for them, shuts down async generators and the default executor, and joins the thread; then it raises the error
    that ended the loop early, if any. An instance is entered once.

    ``finished`` is done when the loop has ended, with the error that it died of, if any; its callbacks run on the
    loop's thread. After a death they run first, before the remaining tasks are cancelled and threads waited for, which
    may take for ever.
    """

    def __init__(self, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None) -> None:
        self.finished: Future[None] = Future()
        self.finished.set_running_or_notify_cancel()  # so that nobody can cancel it
        self._loop_factory = loop_factory
        self._loop: asyncio.AbstractEventLoop | None = None  # set by the thread, before ``_ready``; None after a death
        self._ready: Future[None] = Future()
        self._stop = asyncio.Event()  # belongs to the loop
        self._accepts = threading.Lock()  # held to submit and to close, never by ``call_soon``
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="bangeod-loop", daemon=False)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._ready.result()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        if error is None:
            self.finished.result()

    def submit(self, coro: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the loop; from any thread. Raises RuntimeError if the loop takes no more.

        Never wait for the result on the loop's own thread: it would wait for ever.
        """
        with self._accepts:
            loop = None if self._closing else self._loop
            try:
                if loop is not None:
                    return asyncio.run_coroutine_threadsafe(coro, loop)
            except RuntimeError:  # closed: the loop died
                pass
        coro.close()  # else Python warns that it was never awaited
        raise RuntimeError("the event loop is not running")

    def call_soon(self, callback: Callable[..., object], *args: Any) -> bool:
        """Have the loop call ``callback(*args)``; False if it is not running.

        Safe in a signal handler: takes no lock, waits for nothing, and raises nothing if the loop is closed.
        """
        if self._loop is None:
            return False
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # closed
            return False
        return True

    def _close(self) -> None:
        # Everything submitted before this point is a task by the time the loop sees ``_stop``: callbacks
        # run in the order in which they came. So nothing can be added after the tasks are cancelled.
        with self._accepts:
            self._closing = True
        self.call_soon(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._loop_factory) as runner:
                try:
                    runner.run(self._serve())
                except BaseException as error:
                    self._die(error)
                    raise
        except BaseException as error:  # noqa: BLE001 - handed to the thread that can do something about it
            self._die(error)
        else:
            self.finished.set_result(None)

    def _die(self, error: BaseException) -> None:
        if self.finished.done():
            return
        with self._accepts:
            self._closing = True
        self._loop = None
        if not self._ready.done():
            self._ready.set_exception(error)
        self.finished.set_exception(error)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready.set_result(None)
        if not self._closing:  # else the start was interrupted before anybody could stop this loop
            await self._stop.wait()
