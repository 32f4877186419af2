"""The API answers as it says: addresses, jobs, health, and every error in one form."""

import asyncio
import json
import os
import re
import stat
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from bangeod.api.messages import MOST_GROUPS, TopQuery
from bangeod.errors import Fail2banOffError, FleetOffError, JobRunningError, StoppingError, StoreError
from bangeod.jobs.job import JobId
from bangeod.model import Geo
from tests.support.daemon.api_host import CACHED, CACHED6, Host, hosting, parse, until

ENTRY = {
    "ip": CACHED,
    "status": "resolved",
    "country_code": "DE",
    "country_name": "Germany",
    "asn": "AS64500",
    "org": "Example",
}
NOTHING = {"country_code": None, "country_name": None, "asn": None, "org": None}


@pytest.fixture
async def host(tmp_path: Path) -> AsyncGenerator[Host, None]:
    async with hosting(tmp_path / "api.sock") as host:
        yield host


# --- lookups ---


async def test_a_cached_address_is_answered_with_an_entry(host: Host) -> None:
    reply = await host.ask("GET", f"/v1/lookup/{CACHED}")
    assert (reply.status, reply.json) == (200, ENTRY)
    assert reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize("text", [CACHED6, "2001:4860:4860:0:0:0:0:8888", "2001%3A4860%3A4860%3A%3A8888"])
async def test_an_address_is_known_under_each_of_its_spellings(host: Host, text: str) -> None:
    assert (await host.ask("GET", f"/v1/lookup/{text}")).json["country_code"] == "DE"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("10.0.0.1", "private"),
        ("nonsense", "invalid"),
        ("10.0.0.0/8", "invalid"),
        ("%00", "invalid"),
        ("%ff", "invalid"),
    ],
)
async def test_what_needs_no_source_is_classified(host: Host, text: str, status: str) -> None:
    reply = await host.ask("GET", f"/v1/lookup/{text}")
    assert (reply.status, reply.json["status"]) == (200, status)


async def test_an_address_that_is_not_cached_is_asked_about(host: Host) -> None:
    host.backend.world.local.places["1.1.1.1"] = Geo("AU")
    assert (await host.ask("GET", "/v1/lookup/1.1.1.1")).json["country_code"] == "AU"
    assert (await host.ask("GET", "/v1/lookup/9.9.9.9")).json == {"ip": "9.9.9.9", "status": "unresolved", **NOTHING}


async def test_a_batch_is_answered_in_the_order_asked(host: Host) -> None:
    asked = ["10.0.0.1", CACHED, "nonsense", CACHED, "9.9.9.9"]
    entries = (await host.post("/v1/lookup", {"ips": asked})).json["entries"]
    assert [entry["ip"] for entry in entries] == asked
    assert [entry["status"] for entry in entries] == ["private", "resolved", "invalid", "resolved", "unresolved"]
    assert entries[1] == ENTRY


async def test_a_batch_in_the_mode_cached_asks_no_source(host: Host) -> None:
    host.backend.world.local.places["1.1.1.1"] = Geo("AU")
    entries = (await host.post("/v1/lookup", {"ips": ["1.1.1.1"], "mode": "cached"})).json["entries"]
    assert entries[0]["status"] == "unresolved"
    assert host.backend.world.local.asked == []


@pytest.mark.parametrize("loaded", [False, True])
async def test_until_the_table_is_in_memory_the_mode_cached_asks_the_rows_too(host: Host, *, loaded: bool) -> None:
    host.backend.world.store.put_geo("1.1.1.1", country_code="AU")
    host.backend.cache.loaded = loaded
    entries = (await host.post("/v1/lookup", {"ips": [CACHED, "1.1.1.1"], "mode": "cached"})).json["entries"]
    assert [entry["country_code"] for entry in entries] == [ENTRY["country_code"], None if loaded else "AU"]
    assert host.backend.world.local.asked == []


async def test_a_batch_says_where_answers_come_from_where_that_is_asked(host: Host) -> None:
    entries = (await host.post("/v1/lookup", {"ips": [CACHED, "10.0.0.1"], "origin": True})).json["entries"]
    assert [entry.get("origin") for entry in entries] == ["memory", None]


async def test_an_empty_batch_has_no_entries(host: Host) -> None:
    assert (await host.post("/v1/lookup", {"ips": []})).json == {"entries": []}


async def test_ten_thousand_addresses_are_one_batch_and_one_more_is_too_much(host: Host) -> None:
    ips = [f"10.0.{number >> 8}.{number & 255}" for number in range(10_001)]
    assert len((await host.post("/v1/lookup", {"ips": ips[:10_000]})).json["entries"]) == 10_000
    reply = await host.post("/v1/lookup", {"ips": ips})
    assert (reply.status, reply.code) == (413, "too_many_addresses")


