"""Agents: their profiles, presence and wrap-up, and the tokens they sign in with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Response

from services.router.api.access import Call, allow
from services.router.api.answers import json_answer, page, public
from services.router.api.auth import issue_token
from services.router.api.bodies import json_body
from services.router.api.contacts import Cursor, Limit
from services.router.api.problems import Invalid, UnknownAgent
from services.router.api.schemas import AgentIn, Member, PageOut, PendingOut, PresenceIn, TokenIn, WrapUpIn
from shared.contracts.commands import ChannelTerms, ExtendWrapUp, FinishWrapUp, Membership, PutAgent, SetPresence
from shared.contracts.message import Name
from shared.vocabulary import AgentId, ChannelKind, Presence, Role

router = APIRouter(tags=["agents"])


@router.put("/v1/agents/{agent}", responses={202: {"model": PendingOut}})
async def put_agent(
    agent: Name, call: Annotated[Call, allow(Role.OPERATOR)], body: Annotated[AgentIn, json_body(AgentIn)]
) -> Response:
    """Create an agent, or replace the whole profile."""
    capacity = body.capacity
    command = PutAgent(
        agent=AgentId(agent),
        name=body.name,
        languages=body.languages,
        skills=body.skills,
        queues=tuple(member if isinstance(member, str) else member.queue for member in body.queues),
        channels=body.channels,
        capacity_total=_thousandths(capacity.total) if capacity.total is not None else None,
        capacity_per_channel=capacity.per_channel,
        capacity_weights={kind: _thousandths(units) for kind, units in capacity.weights.items()},
        capacity_parked=_thousandths(capacity.parked),
        memberships=tuple(_membership(member) for member in body.queues if isinstance(member, Member)),
        position=body.position,
        max_contacts=capacity.max_contacts,
        profiles=capacity.profiles,
        while_on=body.while_on,
        wrap_up=body.wrap_up_s * 1000 if body.wrap_up_s is not None else None,
        reject_pause=body.reject_pause_s * 1000,
        attributes=body.attributes,
    )
    return await call.answered(await call.submit(command), "agent", agent)


@router.get("/v1/agents", responses={200: {"model": PageOut}})
async def list_agents(
    call: Annotated[Call, allow(Role.OPERATOR, Role.SUPERVISOR, Role.AGENT)], cursor: Cursor = "", limit: Limit = 100
) -> Response:
    """Agents in order of id; an agent sees only their own profile."""

    def visible(agent: Mapping[str, object]) -> bool:
        return not call.is_agent or agent["id"] == call.caller.id

    found = await call.views.list(call.workspace, "agent", after=cursor, limit=limit, where=visible)
    return page(found, limit=limit, id_of="id")


@router.get("/v1/agents/{agent}")
async def get_agent(agent: str, call: Annotated[Call, allow(Role.OPERATOR, Role.SUPERVISOR, Role.AGENT)]) -> Response:
    """An agent's profile, declared presence, capacity and load."""
    return json_answer(public(await call.find("agent", call.as_agent(agent), UnknownAgent)))


@router.put("/v1/agents/{agent}/presence", responses={202: {"model": PendingOut}})
async def set_presence(
    agent: str, call: Annotated[Call, allow(Role.AGENT)], body: Annotated[PresenceIn, json_body(PresenceIn)]
) -> Response:
    """Say whether you take work. Leaving `available` takes pending offers back and keeps assigned work."""
    own = call.as_agent(agent)
    await _refuse_unknown_kinds(call, body.channels)
    command = SetPresence(agent=own, presence=body.presence, next_presence=body.next, channels=body.channels)
    return await call.answered(await call.submit(command), "agent", agent)


@router.post("/v1/agents/{agent}/drain", responses={202: {"model": PendingOut}})
async def drain(agent: str, call: Annotated[Call, allow(Role.SUPERVISOR, Role.OPERATOR)]) -> Response:
    """Nothing new for this agent: pending offers end as they may, and with the last contact the agent is offline."""
    document = await call.find("agent", agent, UnknownAgent)
    command = SetPresence(
        agent=AgentId(agent), presence=str(document["presence"]), next_presence=Presence.OFFLINE.value
    )
    return await call.answered(await call.submit(command), "agent", agent)


@router.post("/v1/agents/{agent}/wrap-up", responses={202: {"model": PendingOut}})
async def wrap_up(
    agent: str, call: Annotated[Call, allow(Role.AGENT)], body: Annotated[WrapUpIn, json_body(WrapUpIn)]
) -> Response:
    """More time after a contact, or done with it."""
    own = call.as_agent(agent)
    if body.extend_s is not None:
        answer = await call.submit(ExtendWrapUp(agent=own, extend=body.extend_s * 1000))
    else:
        answer = await call.submit(FinishWrapUp(agent=own, code=body.code))
    return await call.answered(answer, "work", agent)


@router.post("/v1/agents/{agent}/token")
async def make_token(
    agent: str,
    call: Annotated[Call, allow(Role.OPERATOR)],
    body: Annotated[TokenIn, json_body(TokenIn, optional=True)],
) -> Response:
    """A short-lived token with which a desk signs in as this agent. It is not stored anywhere."""
    await call.find("agent", agent, UnknownAgent)
    auth = call.deps.auth
    if body.ttl_s is not None and body.ttl_s > auth.max_token_ttl_s:
        raise Invalid([{"field": "ttl_s", "detail": f"at most {auth.max_token_ttl_s}"}])
    token, expires_at = issue_token(
        auth,
        workspace=call.workspace,
        role=Role.AGENT,
        subject=agent,
        now_ms=call.deps.clock.now_ms(),
        ttl_s=body.ttl_s,
    )
    ends = datetime.fromtimestamp(expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json_answer({"agent": agent, "token": token, "expires_at": ends}, 201)


async def _refuse_unknown_kinds(call: Call, kinds: Iterable[str]) -> None:
    """Switches are kept for good, so there is none for a kind that neither we nor the policy know."""
    unknown = sorted(set(kinds) - {kind.value for kind in ChannelKind})
    if unknown:
        document = await call.views.get(call.workspace, "policy", "current")
        own_kinds = document["policy"].get("own_kinds", ()) if document is not None else ()
        errors = [
            {"field": f"channels.{kind}", "detail": f"there is no kind of channel {kind!r}"}
            for kind in unknown
            if kind not in own_kinds
        ]
        if errors:
            raise Invalid(errors)


def _membership(member: Member) -> Membership:
    return Membership(
        queue=member.queue,
        priority=member.priority,
        delay=member.delay_s * 1000,
        tier=member.tier,
        position=member.position,
        channels=member.channels,
        per_channel=tuple(
            ChannelTerms(
                channel=kind,
                priority=terms.priority,
                delay=terms.delay_s * 1000 if terms.delay_s is not None else None,
            )
            for kind, terms in sorted(member.per_channel.items())
        ),
    )


def _thousandths(units: float) -> int:
    return round(units * 1000)
