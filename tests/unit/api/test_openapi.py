"""The OpenAPI document and what the API answers are one: each answer is checked against the document's schema."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from bangeod.api.routes import ROUTES, Route
from tests.support.daemon.api_host import CACHED, Host, Reply, hosting

Object = dict[str, Any]
KINDS: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}


@pytest.fixture
async def host(tmp_path: Path) -> AsyncGenerator[Host, None]:
    async with hosting(tmp_path / "api.sock") as host:
        yield host


async def document(host: Host) -> Object:
    found: Object = (await host.ask("GET", "/v1/openapi.json")).json
    return found


def check(value: Any, schema: Object, root: Object, where: str = "$") -> None:
    """Hold a value against a schema; of JSON Schema what msgspec writes."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return check(value, root["components"]["schemas"][name], root, where)
    if "anyOf" in schema:
        assert any(_fits(value, option, root) for option in schema["anyOf"]), where
        return None
    if "enum" in schema:
        assert value in schema["enum"], f"{where}: {value}"
        return None
    kind = schema.get("type")
    if kind == "null":
        assert value is None, where
    elif kind is not None:
        assert isinstance(value, KINDS[kind]), f"{where}: {value!r} is no {kind}"
    if kind == "array":
        for number, item in enumerate(value):
            check(item, schema["items"], root, f"{where}[{number}]")
    if kind == "object":
        _check_object(value, schema, root, where)
    return None


def _check_object(value: Object, schema: Object, root: Object, where: str) -> None:
    properties = schema.get("properties")
    assert set(schema.get("required", ())) <= value.keys(), where
    if properties is None:
        return
    assert value.keys() <= properties.keys(), f"{where}: {value.keys() - properties.keys()} is not in the document"
    for name, item in value.items():
        check(item, properties[name], root, f"{where}.{name}")


def _fits(value: Any, schema: Object, root: Object) -> bool:
    try:
        check(value, schema, root)
    except AssertionError:
        return False
    return True


def check_reply(reply: Reply, operation: Object, root: Object) -> None:
    """Hold an answer against what the document says of its status."""
    content = operation["responses"][str(reply.status)]["content"]
    kind = reply.headers["content-type"].partition(";")[0]
    assert list(content) == [kind]
    if kind == "application/json":
        check(reply.json, content[kind]["schema"], root)


async def test_every_route_is_in_the_document_and_nothing_else(host: Host) -> None:
    root = await document(host)
    listed = {(method.upper(), path) for path, operations in root["paths"].items() for method in operations}
    assert listed == {(route.method, route.path) for route in ROUTES}
    assert root["openapi"].startswith("3.1")
    operations = [operation for operations in root["paths"].values() for operation in operations.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)


async def test_all_references_lead_somewhere(host: Host) -> None:
    root = await document(host)
    names = {part.partition('"')[0] for part in json.dumps(root).split("#/components/schemas/")[1:]}
    assert names <= root["components"]["schemas"].keys()


async def test_a_lookup_may_say_how_long_its_sender_waits(host: Host) -> None:
    paths = (await document(host))["paths"]
    operations = (paths["/v1/lookup"]["post"], paths["/v1/lookup/{ip}"]["get"])
    for wait in (operation["parameters"][-1] for operation in operations):
        assert (wait["name"], wait["in"], wait["schema"]) == ("wait", "query", {"type": "number", "minimum": 0})


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_what_a_route_answers_is_as_the_document_says(host: Host, route: Route) -> None:
    root = await document(host)
    path = route.path.replace("{ip}", CACHED).replace("{id}", "geo_cache_flush")
    body = json.dumps({"ips": [CACHED, "10.0.0.1"], "origin": True}).encode() if route.body_needed else None
    reply = await host.ask(route.method, path, body)
    assert reply.status == 200
    check_reply(reply, root["paths"][route.path][route.method.lower()], root)


@pytest.mark.parametrize(
    ("method", "path", "asked", "body"),
    [
        ("POST", "/v1/lookup", "/v1/lookup", b"{"),
        ("POST", "/v1/lookup", "/v1/lookup", b"{}"),
        ("POST", "/v1/lookup", "/v1/lookup", b" " * ((1 << 20) + 1)),
        ("POST", "/v1/jobs/{id}/run", "/v1/jobs/nothing/run", b""),
        ("POST", "/v1/jobs/{id}/run", "/v1/jobs/geo_cache_flush/run", b"[]"),
    ],
)
async def test_what_a_route_refuses_is_as_the_document_says(
    host: Host, method: str, path: str, asked: str, body: bytes
) -> None:
    root = await document(host)
    reply = await host.ask(method, asked, body)
    assert reply.status >= 400
    check_reply(reply, root["paths"][path][method.lower()], root)


async def test_a_daemon_in_trouble_is_as_the_document_says(host: Host) -> None:
    root = await document(host)
    host.backend.wrong = "the database is gone"
    check_reply(await host.ask("GET", "/healthz"), root["paths"]["/healthz"]["get"], root)
