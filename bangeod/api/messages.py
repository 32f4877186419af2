"""The bodies of the API's requests and answers; the OpenAPI document is made from them too.

Times are text as in the database (``2026-11-22T00:00:00Z``), durations seconds, sizes bytes.
"""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

import msgspec

from bangeod.jobs.job import JobId, Outcome, Report
from bangeod.model import Answer, Geo, Origin, Status

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
    geo = answer.geo
    return Entry(answer.ip, answer.status, geo.country_code, geo.country_name, geo.asn, geo.org)


def traced(answer: Answer) -> TracedEntry:
    geo = answer.geo
    return TracedEntry(
        answer.ip, answer.status, geo.country_code, geo.country_name, geo.asn, geo.org, origin=answer.origin
    )


def report_of(report: Report, started_at: str) -> JobReport:
    """Return a job's report as the API sends it; ``started_at`` is its start as text."""
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


MOST_EXPLAINED: Final = 100  # addresses of one request; the answer for each may hold whole records of several files


class ExplainRequest(msgspec.Struct):
    """The addresses that are to be explained."""

    ips: Annotated[list[str], msgspec.Meta(max_length=MOST_EXPLAINED)]


class Place(msgspec.Struct):
    """Where an address is; null is not known."""

    country_code: str | None = None
    country_name: str | None = None
    asn: str | None = None
    org: str | None = None


class MmdbRecord(msgspec.Struct, kw_only=True):
    """An MMDB, and the record that it has for an address."""

    path: str
    status: str  # loaded, kept, missing, refused, pending
    database_type: str | None = None
    build_time: str | None = None
    network: str | None = None  # the network of the record; also set if there is no record for it
    asked: str | None = None  # the address that was looked up: the IPv4 address that the other one carries
    record: Any = None  # octets in hexadecimal, large numbers as text


class Said(msgspec.Struct, kw_only=True):
    """What one source says. ``says`` is what bangeod takes from it, ``note`` why that is nothing, or how it stands."""

    source: Origin
    says: Place | None = None
    note: str | None = None
    file: MmdbRecord | None = None


class Explanation(msgspec.Struct, kw_only=True):
    """An address: what each source says of it, in the order in which they are asked, and what the answer is."""

    ip: str
    status: Status
    address: str | None = None  # in its canonical form; null if it is not an address
    sources: list[Said] = []
    answer: Place
    origin: Origin | None = None
    decided_by: dict[str, str] = {}  # by field of the answer: a source, the path of an MMDB, or "country_names"


class ExplainAnswer(msgspec.Struct):
    """The explanations, in the order asked."""

    explanations: list[Explanation]


def place_of(geo: Geo | None) -> Place | None:
    """Return a place as the API sends it; None if nothing is known."""
    return None if geo is None or geo == Geo() else Place(*(_text(value) for value in geo))


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)


MOST_GROUPS: Final = 10_000  # of one answer
LONGEST_SINCE: Final = 100 * 366 * 86_400  # seconds


class TopQuery(msgspec.Struct, forbid_unknown_fields=True):
    """What is counted: all addresses in the table, or with ``banned`` those that fail2ban bans now.

    Only those last seen, or banned, within the last ``since`` seconds; 0: whenever. In a fleet what any host bans
    counts, or with ``here`` what this one does; by hosts it is always what is banned.
    """

    by: Literal["countries", "networks", "hosts"] = "countries"
    banned: bool = False
    since: Annotated[int, msgspec.Meta(ge=0, le=LONGEST_SINCE)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_GROUPS)] = MOST_GROUPS
    here: bool = False


class TopGroup(msgspec.Struct, omit_defaults=True):
    """Addresses of one country, of one network or on one host; what is not known of it is left out."""

    count: int
    country_code: str | None = None
    country_name: str | None = None
    asn: str | None = None
    org: str | None = None
    host: str | None = None
    newest: str | None = None  # when the newest ban of the host began


class Top(msgspec.Struct, kw_only=True):
    """Where addresses come from, the largest group first; all that is counted adds up to ``total``.

    By hosts, what several hosts ban counts for each of them.
    """

    by: str
    banned: bool
    hosts: int | None = None  # of the fleet, that have bans which count; null: this one's alone
    since: str | None = None
    total: int = 0
    groups: list[TopGroup] = []
    other_groups: int = 0  # groups beyond the limit
    in_other_groups: int = 0
    unknown: int = 0  # routable, but nobody knows the country, or the network
    not_routable: int = 0
    banned_networks: int = 0  # each counts once, whatever its size; they are in no group
    notes: list[str] = []  # what the figures leave out
