"""What may listen at the socket in the daemon's place, for tests of the clients."""

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def listening(path: Path, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    """Listen in the daemon's place; each connection is handed to ``answer``."""
    ended = threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(0.05)

        def serve() -> None:
            kept = []
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _ = listener.accept()
                    kept.append(connection)
                    answer(connection)
            for connection in kept:
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def say(answer: bytes) -> Callable[[socket.socket], None]:
    """Answer whatever is asked with these bytes, and close."""

    def send(connection: socket.socket) -> None:
        with connection.makefile("rb") as request:  # all of it: the body may come after the head
            head = b"".join(iter(request.readline, b"\r\n"))
            length = re.search(rb"(?i)^content-length: *(\d+)", head, re.MULTILINE)
            request.read(int(length[1]) if length else 0)
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_RDWR)

    return send


def ok(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


class Crowd:
    """A daemon that does not accept, and one who waits for it: there is room for no other."""

    def __init__(self, path: Path) -> None:
        self._open = contextlib.ExitStack()
        self._listener, other = (self._open.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2))
        self._listener.bind(str(path))
        self._listener.listen(0)  # room for one
        other.connect(str(path))
        self._serving = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        answer = say(ok(b'{"entries": [{"ip": "8.8.8.8", "status": "resolved"}]}'))
        answer(self._open.enter_context(self._listener.accept()[0]))

    def make_room(self, _: float) -> None:
        """Accept the one, and serve the next."""
        self._open.enter_context(self._listener.accept()[0])
        self._serving.start()

    def close(self) -> None:
        if self._serving.ident is not None:
            self._serving.join()
        self._open.close()
