"""Dispatch of requests: from a request to its handler, and from an exception to the error answer.

aiohttp's own router and middlewares would take a third of the whole time that a cached address takes.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, cast

import structlog

from bangeod.api import web
from bangeod.api.daemon_state import ApiState
from bangeod.api.problems import MethodError, RequestError, error_response, problem_of
from bangeod.api.routes import Route

if TYPE_CHECKING:
    from bangeod.api.connections import Connection

log = structlog.get_logger(__name__)

Handler = Callable[[web.BaseRequest, str], Awaitable[web.Response]]  # the text is the path's parameter


class _Pattern(NamedTuple):
    """A path with a parameter: the text before and after it."""

    before: str
    after: str
    handlers: dict[str, Handler]


class Dispatcher:
    """The callable that aiohttp calls with each request."""

    def __init__(self, routes: Mapping[Route, Handler], figures: ApiState) -> None:
        self._figures = figures
        self._plain: dict[str, dict[str, Handler]] = {}
        self._patterns: list[_Pattern] = []
        for route, handler in routes.items():
            self._add(route, handler)

    def _add(self, route: Route, handler: Handler) -> None:
        before, parameter, rest = route.path.partition("{")
        handlers = {route.method: handler} | ({"HEAD": handler} if route.method == "GET" else {})
        if parameter:
            self._patterns.append(_Pattern(before, rest.partition("}")[2], handlers))
        else:
            self._plain[route.path] = handlers

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; the client never sees a traceback."""
        self._figures.requests += 1
        connection = cast("Connection", request.protocol)
        connection.busy = True
        try:
            connection.check_connected()
            _check_version(request)
            handler, argument = self._find(request.method, request.path)
            if "Expect" in request.headers:
                await _meet_expectation(request)
            return await handler(request, argument)
        except ConnectionError as error:  # the client has gone: nobody to answer
            # aiohttp keeps this error with the received part of a body: the frames would stay in a cycle for long.
            error.__traceback__ = None
            raise ConnectionError("the client has gone") from None
        except Exception as error:  # noqa: BLE001 - each exception gets an answer
            return self._answer_to(error, request)
        finally:
            connection.rest()

    def _find(self, method: str, path: str) -> tuple[Handler, str]:
        argument = ""
        handlers = self._plain.get(path)
        if handlers is None:
            for before, after, its_handlers in self._patterns:
                end = len(path) - len(after)
                if len(before) < end and path.startswith(before) and path.endswith(after):
                    handlers, argument = its_handlers, path[len(before) : end]
                    break
            else:
                raise RequestError(404, "not_found", "nothing is at this path: GET /v1/openapi.json says what there is")
        if method not in handlers:
            raise MethodError(method, handlers)
        return handlers[method], argument

    def _answer_to(self, error: Exception, request: web.BaseRequest) -> web.Response:
        self._figures.errors += 1
        status, problem = problem_of(error)
        if status == 500:  # noqa: PLR2004 - our bug, not the client's fault
            log.error("request_failed", method=request.method, path=request.path[:200], exc_info=error)
        return error_response(status, problem, error.allowed if isinstance(error, MethodError) else ())


def _check_version(request: web.BaseRequest) -> None:
    """Refuse HTTP/0.9: aiohttp accepts it, but answers with a header that such a client would not understand."""
    if request.version < web.HttpVersion10:
        raise RequestError(400, "bad_request", "this is not HTTP/1.1, which is spoken here, nor 1.0")


async def _meet_expectation(request: web.BaseRequest) -> None:
    """Tell a client that waits for it to go on and send the body; refuse any other expectation."""
    if request.headers["Expect"].lower() != "100-continue":
        raise RequestError(417, "expectation_failed", "only 100-continue can be expected")
    if request.version == web.HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun
