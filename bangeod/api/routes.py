"""What the API offers: one table, from which both the server and the OpenAPI document are made."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from bangeod.api.daemon_state import State
from bangeod.api.messages import (
    Entry,
    ExplainAnswer,
    ExplainRequest,
    Health,
    JobReport,
    LookupAnswer,
    LookupRequest,
    RunRequest,
    Top,
    TopQuery,
)

PROMETHEUS: Final = "text/plain"
PROMETHEUS_TYPE: Final = f"{PROMETHEUS}; version=0.0.4; charset=utf-8"  # of the text exposition format
JSON: Final = "application/json"


class Route(NamedTuple):
    """One thing that can be asked; ``handler`` is the name of a method of Handlers."""

    method: str
    path: str
    handler: str
    summary: str
    answer: Any  # the type of the body, if that is JSON
    request: type | None = None
    body_needed: bool = False
    parameter: str | None = None  # the name of the parameter in the path
    waits: bool = False  # its query may say how long the client waits
    query: type | None = None  # the type of its query
    errors: Sequence[int] = ()  # in addition to those that any request may end with
    answer_type: str = JSON


ROUTES: Final = (
    Route(
        "GET",
        "/v1/lookup/{ip}",
        "lookup_one",
        "Say where an address is.",
        Entry,
        parameter="the address; any text, if only to hear that it is none",
        waits=True,
        errors=(422,),
    ),
    Route(
        "POST",
        "/v1/lookup",
        "lookup_batch",
        "Say where each of up to 10,000 addresses is, in the order asked.",
        LookupAnswer,
        request=LookupRequest,
        body_needed=True,
        waits=True,
        errors=(400, 408, 413, 415, 422),
    ),
    Route(
        "POST",
        "/v1/explain",
        "explain",
        "Say what each source says of up to 100 addresses; changes nothing, and never asks ip-api.",
        ExplainAnswer,
        request=ExplainRequest,
        body_needed=True,
        errors=(400, 408, 413, 415, 422),
    ),
    Route(
        "GET",
        "/v1/top",
        "top",
        "Say which countries, networks or hosts have the most addresses, of all or of those that are banned.",
        Top,
        query=TopQuery,
        errors=(409, 422, 503),
    ),
    Route("GET", "/v1/status", "status", "Describe how the daemon stands.", State),
    Route(
        "POST",
        "/v1/jobs/{id}/run",
        "run_job",
        "Run a job now; the answer comes when it has ended.",
        JobReport,
        request=RunRequest,
        parameter="the id of the job",
        errors=(400, 404, 408, 409, 413, 415, 422, 503),
    ),
    Route("GET", "/healthz", "health", "Say whether the database can be read and written.", Health, errors=(503,)),
    Route("GET", "/metrics", "metrics", "Figures for Prometheus.", None, answer_type=PROMETHEUS),
    Route("GET", "/v1/openapi.json", "openapi", "This document.", dict[str, Any]),
)