async def test_a_lookup_that_takes_too_long_is_answered_with_what_is_known(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bangeod.api.handlers.LOOKUP_SECONDS", 0.01)
    remote = host.backend.world.with_remote({"1.1.1.1": Geo("AU")})
    remote.gate.clear()
    entries = (await host.post("/v1/lookup", {"ips": [CACHED, "1.1.1.1"]})).json["entries"]
    assert [entry["status"] for entry in entries] == ["resolved", "unresolved"]


@pytest.mark.parametrize("wait", ["0", "0.001", "1e-3"])
async def test_a_lookup_is_answered_within_the_time_that_its_sender_waits(host: Host, wait: str) -> None:
    remote = host.backend.world.with_remote({"1.1.1.1": Geo("AU")})
    remote.gate.clear()
    one = await host.ask("GET", f"/v1/lookup/1.1.1.1?wait={wait}")
    batch = await host.post(f"/v1/lookup?wait={wait}", {"ips": [CACHED, "1.1.1.1"]})
    assert [entry["status"] for entry in (one.json, *batch.json["entries"])] == ["unresolved", "resolved", "unresolved"]


@pytest.mark.parametrize("wait", ["", "soon", "-1", "NaN", "1e999", "true", "null"])
async def test_a_wait_that_is_no_number_of_seconds_is_refused(host: Host, wait: str) -> None:
    for reply in (
        await host.ask("GET", f"/v1/lookup/{CACHED}?wait={wait}"),
        await host.post(f"/v1/lookup?wait={wait}", {"ips": [CACHED]}),
    ):
        assert (reply.status, reply.code) == (422, "invalid_request")


async def test_the_content_type_of_a_request_does_not_matter(host: Host) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "nonsense"):
        reply = await host.post("/v1/lookup", {"ips": [CACHED]}, f"Content-Type: {kind}")
        assert reply.json["entries"] == [ENTRY]


# --- counting ---


async def test_what_is_to_be_counted_is_read_from_the_query(host: Host) -> None:
    reply = await host.ask("GET", "/v1/top?by=networks&banned=true&since=86400&limit=5")
    assert (reply.status, reply.json["total"], reply.json["groups"][0]["country_code"]) == (200, 2, "DE")
    await host.ask("GET", "/v1/top")
    assert host.backend.counts == [
        TopQuery("networks", banned=True, since=86_400, limit=5),
        TopQuery("countries", banned=False, since=0, limit=MOST_GROUPS),
    ]


@pytest.mark.parametrize(
    "query",
    [
        *("by=jails", "here=1.5", "by=", "banned=perhaps", "top=1"),
        *("since=-1", "since=null", "since=30d", "since=1.5", "since=9999999999999", "since=%F0%9F"),
        *("limit=0", "limit=-1", "limit=10001"),
    ],
)
async def test_a_query_that_says_nothing_sensible_is_refused(host: Host, query: str) -> None:
    reply = await host.ask("GET", f"/v1/top?{query}")
    assert (reply.status, reply.code) == (422, "invalid_request")
    assert host.backend.counts == []


async def test_who_is_banned_where_nobody_reads_it_is_a_conflict(host: Host) -> None:
    host.backend.error = Fail2banOffError()
    reply = await host.ask("GET", "/v1/top?banned=true")
    assert (reply.status, reply.code) == (409, "fail2ban_off")


async def test_which_hosts_ban_where_there_is_no_fleet_is_a_conflict_too(host: Host) -> None:
    host.backend.error = FleetOffError()
    reply = await host.ask("GET", "/v1/top?by=hosts")
    assert (reply.status, reply.code) == (409, "fleet_off")


# --- jobs ---


@pytest.mark.parametrize(
    ("body", "dry"),
    [(None, False), (b"", False), (b"{}", False), (b'{"dry_run": false}', False), (b'{"dry_run": true}', True)],
)
async def test_a_job_is_run_and_its_report_is_the_answer(host: Host, body: bytes | None, dry: bool) -> None:
    reply = await host.ask("POST", "/v1/jobs/geo_cache_flush/run", body)
    assert host.backend.runs == [(JobId.GEO_CACHE_FLUSH, dry)]
    assert reply.status == 200
    assert reply.json == {
        "job_id": "geo_cache_flush",
        "correlation_id": "an-id",
        "started_at": "2027-01-15T08:00:00Z",
        "duration": 0.25,
        "outcome": "done",
        "dry": dry,
        "figures": {"flushed": 3},
        "problem": None,
    }


