"""The OpenAPI document, made from the table of routes and the types of the bodies (spec.openapis.org, 3.1)."""

from http import HTTPStatus
from typing import Any

import msgspec

from bangeod.api import status_document
from bangeod.api.messages import ErrorAnswer, Wait
from bangeod.api.pending_lookups import LOOKUP_SECONDS
from bangeod.api.routes import ROUTES, Route
from bangeod.jobs.job import JobId

Object = dict[str, Any]

# Not HTTP, a method that is not allowed, an expectation that can't be met, our own bug, no room for a connection.
_ALWAYS = (400, 405, 417, 500, 503)


def document(version: str) -> Object:
    types: list[type] = [ErrorAnswer]
    for route in ROUTES:
        types += [found for found in (route.answer, route.request) if isinstance(found, type)]
    wanted = list(dict.fromkeys(types))
    schemas, components = msgspec.json.schema_components(
        wanted, schema_hook=status_document.schema, ref_template="#/components/schemas/{name}"
    )
    by_type = dict(zip(wanted, schemas, strict=True))
    paths: Object = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "bangeod",
            "version": version,
            "description": "Where addresses are, and how the maintenance daemon of BanGUI stands. On a Unix socket.",
        },
        "servers": [{"url": "http://localhost", "description": "over the Unix socket of [api] socket"}],
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(route: Route, schemas: dict[type, Object]) -> Object:
    operation: Object = {
        "operationId": route.handler,
        "summary": route.summary,
        "responses": {"200": _answer(route, schemas)} | _errors(route, schemas),
    }
    parameters = [_parameter(route)] if route.parameter is not None else []
    if route.waits:
        parameters.append(_wait())
    if route.query is not None:
        parameters += _query(route.query)
    if parameters:
        operation["parameters"] = parameters
    if route.request is not None:
        content = {"application/json": {"schema": schemas[route.request]}}
        operation["requestBody"] = {"required": route.body_needed, "content": content}
    return operation


def _answer(route: Route, schemas: dict[type, Object]) -> Object:
    if route.answer is None:
        schema: Object = {"type": "string"}
    else:
        schema = schemas.get(route.answer, {"type": "object"})
    return {"description": "What was asked for.", "content": {route.answer_type: {"schema": schema}}}


def _errors(route: Route, schemas: dict[type, Object]) -> Object:
    content = {"application/json": {"schema": schemas[ErrorAnswer]}}
    return {
        str(status): {"description": f"{HTTPStatus(status).phrase}.", "content": content}
        for status in sorted({*route.errors, *_ALWAYS})
    }


def _parameter(route: Route) -> Object:
    name = route.path.partition("{")[2].partition("}")[0]
    schema: Object = {"type": "string", "minLength": 1}
    if name == "id":
        schema = {"type": "string", "enum": [str(job) for job in JobId]}
    return {"name": name, "in": "path", "required": True, "description": route.parameter, "schema": schema}


def _query(kind: type) -> list[Object]:
    schema = msgspec.json.schema(kind)
    properties = schema["$defs"][kind.__name__]["properties"]
    return [{"name": name, "in": "query", "schema": its_schema} for name, its_schema in properties.items()]


def _wait() -> Object:
    described = (
        "for how many seconds you wait: what no source has answered by then is unresolved in the answer, and is looked "
        f"up all the same; {LOOKUP_SECONDS:g} at most, which is also where nothing is said"
    )
    return {"name": "wait", "in": "query", "description": described, "schema": msgspec.json.schema(Wait)}
