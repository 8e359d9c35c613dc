"""Wires the API: one FastAPI application out of what it is given."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, FastAPI, Request, Response

from services.router.api import (
    agents,
    channels,
    commands,
    consult,
    contacts,
    explain,
    feed,
    keys,
    messages,
    offers,
    openapi,
    outbound,
    policy,
    policy_versions,
    problems,
    queues,
    supervision,
    transcripts,
    work,
)
from services.router.api.access import Runtime, Undecided
from services.router.api.auth import Authenticator
from services.router.api.bodies import BodyLimit
from services.router.api.deps import ApiDeps, Limits
from services.router.api.gateway import CommandGateway
from services.router.api.streams import StreamBook
from shared.http_metrics import HttpMetrics

__all__ = ["ROUTERS", "ApiDeps", "Limits", "build_api"]

# Routes are matched in order: those that carry the load come first.
ROUTERS: Final[tuple[APIRouter, ...]] = (
    messages.router,
    offers.router,
    work.router,
    contacts.router,
    supervision.router,
    consult.router,
    transcripts.router,
    explain.router,
    agents.router,
    queues.router,
    channels.router,
    outbound.router,
    policy.router,
    policy_versions.router,
    feed.router,
    commands.router,
    keys.router,
)


def build_api(deps: ApiDeps) -> FastAPI:
    """The API as an ASGI application. Raises `RuntimeError` if a route does not say who may call it.

    Other routers (chat, webhooks, pages) may be included in what is returned; they share its limits and problems.
    """
    app = FastAPI(
        title="Switchdesk",
        version="1",
        description="Routes customers' contacts to the right agents. Errors are RFC 9457 problems.",
        docs_url="/docs" if deps.docs else None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
    )
    app.state.api = Runtime(
        deps=deps,
        auth=Authenticator(deps.auth, deps.views, deps.clock, deps.partition_of),
        gateway=CommandGateway(deps.log.inputs, deps.views, deps.clock, deps.partition_of),
        streams=StreamBook(most=deps.limits.streams, most_per_caller=deps.limits.streams_per_caller),
    )
    for route in openapi.api_routes(ROUTERS):
        if openapi.access_of(route) is None:
            raise RuntimeError(f"{route.path} does not say, exactly once, who may call it")
    for router in ROUTERS:
        app.include_router(router)
    problems.install(app)
    app.add_exception_handler(Undecided, _pending)
    openapi.install(app, ROUTERS)
    # Added last is outermost: what the limit refuses is counted too.
    app.add_middleware(
        BodyLimit,
        limit=deps.limits.body_bytes,
        read_s=deps.limits.body_read_s,
        by_prefix={"/v1/policy": deps.limits.policy_bytes, "/webhooks/": deps.limits.webhook_bytes},
    )
    app.add_middleware(HttpMetrics, metrics=deps.metrics.process)
    return app


async def _pending(_: Request, undecided: Exception) -> Response:
    assert isinstance(undecided, Undecided)
    return undecided.response()
