"""What is done for each route. A cached address is answered without waiting for anything."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import msgspec

from bangeod import __version__
from bangeod.api import status_document, web
from bangeod.api.backend import Backend
from bangeod.api.batch_admission import BatchAdmission
from bangeod.api.connections import Connection, Connections
from bangeod.api.counting import Counting
from bangeod.api.daemon_state import ApiState, State
from bangeod.api.entry_json import EntryWriter
from bangeod.api.messages import (
    MOST_ADDRESSES,
    ExplainAnswer,
    ExplainRequest,
    Health,
    LookupRequest,
    Mode,
    Problem,
    RunRequest,
    TopQuery,
    Wait,
    report_of,
)
from bangeod.api.pending_lookups import LOOKUP_SECONDS, PendingLookups
from bangeod.api.problems import JSON, RequestError, error_response
from bangeod.api.request_body import LARGEST_BODY, received, too_large
from bangeod.api.routes import PROMETHEUS_TYPE, ROUTES
from bangeod.clock import to_text
from bangeod.jobs.job import JobId
from bangeod.model import Answer, Status

BODY_SECONDS: Final = 10.0  # until a body must have come

T = TypeVar("T")

_UNRESOLVED: Final = Status.UNRESOLVED
_encode: Final = msgspec.json.Encoder().encode
_decode_wait: Final = msgspec.json.Decoder(Wait).decode


class Handlers:
    """The methods that the table of routes names. The event loop's."""

    def __init__(self, backend: Backend, figures: ApiState, connections: Connections) -> None:
        self._backend = backend
        self._figures = figures
        self._connections = connections
        self._large = BatchAdmission()
        self._resolving = PendingLookups(backend)
        self._counting = Counting(backend)
        self._writer = EntryWriter(figures.lookups)
        self.by_route = {route: getattr(self, route.handler) for route in ROUTES}
        self._render_metrics: Callable[[State], bytes] | None = None  # until they are asked for
        self._document: bytes | None = None  # until it is asked for

    # --- lookups ---

    async def lookup_one(self, request: web.BaseRequest, ip: str) -> web.Response:
        """Say where one address is."""
        until = _given_up(request)
        answers = self._writer.known_now(self._backend.cache, (ip,))
        await self._fill_in(answers, Mode.RESOLVE, until)
        return web.Response(body=self._writer.part(answers), headers=JSON)

    async def lookup_batch(self, request: web.BaseRequest, _: str) -> web.Response:
        """Say where many addresses are."""
        content = await self._content(request)
        until = _given_up(request)
        async with self._large.turn(content, _connection(request), until):
            asked = msgspec.json.decode(content, type=LookupRequest)
            if len(asked.ips) > MOST_ADDRESSES:
                raise RequestError(413, "too_many_addresses", f"{len(asked.ips)} addresses: {MOST_ADDRESSES} at most")
            body = await (self._traced if asked.origin else self._written)(asked, until)
            self._connections.relieve()
        return web.Response(body=body, headers=JSON)

    async def _written(self, asked: LookupRequest, until: float) -> bytes:
        answers = await self._writer.known(self._backend.cache, asked.ips)
        await self._fill_in(answers, asked.mode, until)
        return await self._writer.batch(answers)

    async def _traced(self, asked: LookupRequest, until: float) -> bytes:
        answers = await self._found(await self._resolving.cached(asked.ips), asked.mode, until)
        return await self._writer.traced_batch(answers)

    async def _fill_in(self, answers: list[str | Answer], mode: Mode, until: float) -> None:
        """Fill in what memory did not know."""
        unknown = {
            place: answer
            for place, answer in enumerate(answers)
            if isinstance(answer, Answer) and answer.status is _UNRESOLVED
        }
        if unknown:
            found = await self._found(list(unknown.values()), mode, until)
            for place, answer in zip(unknown, found, strict=True):
                answers[place] = answer

    async def _found(self, answers: list[Answer], mode: Mode, until: float) -> list[Answer]:
        """Return the answers with what a mode allows to ask of what memory did not know."""
        if mode is Mode.RESOLVE:
            return await self._resolving.completed(answers, until)
        if not self._backend.cache.loaded:  # what will be in memory soon is known
            return await self._resolving.stored(answers)
        return answers

    async def explain(self, request: web.BaseRequest, _: str) -> web.Response:
        """Say of each address what each source says."""
        asked = msgspec.json.decode(await self._content(request), type=ExplainRequest)
        return _json(ExplainAnswer(await self._backend.explain(asked.ips)))

    async def top(self, request: web.BaseRequest, _: str) -> web.Response:
        """Count addresses by country or by network."""
        return _json(await self._counting.answer(_query(request, TopQuery), _connection(request)))

    # --- jobs ---

    async def run_job(self, request: web.BaseRequest, name: str) -> web.Response:
        """Run a job and tell what came of it."""
        if name not in list(JobId):
            raise RequestError(404, "unknown_job", f"there is no such job: the jobs are {', '.join(JobId)}")
        content = await self._content(request)
        asked = msgspec.json.decode(content, type=RunRequest) if content else RunRequest()
        report = await self._backend.run_job(JobId(name), dry=asked.dry_run)
        return _json(report_of(report, to_text(report.started_at)))

    # --- how the daemon stands ---

    async def status(self, _request: web.BaseRequest, _: str) -> web.Response:
        """Describe the daemon."""
        state = await self._backend.state(self._figures)
        return web.Response(body=status_document.encode(state), headers=JSON)

    async def health(self, _request: web.BaseRequest, _: str) -> web.Response:
        """Say whether the database can be used."""
        problem = self._backend.current_problem()
        if problem is not None:
            return error_response(503, Problem("failing", problem))
        return _json(Health())

    async def metrics(self, _request: web.BaseRequest, _: str) -> web.Response:
        """Give the figures to Prometheus."""
        if self._render_metrics is None:
            self._render_metrics = await _made_in_a_thread(_import_metrics)
        text = self._render_metrics(await self._backend.state(self._figures))
        return web.Response(body=text, headers={"Content-Type": PROMETHEUS_TYPE})

    async def openapi(self, _request: web.BaseRequest, _: str) -> web.Response:
        """Give the OpenAPI document."""
        if self._document is None:
            self._document = await _made_in_a_thread(_make_document)
        return web.Response(body=self._document, headers=JSON)

    async def close(self) -> None:
        """Cancel the lookups that are still running."""
        await self._resolving.close()

    # --- bodies ---

    async def _content(self, request: web.BaseRequest) -> bytes:
        """Read a body."""
        if (request.content_length or 0) > LARGEST_BODY:
            raise too_large()
        encoding = request.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            raise RequestError(415, "encoded", "send the body as it is, without Content-Encoding")
        return await self._received(request)

    async def _received(self, request: web.BaseRequest) -> bytes:
        if request.content.is_eof():  # it came with the header, as small bodies do
            return await received(request.content)
        connection = _connection(request)
        self._connections.receive(connection)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await received(request.content)
        except TimeoutError:
            raise RequestError(408, "too_slow", f"the body did not come within {BODY_SECONDS:g} s") from None
        finally:
            self._connections.received(connection)