async def test_there_is_no_other_job(host: Host) -> None:
    reply = await host.ask("POST", "/v1/jobs/mining/run")
    assert (reply.status, reply.code) == (404, "unknown_job")
    assert host.backend.runs == []


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (JobRunningError("geo_cache_flush"), 409, "job_running"),
        (StoppingError(), 503, "stopping"),
        (StoreError("/db", "it is locked", "wait"), 503, "database"),
    ],
)
async def test_an_error_that_is_meant_has_a_status_of_its_own(
    host: Host, error: Exception, status: int, code: str
) -> None:
    host.backend.error = error
    reply = await host.ask("POST", "/v1/jobs/geo_cache_flush/run")
    assert (reply.status, reply.code) == (status, code)
    assert reply.json["error"]["message"] == str(error)


async def test_a_fault_of_the_program_is_logged_and_not_told(host: Host) -> None:
    host.backend.error = ZeroDivisionError("secret")
    with capture_logs() as logged:
        reply = await host.ask("GET", "/v1/status")
    assert (reply.status, reply.code) == (500, "internal")
    assert b"secret" not in reply.body
    assert [(line["event"], line["path"]) for line in logged] == [("request_failed", "/v1/status")]
    assert (await host.ask("GET", f"/v1/lookup/{CACHED}")).status == 200


# --- what can't be answered ---


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_json"),
        (b"{", 400, "invalid_json"),
        (b"\xff\xfe", 400, "invalid_json"),
        (b'{"ips": ["\xff"]}', 400, "invalid_json"),
        (b'{"x": ' + b"[" * 100_000, 400, "invalid_json"),
        (b"[" * 100_000, 422, "invalid_request"),
        (b"[]", 422, "invalid_request"),
        (b"{}", 422, "invalid_request"),
        (b'{"ips": "8.8.8.8"}', 422, "invalid_request"),
        (b'{"ips": [8]}', 422, "invalid_request"),
        (b'{"ips": [null]}', 422, "invalid_request"),
        (b'{"ips": [], "mode": "guess"}', 422, "invalid_request"),
    ],
)
async def test_a_body_that_cannot_be_understood_is_refused(host: Host, body: bytes, status: int, code: str) -> None:
    reply = await host.ask("POST", "/v1/lookup", body)
    assert (reply.status, reply.code) == (status, code)


async def test_a_lone_surrogate_is_no_address_and_no_fault(host: Host) -> None:
    reply = await host.ask("POST", "/v1/lookup", b'{"ips": ["\\ud800"]}')
    assert reply.status in {200, 400}


@pytest.mark.slow
async def test_a_body_that_is_announced_too_large_is_refused_unread(host: Host) -> None:
    reply = parse(await host.raw(b"POST /v1/lookup HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n"))
    assert (reply.status, reply.code) == (413, "too_large")


async def test_a_body_without_a_length_is_read_up_to_the_limit(host: Host) -> None:
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    head = b"POST /v1/lookup HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    reply = parse(await host.raw(head, *[chunk] * 17, b"0\r\n\r\n"))
    assert (reply.status, reply.code) == (413, "too_large")


async def test_a_compressed_body_is_refused(host: Host) -> None:
    reply = await host.post("/v1/lookup", {"ips": []}, "Content-Encoding: gzip")
    assert (reply.status, reply.code) == (415, "encoded")


@pytest.mark.slow
async def test_a_body_that_does_not_come_is_given_up(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bangeod.api.handlers.BODY_SECONDS", 0.01)
    monkeypatch.setattr("bangeod.api.server.LINGER", 0.01)
    reply = parse(await host.raw(b"POST /v1/lookup HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"))
    assert (reply.status, reply.code) == (408, "too_slow")


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/lookup/", "/v2/lookup/8.8.8.8", "/v1/jobs/run", "//", "*"])
async def test_nothing_is_elsewhere(host: Host, path: str) -> None:
    reply = await host.ask("GET", path)
    assert reply.status in {400, 404, 405}
    assert reply.code in {"not_found", "bad_request", "method_not_allowed"}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("PUT", "/v1/lookup/8.8.8.8", "GET, HEAD"), ("GET", "/v1/lookup", "POST"), ("DELETE", "/v1/status", "GET, HEAD")],
)
async def test_another_method_is_refused_with_those_that_there_are(
    host: Host, method: str, path: str, allowed: str
) -> None:
    reply = await host.ask(method, path)
    assert (reply.status, reply.code, reply.headers["allow"]) == (405, "method_not_allowed", allowed)


async def test_head_is_get_without_a_body(host: Host) -> None:
    reply = await host.ask("HEAD", f"/v1/lookup/{CACHED}")
    assert (reply.status, reply.body) == (200, b"")


