"""The OpenAPI document: FastAPI knows paths and queries; bodies, roles and problems are read from the dependencies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from services.router.api.access import Allow, Everybody
from services.router.api.bodies import JsonBody
from services.router.api.policy import YAML_TYPES
from services.router.api.schemas import ProblemOut
from shared.contracts.policy import Policy

_REF = "#/components/schemas/{model}"
_MIN_SEQ = {
    "name": "min_seq",
    "in": "query",
    "required": False,
    "schema": {"type": "integer", "minimum": 0},
    "description": "Wait until the views have reached this journal sequence (also as `X-Min-Seq`).",
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "The same key is the same request, however often it is sent.",
}
_WAIT = {
    "name": "wait",
    "in": "query",
    "required": False,
    "schema": {"type": "number", "minimum": 0, "maximum": 25},
    "description": "Seconds to wait for the decision before `202`.",
}


def api_routes(routers: Sequence[APIRouter]) -> Iterator[APIRoute]:
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute):
                yield route


def access_of(route: APIRoute) -> Allow | Everybody | None:
    """The one dependency that says who may call the route; None if it names none, or more than one."""
    found = [each.call for each in route.dependant.dependencies if isinstance(each.call, Allow | Everybody)]
    return found[0] if len(found) == 1 else None


def _method(route: APIRoute) -> str:
    """Every route of ours takes exactly one method."""
    methods = sorted(route.methods or ())
    assert len(methods) == 1, f"{route.path} takes {methods}"
    return methods[0]


def body_of(route: APIRoute) -> JsonBody[Any] | None:
    return next((each.call for each in route.dependant.dependencies if isinstance(each.call, JsonBody)), None)


def install(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    """Replace `app.openapi` by one that knows our dependencies."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, routers)
        return app.openapi_schema

    # FastAPI documents exactly this way of extending the document.
    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI, routers: Sequence[APIRouter]) -> dict[str, Any]:
    made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = made.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    models: dict[str, type[BaseModel]] = {ProblemOut.__name__: ProblemOut, Policy.__name__: Policy}
    for route in api_routes(routers):
        operation = made["paths"][route.path_format][_method(route).lower()]
        body = body_of(route)
        if body is not None:
            models[body.model.__name__] = body.model
        _describe(operation, route, body)
    _, definitions = models_json_schema([(model, "validation") for model in models.values()], ref_template=_REF)
    schemas.update(definitions["$defs"])
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key (`sk_…`) or a JWT."}
    }
    return made


def _describe(operation: dict[str, Any], route: APIRoute, body: JsonBody[Any] | None) -> None:
    access = access_of(route)
    if isinstance(access, Allow):
        operation["security"] = [{"bearer": []}]
        operation["x-roles"] = sorted(access.roles)
    is_read = _method(route) == "GET"
    operation.setdefault("parameters", []).extend([_MIN_SEQ] if is_read else [_KEY, _WAIT])
    if body is not None:
        schema = {"$ref": _REF.format(model=body.model.__name__)}
        operation["requestBody"] = {"required": not body.optional, "content": {"application/json": {"schema": schema}}}
    if route.path_format == "/v1/policy" and not is_read:
        schema = {"$ref": _REF.format(model=Policy.__name__)}
        kinds = ("application/json", *YAML_TYPES)
        operation["requestBody"] = {"required": True, "content": {kind: {"schema": schema} for kind in kinds}}
    responses = operation.setdefault("responses", {})
    responses.pop("422", None)
    responses["default"] = {
        "description": "A problem",
        "content": {"application/problem+json": {"schema": {"$ref": _REF.format(model=ProblemOut.__name__)}}},
    }