def _connection(request: web.BaseRequest) -> Connection:
    return cast("Connection", request.protocol)


def _given_up(request: web.BaseRequest) -> float:
    """Return when a lookup has to be answered with what is known by then, in the loop's time. Raises RequestError."""
    seconds = LOOKUP_SECONDS
    if request.rel_url.raw_query_string and (said := request.query.get("wait")) is not None:
        try:
            seconds = min(seconds, _decode_wait(said))
        except msgspec.DecodeError:
            raise RequestError(422, "invalid_request", "wait has to be a number of seconds, 0 or more") from None
    return asyncio.get_running_loop().time() + seconds


def _query(request: web.BaseRequest, kind: type[T]) -> T:
    """Read a query; of a name that comes twice the first value counts. Raises RequestError."""
    try:
        return msgspec.convert(dict(request.query), kind, strict=False)
    except msgspec.ValidationError as error:
        raise RequestError(422, "invalid_request", f"the query is not as it has to be: {error}") from None


async def _made_in_a_thread(make: Callable[[], T]) -> T:
    """Make what not every daemon needs, when it is asked for, beside the event loop. Raises RequestError."""
    try:
        return await asyncio.to_thread(make)
    except ImportError as error:
        raise RequestError(
            503, "not_installed", f"{error}: if bangeod was upgraded meanwhile, systemctl restart bangeod"
        ) from error


def _import_metrics() -> Callable[[State], bytes]:
    from bangeod.api.metrics import render  # noqa: PLC0415 - prometheus_client takes a megabyte, and many have no Prometheus

    return render


def _make_document() -> bytes:
    from bangeod.api import openapi  # noqa: PLC0415 - for the few who read it, once

    return msgspec.json.encode(openapi.document(__version__))


def _json(content: Any) -> web.Response:
    return web.Response(body=_encode(content), headers=JSON)
