"""Deny by default: every route × everybody, every workspace, every forged token."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Annotated, Any

import jwt
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from hypothesis import given, settings
from hypothesis import strategies as st

from services.router.api import app as api_app
from services.router.api.access import Allow, Call, Everybody, allow
from services.router.api.auth import Authenticator, hash_key
from services.router.api.openapi import access_of, api_routes
from services.router.api.problems import Unauthorized
from shared.clock import SystemClock
from shared.contracts.commands import CreateKey, Input, RevokeKey
from shared.views.memory import MemoryViews
from shared.vocabulary import Role
from tests.unit.api.conftest import AUTH, SECRET, WORKSPACE, World, contact_doc, world
from tests.unit.api.standin import Outcome

A, S, P, G = Role.ADAPTER, Role.SUPERVISOR, Role.OPERATOR, Role.AGENT

# Written out, so that a changed role is a changed line here.
ALLOWED: dict[str, set[Role]] = {
    "POST /v1/messages": {A},
    "POST /v1/messages/{message}/status": {A},
    "POST /v1/contacts": {A, S},
    "POST /v1/outbound": {A, S, P},
    "GET /v1/outbound/{outbound}": {A, S, P},
    "GET /v1/contacts": {G, S},
    "GET /v1/contacts/{contact}": {G, S},
    "GET /v1/contacts/{contact}/history": {G, S},
    "GET /v1/contacts/{contact}/explain": {S, P},
    "GET /v1/contacts/{contact}/messages": {G, S},
    "POST /v1/contacts/{contact}/messages": {G},
    "POST /v1/contacts/{contact}/complete": {G, S},
    "POST /v1/contacts/{contact}/requeue": {G, S},
    "POST /v1/contacts/{contact}/cancel": {G, S},
    "POST /v1/contacts/{contact}/abandon": {A},
    "PUT /v1/agents/{agent}": {P},
    "GET /v1/agents": {P, S, G},
    "GET /v1/agents/{agent}": {P, S, G},
    "PUT /v1/agents/{agent}/presence": {G},
    "GET /v1/agents/{agent}/work": {G},
    "GET /v1/agents/{agent}/events": {G},
    "POST /v1/agents/{agent}/wrap-up": {G},
    "POST /v1/agents/{agent}/token": {P},
    "POST /v1/offers/{offer}/accept": {G},
    "POST /v1/offers/{offer}/reject": {G},
    "POST /v1/contacts/{contact}/assign": {S},
    "POST /v1/contacts/{contact}/transfer": {S, G},
    "POST /v1/contacts/{contact}/park": {S, G},
    "POST /v1/contacts/{contact}/resume": {S, G},
    "GET /v1/contacts/{contact}/consult": {S, G},
    "POST /v1/contacts/{contact}/consult": {S, G},
    "DELETE /v1/contacts/{contact}/consult/{agent}": {S, G},
    "POST /v1/contacts/{contact}/priority": {S},
    "POST /v1/contacts/{contact}/age": {S},
    "POST /v1/contacts/{contact}/reopen": {S, G},
    "PUT /v1/limits": {S},
    "POST /v1/queues/{queue}/freeze": {S, P},
    "POST /v1/queues/{queue}/unfreeze": {S, P},
    "POST /v1/agents/{agent}/drain": {S, P},
    "GET /v1/policy": {P},
    "PUT /v1/policy": {P},
    "GET /v1/policy/versions": {P},
    "GET /v1/policy/versions/{version}": {P},
    "POST /v1/policy/versions/{version}/adopt": {P},
    "GET /v1/channels": {P, A},
    "PUT /v1/channels/{channel}/health": {P, A},
    "GET /v1/queues": {S},
    "GET /v1/queues/{queue}": {S},
    "GET /v1/events": {A, P},
    "GET /v1/commands/{command}": {A, S, P, G},
    "GET /v1/replicas": {P},
    "GET /v1/keys": {P},
    "POST /v1/keys": {P},
    "DELETE /v1/keys/{key}": {P},
}
PUBLIC = {"GET /v1/status/{workspace}"}


def routes() -> Iterator[tuple[str, APIRoute]]:
    for route in api_routes(api_app.ROUTERS):
        for method in route.methods or ():
            yield f"{method} {route.path}", route


def test_every_route_says_who_may_call_it() -> None:
    named = {}
    public = set()
    for name, route in routes():
        access = access_of(route)
        if isinstance(access, Allow):
            named[name] = set(access.roles)
        else:
            assert isinstance(access, Everybody)
            public.add(name)
    assert named == ALLOWED
    assert public == PUBLIC


@pytest.mark.parametrize("caller", ["nobody", *Role])
async def test_every_route_refuses_whom_it_does_not_name(caller: str) -> None:
    async with world(wait_s=0.05) as api:
        headers = {}
        if caller != "nobody":
            headers = api.as_("ana" if caller == Role.AGENT else caller)
        for name, allowed in ALLOWED.items():
            if caller in allowed:
                continue
            method, path = name.split()
            concrete = path.replace("{agent}", "ana").replace("{contact}", "c-ana").replace("{version}", "1")
            answer = await api.client.request(method, concrete, headers=headers, content=b"{not even json")
            assert answer.status_code == (401 if caller == "nobody" else 403), name
            assert answer.headers["content-type"] == "application/problem+json"
        assert api.router.seen == []


async def forgotten() -> None: ...


async def twice(first: Annotated[Call, allow(Role.AGENT)], second: Annotated[Call, allow(Role.OPERATOR)]) -> None: ...


async def test_a_router_with_a_route_for_anybody_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as api:
        for endpoint in (forgotten, twice):
            router = APIRouter()
            router.get("/v1/careless")(endpoint)
            monkeypatch.setattr(api_app, "ROUTERS", (router,))
            with pytest.raises(RuntimeError, match="who may call it"):
                api_app.build_api(api.deps)


@pytest.mark.parametrize("path", ["/v1/contacts/c-ana", "/v1/contacts/c-ana/history", "/v1/contacts/c-ana/messages"])
async def test_another_workspaces_things_are_unknown(api: World, path: str) -> None:
    stranger = {"Authorization": f"Bearer {api.keys['stranger'].token}"}

    assert (await api.client.get(path, headers=api.as_("supervisor"))).status_code == 200
    assert (await api.client.get(path, headers=stranger)).status_code == 404
    cancelled = await api.client.post("/v1/contacts/c-ana/cancel", headers=stranger)
    assert cancelled.status_code == 404
    assert api.router.seen == []


async def test_an_agent_sees_only_what_is_theirs(api: World) -> None:
    listed = (await api.client.get("/v1/contacts", headers=api.as_("ben"))).json()["items"]
    assert [contact["id"] for contact in listed] == ["c-ben"]
    for path in ("/v1/contacts/c-ana", "/v1/contacts/c-waiting/messages", "/v1/agents/ana", "/v1/agents/ana/work"):
        assert (await api.client.get(path, headers=api.as_("ben"))).status_code == 404
    for path in ("/v1/contacts/c-ana/complete", "/v1/contacts/c-ana/cancel"):
        assert (await api.client.post(path, headers=api.as_("ben"))).status_code == 404
    presence = await api.client.put("/v1/agents/ana/presence", json={"presence": "away"}, headers=api.as_("ben"))
    assert presence.status_code == 404
    assert [agent["id"] for agent in (await api.client.get("/v1/agents", headers=api.as_("ben"))).json()["items"]] == [
        "ben"
    ]
    assert [record for record in api.router.seen if record.actor.id == "ben" and "Lease" not in repr(record)] == []


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    made = {"iss": AUTH.issuer, "aud": AUTH.audience, "sub": "ana", "ws": WORKSPACE, "role": "agent", "exp": now + 60}
    return {name: value for name, value in {**made, **changes}.items() if value is not None}


def signed(**changes: Any) -> str:
    return jwt.encode(claims(**changes), SECRET, algorithm="HS256")


def unsigned(algorithm: str) -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(claims())}."


FORGED = {
    "alg none": unsigned("none"),
    "alg NONE": unsigned("NONE"),
    "alg HS256 without signature": unsigned("HS256"),
    "wrong key": jwt.encode(claims(), "another secret that is long enough too", algorithm="HS256"),
    "other algorithm": jwt.encode(claims(), SECRET * 2, algorithm="HS512"),
    "expired": signed(exp=int(time.time()) - 60),
    "not yet": signed(nbf=int(time.time()) + 3600, exp=int(time.time()) + 7200),
    "wrong audience": signed(aud="somebody-else"),
    "wrong issuer": signed(iss="somebody-else"),
    "no audience": signed(aud=None),
    "no expiry": signed(exp=None),
    "no subject": signed(sub=None),
    "no workspace": signed(ws=None),
    "no role": signed(role=None),
    "unknown role": signed(role="root"),
    "workspace of a wrong type": signed(ws=["wallet"]),
    "empty subject": signed(sub=""),
    "endless expiry": signed(exp=1e400),
    "kid path": jwt.encode(claims(), "x" * 40, algorithm="HS256", headers={"kid": "../../../dev/null"}),
    "jku": jwt.encode(claims(), "x" * 40, algorithm="HS256", headers={"jku": "https://evil.example/keys"}),
    "too long": signed(padding="x" * 5000),
    "not a token": "abc",
    "three dots": "...",
    "surrogates": "\udcff.\udcff.\udcff".encode("utf-8", "surrogateescape").decode("latin-1"),
}


@pytest.mark.parametrize("why", FORGED)
async def test_forged_tokens_are_refused(why: str) -> None:
    guard = Authenticator(AUTH, MemoryViews(), SystemClock(), lambda _: 0)
    assert (await guard.authenticate(f"Bearer {signed()}", "::1")).id == "ana"

    with pytest.raises(Unauthorized):
        await guard.authenticate(f"Bearer {FORGED[why]}", "::1")


GENUINE = signed(exp=int(time.time()) + 3600)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(GENUINE) - 1), st.characters(codec="ascii"))
async def test_a_token_with_one_changed_character_is_refused(place: int, character: str) -> None:
    changed = GENUINE[:place] + character + GENUINE[place + 1 :]
    guard = Authenticator(AUTH, MemoryViews(), SystemClock(), lambda _: 0)
    try:
        caller = await guard.authenticate(f"Bearer {changed}", "::1")
    except Unauthorized:
        return
    # The last character of a base64 signature has bits that say nothing.
    assert caller.id == "ana"
    assert changed[:-1].strip() == GENUINE[:-1] or changed == GENUINE


async def test_forged_keys_are_refused(api: World) -> None:
    token = api.keys["operator"].token
    key_id = api.keys["operator"].key_id
    forged = [
        token[:-1] + ("A" if token[-1] != "A" else "B"),
        token.replace("wallet", "other"),
        f"sk_wallet.{key_id}.",
        f"sk_wallet.{key_id}.{hash_key(token)}",
        "sk_",
        "sk_..",
        f"sk_wallet.{key_id}",
        api.keys["adapter"].token.replace(api.keys["adapter"].key_id, key_id),
    ]
    for key in forged:
        answer = await api.client.get("/v1/keys", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 401, key
        assert answer.headers["www-authenticate"] == "Bearer"
    for header in ("", "Bearer", "Basic abc", token):
        assert (await api.client.get("/v1/keys", headers={"Authorization": header})).status_code == 401
    assert (await api.client.get("/v1/keys", headers=api.as_("operator"))).status_code == 200


async def test_guessing_is_slowed_and_locks_nobody_out(api: World) -> None:
    guesses = [
        (await api.client.get("/v1/keys", headers={"Authorization": f"Bearer sk_wallet.k.{n}"})) for n in range(40)
    ]

    statuses = [guess.status_code for guess in guesses]
    assert statuses[:20] == [401] * 20
    assert statuses[-1] == 429
    assert int(guesses[-1].headers["retry-after"]) >= 1
    assert (await api.client.get("/v1/keys", headers=api.as_("operator"))).status_code == 200


def revoked(record: Input) -> Outcome:
    assert isinstance(record.command, RevokeKey)
    return Outcome(docs=[("key", record.command.key_id, None)])


async def test_a_key_is_shown_once_works_and_can_be_revoked(api: World) -> None:
    def created(record: Any) -> Outcome:
        command = record.command
        data = {"key_id": command.key_id, "key_hash": command.key_hash, "role": command.role, "agent": command.agent}
        return Outcome(subject=command.key_id, docs=[("key", command.key_id, {**data, "label": command.label})])

    api.router.default = created
    api.router.scripts[RevokeKey] = revoked
    headers = {**api.as_("operator"), "Idempotency-Key": "one"}

    made = await api.client.post("/v1/keys", json={"role": "adapter", "label": "mail"}, headers=headers)
    again = await api.client.post("/v1/keys", json={"role": "adapter", "label": "mail"}, headers=headers)

    assert (made.status_code, again.status_code) == (201, 200)
    assert again.json()["key"] is None
    assert again.json()["key_id"] == made.json()["key_id"]
    key = {"Authorization": f"Bearer {made.json()['key']}"}
    (command,) = api.router.commands(CreateKey)
    assert command.key_hash == hash_key(made.json()["key"])
    assert made.json()["key"] not in repr(command)
    assert (await api.client.get("/v1/channels", headers=key)).status_code == 200
    listed = await api.client.get("/v1/keys", headers=api.as_("operator"))
    assert made.json()["key_id"] in [item["key_id"] for item in listed.json()["items"]]
    assert "key_hash" not in listed.text

    deleted = await api.client.delete(f"/v1/keys/{made.json()['key_id']}", headers=api.as_("operator"))

    assert deleted.json()["revoked"] is True
    assert (await api.client.get("/v1/channels", headers=key)).status_code == 401
    gone = await api.client.delete(f"/v1/keys/{made.json()['key_id']}", headers=api.as_("operator"))
    assert gone.status_code == 404


async def test_an_agents_key_is_that_agent(api: World) -> None:
    token = f"sk_{WORKSPACE}.kk.secret"
    data = {"key_id": "kk", "key_hash": hash_key(token), "role": "agent", "agent": "ana", "label": ""}
    await api.router.publish(WORKSPACE, [("key", "kk", data)])

    answer = await api.client.get("/v1/agents/ana/work", headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 200


async def test_a_key_needs_its_agent_named(api: World) -> None:
    for body in ({"role": "agent"}, {"role": "adapter", "agent": "ana"}):
        answer = await api.client.post("/v1/keys", json=body, headers=api.as_("operator"))
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "agent"


async def test_an_agents_token_signs_in_and_is_short_lived(api: World) -> None:
    made = await api.client.post("/v1/agents/ana/token", json={"ttl_s": 60}, headers=api.as_("operator"))
    too_long = await api.client.post("/v1/agents/ana/token", json={"ttl_s": 99_999}, headers=api.as_("operator"))
    nobody = await api.client.post("/v1/agents/zoe/token", headers=api.as_("operator"))

    assert made.status_code == 201
    headers = {"Authorization": f"Bearer {made.json()['token']}"}
    assert (await api.client.get("/v1/agents/ana", headers=headers)).status_code == 200
    assert (await api.client.get("/v1/agents/ben", headers=headers)).status_code == 404
    assert too_long.json()["errors"][0]["field"] == "ttl_s"
    assert nobody.json()["type"] == "/problems/unknown-agent"


async def test_internal_keys_stay_inside(api: World) -> None:
    await api.router.publish(
        WORKSPACE, [("contact", "c-x", contact_doc("c-x", offers=[{"id": "o", "agent": "b", "_n": 1}]))]
    )

    for path in ("/v1/contacts/c-x", "/v1/contacts", "/v1/contacts/c-x/history"):
        text = (await api.client.get(path, headers=api.as_("supervisor"))).text
        assert '"_' not in text


async def test_while_the_views_are_empty_nobody_is_turned_away_for_good(api: World) -> None:
    api.views.forget()

    for path in ("/v1/keys", "/v1/events"):
        answer = await api.client.get(path, headers=api.as_("operator"))
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/not-ready")
    work = await api.client.get("/v1/agents/ana/work", headers=api.as_("ana"))
    assert work.status_code == 503
    assert work.headers["retry-after"] == "1"
