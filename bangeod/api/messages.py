"""What goes over the socket: the requests and answers of the API, from which the OpenAPI document is made too.

Times are text as the database has them (``2026-11-22T00:00:00Z``), durations seconds, sizes bytes.
"""

from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec

from bangeod.geo.model import Answer, Origin, Status
from bangeod.jobs.job import JobId, Outcome, Report

MOST_ADDRESSES: Final = 10_000  # of one batch


Wait = Annotated[float, msgspec.Meta(ge=0)]  # seconds, in the query of a lookup


class Mode(StrEnum):
    """How far a lookup goes."""

    RESOLVE = "resolve"  # ask whatever may know the address
    CACHED = "cached"  # only what the daemon's memory has


class LookupRequest(msgspec.Struct):
    """A batch of addresses. With ``origin`` the answers say where they come from."""

    ips: Annotated[list[str], msgspec.Meta(extra_json_schema={"maxItems": MOST_ADDRESSES})]
    mode: Mode = Mode.RESOLVE
    origin: bool = False


class Entry(msgspec.Struct, gc=False):
    """Where an address is, under the text that was asked; null is not known."""

    ip: str
    status: Status
    country_code: str | None
    country_name: str | None
    asn: str | None
    org: str | None


class TracedEntry(Entry, omit_defaults=True):
    """An entry, and which source it comes from."""

    origin: Origin | None = None


class LookupAnswer(msgspec.Struct):
    """The entries of a batch, in the order asked."""

    entries: list[TracedEntry]


class RunRequest(msgspec.Struct):
    """How to run a job. A dry run changes nothing and says what would be done."""

    dry_run: bool = False


class JobReport(msgspec.Struct):
    """What came of a run."""

    job_id: JobId
    correlation_id: str
    started_at: str
    duration: float
    outcome: Outcome
    dry: bool
    figures: dict[str, Any]
    problem: str | None


class Problem(msgspec.Struct):
    """What is wrong: a code for programs, a message for people."""

    code: str
    message: str


class ErrorAnswer(msgspec.Struct):
    """The body of every answer that is an error."""

    error: Problem


class Health(msgspec.Struct):
    """The answer of a daemon that is well."""

    status: str = "ok"


def entry_of(answer: Answer) -> Entry:
    """Return an answer of the cache as an entry."""
    geo = answer.geo
    return Entry(answer.ip, answer.status, geo.country_code, geo.country_name, geo.asn, geo.org)


def traced(answer: Answer) -> TracedEntry:
    """Return an answer of the cache as an entry that says where it comes from."""
    geo = answer.geo
    return TracedEntry(
        answer.ip, answer.status, geo.country_code, geo.country_name, geo.asn, geo.org, origin=answer.origin
    )


def report_of(report: Report, started_at: str) -> JobReport:
    """Return a job's report as the API tells it; ``started_at`` is the text of its time."""
    return JobReport(
        report.job_id,
        report.correlation_id,
        started_at,
        report.duration,
        report.outcome,
        report.dry,
        dict(report.figures),
        report.problem,
    )