async def test_who_waits_to_send_a_body_is_told_to(host: Host) -> None:
    body = json.dumps({"ips": [CACHED]}).encode()
    reader, writer = await host.connect()
    writer.write(
        b"POST /v1/lookup HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_other_expectations_are_refused(host: Host) -> None:
    reply = await host.post("/v1/lookup", {"ips": []}, "Expect: a miracle")
    assert (reply.status, reply.code) == (417, "expectation_failed")


@pytest.mark.parametrize(
    "sent",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /healthz\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\nbroken header\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/lookup HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 10_000 + b"\r\n\r\n",
    ],
)
async def test_what_is_no_http_gets_an_error_in_the_form_of_all(host: Host, sent: bytes) -> None:
    reply = parse(await host.raw(sent))
    assert (reply.status, reply.code) == (400, "bad_request")
    assert (await host.ask("GET", "/healthz")).status == 200


# --- the daemon's state ---


async def test_health_is_one_word_or_what_is_wrong(host: Host) -> None:
    reply = await host.ask("GET", "/healthz")
    assert (reply.status, reply.json) == (200, {"status": "ok"})
    host.backend.wrong = "the database can't be used"
    reply = await host.ask("GET", "/healthz")
    assert (reply.status, reply.code) == (503, "failing")
    assert "the database can't be used" in reply.json["error"]["message"]


async def test_the_state_counts_what_the_api_does(host: Host) -> None:
    await host.post("/v1/lookup", {"ips": [CACHED, CACHED6, "10.0.0.1"]})
    await host.ask("GET", f"/v1/lookup/{CACHED}")
    await host.ask("GET", "/nowhere")
    api = (await host.ask("GET", "/v1/status")).json["api"]
    assert (api["requests"], api["errors"], api["connections"]) == (4, 1, 1)
    assert api["lookups"] == {"memory": 3, "private": 1}


async def test_metrics_are_what_prometheus_reads(host: Host) -> None:
    reply = await host.ask("GET", "/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(reply.body.decode())}
    assert families["bangeod_cache_entries"].samples[0].value == 2
    assert {sample.labels["job_id"] for sample in families["bangeod_job_runs"].samples} == set(JobId)
    assert families["bangeod_api_requests"].samples[0].value == 1
    assert all(family.documentation for family in families.values())


@pytest.mark.parametrize(("path", "module"), [("/metrics", "metrics"), ("/v1/openapi.json", "openapi")])
async def test_what_an_upgrade_has_taken_away_before_it_was_imported_is_said_to_need_a_restart(
    host: Host, monkeypatch: pytest.MonkeyPatch, path: str, module: str
) -> None:
    monkeypatch.delattr(f"bangeod.api.{module}", raising=False)
    monkeypatch.setitem(sys.modules, f"bangeod.api.{module}", None)
    reply = await host.ask("GET", path)
    assert (reply.status, reply.code) == (503, "not_installed")
    assert "systemctl restart bangeod" in reply.json["error"]["message"]
    monkeypatch.undo()
    assert (await host.ask("GET", path)).status == 200


async def test_metrics_have_base_units_and_no_name_twice(host: Host) -> None:
    text = (await host.ask("GET", "/metrics")).body.decode()
    names = re.findall(r"^# TYPE (\S+)", text, flags=re.MULTILINE)
    assert len(names) == len(set(names))
    assert not [name for name in names if name.endswith(("_ms", "_minutes", "_kib"))]


# --- the socket ---


async def test_the_socket_has_the_mode_that_was_asked_for_and_goes_at_the_end(tmp_path: Path) -> None:
    host = Host(tmp_path / "s")
    await host.open(0o606)
    assert stat.S_IMODE(host.path.lstat().st_mode) == 0o606
    await host.server.close()
    assert not host.path.exists()
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - an iterdir would block here just as well


async def test_a_request_that_is_being_worked_on_is_finished_at_the_end(tmp_path: Path) -> None:
    async with hosting(tmp_path / "s") as host:
        host.backend.gate.clear()
        asking = asyncio.create_task(host.ask("POST", "/v1/jobs/geo_cache_flush/run"))
        await until(lambda: bool(host.backend.runs))
        host.server._grace = 30
        closing = asyncio.create_task(host.server.close())
        await until(lambda: not host.path.exists())
        host.backend.gate.set()
        assert (await asking).status == 200
        await closing


async def test_what_each_source_says_comes_in_the_order_asked(host: Host) -> None:
    reply = await host.post("/v1/explain", {"ips": ["9.9.9.9", "8.8.8.8"]})
    assert [each["ip"] for each in reply.json["explanations"]] == ["9.9.9.9", "8.8.8.8"]


async def test_more_addresses_than_can_be_explained_are_refused(host: Host) -> None:
    reply = await host.post("/v1/explain", {"ips": ["8.8.8.8"] * 101})
    assert (reply.status, reply.code) == (422, "invalid_request")
