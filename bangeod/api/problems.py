"""The HTTP status and the JSON body for each error, in one place for all requests."""

from collections.abc import Collection
from typing import Final

import msgspec

from bangeod.api import web
from bangeod.api.messages import ErrorAnswer, Problem
from bangeod.errors import BangeodError, Fail2banOffError, FleetOffError, JobRunningError, StoppingError, StoreError

JSON: Final = {"Content-Type": "application/json"}

_KNOWN: Final[tuple[tuple[type[Exception], int, str, str], ...]] = (
    (web.HTTPRequestEntityTooLarge, 413, "too_large", "the body is too large"),
    (msgspec.ValidationError, 422, "invalid_request", "the body is not as it has to be: {}"),
    (msgspec.DecodeError, 400, "invalid_json", "the body is no JSON: {}"),
    (RecursionError, 400, "invalid_json", "the body is nested too deep"),
    (UnicodeError, 400, "invalid_json", "the body is no UTF-8: {}"),
    (JobRunningError, 409, "job_running", "{}"),
    (Fail2banOffError, 409, "fail2ban_off", "{}"),
    (FleetOffError, 409, "fleet_off", "{}"),
    (StoppingError, 503, "stopping", "{}"),
    (StoreError, 503, "database", "{}"),
)


class RequestError(BangeodError):
    """A request that can't be answered as it was sent."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        self.code = code
        super().__init__(message)


class MethodError(RequestError):
    """A request with a method that its path does not allow."""

    def __init__(self, method: str, allowed: Collection[str]) -> None:
        self.allowed = allowed
        super().__init__(405, "method_not_allowed", f"{method} can't be done here, but {', '.join(sorted(allowed))}")


def problem_of(error: Exception) -> tuple[int, Problem]:
    """Return the status and the problem for an exception; 500 for an unexpected one."""
    if isinstance(error, RequestError):
        return error.status, Problem(error.code, str(error))
    for kind, status, code, what in _KNOWN:
        if isinstance(error, kind):
            return status, Problem(code, what.format(error))
    return 500, Problem("internal", "bangeod failed at this; its log has more (journalctl -u bangeod)")


def error_response(status: int, problem: Problem, allowed: Collection[str] = ()) -> web.Response:
    """Return the answer for a problem; ``allowed`` are the methods to name in it, for a method that is not allowed."""
    headers = {**JSON, "Allow": ", ".join(sorted(allowed))} if allowed else JSON
    return web.Response(status=status, body=msgspec.json.encode(ErrorAnswer(problem)), headers=headers)
