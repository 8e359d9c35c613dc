"""Policy, channels, queues, status: what operators set and what the public may know."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
import yaml

from services.router.api.policy_document import differences, read_policy, write_yaml
from services.router.api.problems import InvalidPolicy
from shared.contracts.commands import AdoptPolicy, Input, ReportChannelHealth
from tests.unit.api.conftest import POLICY, WORKSPACE, World, contact_doc
from tests.unit.api.standin import Outcome, refuse

GOOD = """
channels:
  - {kind: chat, account: web, queue: billing, language: no}
queues:
  - name: billing
    offer_timeout_s: 20
"""


def adopted(record: Input) -> Outcome:
    assert isinstance(record.command, AdoptPolicy)
    return Outcome(docs=[("policy", "current", {"version": 2, "policy": record.command.policy})])


async def test_a_policy_is_adopted_and_read_back(api: World) -> None:
    api.router.scripts[AdoptPolicy] = adopted
    headers = {**api.as_("operator"), "Content-Type": "application/yaml"}

    put = await api.client.put("/v1/policy", content=GOOD, headers=headers)
    got = await api.client.get("/v1/policy", headers=api.as_("operator"))
    as_yaml = await api.client.get("/v1/policy", headers={**api.as_("operator"), "Accept": "application/yaml"})

    assert (put.status_code, put.json()["version"]) == (200, 2)
    assert got.json()["policy"] == put.json()["policy"]
    assert got.json()["policy"]["channels"][0]["language"] == "no"
    assert yaml.safe_load(as_yaml.text) == got.json()["policy"]
    again = await api.client.put("/v1/policy", content=as_yaml.content, headers=headers)
    assert again.status_code == 200


async def test_a_dry_run_tells_the_difference_and_changes_nothing(api: World) -> None:
    headers = {**api.as_("operator"), "Content-Type": "application/yaml"}

    answer = await api.client.put("/v1/policy?dry_run=true", content=GOOD, headers=headers)

    changes = {change["path"]: (change["from"], change["to"]) for change in answer.json()["changes"]}
    assert changes["queues.billing.offer_timeout_s"] == (30, 20)
    assert changes["channels.chat:web.fallback.0.channel"] == ("email", None)
    assert api.router.seen == []


@pytest.mark.parametrize(
    ("text", "field", "line"),
    [
        (GOOD.replace("offer_timeout_s", "offer_timeout"), "queues.0.offer_timeout", 6),
        (GOOD.replace("20", "'20'"), "queues.0.offer_timeout_s", 6),
        (GOOD.replace("queue: billing", "queue: biling"), "channels.0.queue", 3),
        (GOOD.replace("name: billing", "name: [billing"), "", 6),
        (GOOD + "    offer_timeout_s: 30\n", "", 7),
        ("channels: &a [1]\nqueues: *a\n", "", 2),
        ("", "", None),
        ("{" * 5000, "", 1),
        ("channels:\n  - 2020-01-01\n", "channels.0", 2),
        ("? [a]\n: b\n", "", 1),
        (GOOD.replace("20", ".nan"), "queues.0.offer_timeout_s", 6),
        ("%YAML 9\n---\n\x01", "", None),
    ],
)
async def test_a_bad_policy_is_blamed_by_line(api: World, text: str, field: str, line: int | None) -> None:
    headers = {**api.as_("operator"), "Content-Type": "application/yaml"}

    answer = await api.client.put("/v1/policy", content=text, headers=headers)

    assert answer.status_code == 422, answer.text
    assert answer.json()["type"] == "/problems/policy-invalid"
    error = answer.json()["errors"][0]
    assert error["field"] == field
    if line is not None:
        assert error["line"] == line
    assert api.router.seen == []


async def test_a_circle_of_fallbacks_is_refused(api: World) -> None:
    circle = {
        "channels": [
            {"kind": "chat", "account": "a", "queue": "q", "fallback": [{"channel": "email", "account": "b"}]},
            {"kind": "email", "account": "b", "queue": "q", "fallback": [{"channel": "chat", "account": "a"}]},
        ],
        "queues": [{"name": "q"}],
    }

    answer = await api.client.put("/v1/policy", json=circle, headers=api.as_("operator"))

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "channels"
    assert "chat:a -> email:b -> chat:a" in answer.json()["errors"][0]["detail"]


async def test_json_policies_have_lines_too(api: World) -> None:
    text = '{\n "channels": [],\n "queues": [{"name": "q", "rank": "one"}]\n}'
    headers = {**api.as_("operator"), "Content-Type": "application/json"}

    answer = await api.client.put("/v1/policy", content=text, headers=headers)

    lines = {error["field"]: error["line"] for error in answer.json()["errors"]}
    assert lines["channels"] == 2
    assert lines["queues.0.rank"] == 3


async def test_what_the_engine_refuses_of_a_policy_is_told(api: World) -> None:
    api.router.scripts[AdoptPolicy] = lambda record: refuse("policy_invalid", "queue 'x' still has contacts", "queues")

    answer = await api.client.put("/v1/policy", json=POLICY, headers=api.as_("operator"))

    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/policy-invalid")
    assert answer.json()["errors"] == [{"field": "queues", "detail": "queue 'x' still has contacts"}]


def test_a_large_policy_is_read_in_time() -> None:
    queues = "".join(f"  - name: q{n}\n    skills: {{a: 1, b: 2}}\n    wrap_up_s: 5\n" for n in range(500))
    text = f"channels:\n  - {{kind: chat, account: web, queue: q1}}\nqueues:\n{queues}" + "# pad\n" * 30_000
    began = time.process_time()
    read_policy(text.encode(), "application/yaml")
    with pytest.raises(InvalidPolicy):
        read_policy((text + "typo: 1\n").encode(), "application/yaml")
    assert time.process_time() - began < 3


def test_moving_a_queue_is_no_difference() -> None:
    queues: list[dict[str, Any]] = [{"name": "a", "rank": 1}, {"name": "b", "rank": 2}]
    old = {"queues": queues, "channels": [], "presences": {}}
    assert differences(old, {"queues": queues[::-1], "channels": ()}) == []
    assert write_yaml(old)


def test_what_changes_in_a_flow_is_told_by_its_name() -> None:
    def flow(name: str, queue: str) -> dict[str, Any]:
        return {"name": name, "default_queue": queue, "filters": []}

    old = {"flows": [flow("menu", "a"), flow("night", "a")]}

    assert differences(old, {"flows": [flow("night", "a"), flow("menu", "a")]}) == []
    assert differences(old, {"flows": [flow("new", "a"), flow("menu", "b"), flow("night", "a")]}) == [
        {"path": "flows.menu.default_queue", "from": "a", "to": "b"},
        {"path": "flows.new.default_queue", "from": None, "to": "a"},
        {"path": "flows.new.name", "from": None, "to": "new"},
    ]


async def test_channel_health(api: World) -> None:
    body = {"state": "down", "evidence": "probe failed 3 times"}

    answer = await api.client.put("/v1/channels/email:support/health", json=body, headers=api.as_("adapter"))
    unknown = await api.client.put("/v1/channels/email:nobody/health", json=body, headers=api.as_("adapter"))

    assert (answer.status_code, answer.json()["channel"]) == (200, "email:support")
    (command,) = api.router.commands(ReportChannelHealth)
    assert (command.channel, command.account, command.state) == ("email", "support", "down")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "/problems/unknown-channel")


async def test_queues_and_replicas(api: World) -> None:
    one = await api.client.get("/v1/queues/billing", headers=api.as_("supervisor"))
    all_ = await api.client.get("/v1/queues", headers=api.as_("supervisor"))
    none = await api.client.get("/v1/queues/x", headers=api.as_("supervisor"))
    replicas = await api.client.get("/v1/replicas", headers=api.as_("operator"))

    assert one.json() == all_.json()["items"][0]
    assert none.status_code == 404
    r1 = {"replica": "r1", "partition": 0, "leader": True, "seq": 7, "state_hash": "abc", "differs_in": []}
    assert replicas.json() == [r1]


async def test_the_status_page_needs_no_key_and_tells_no_evidence(api: World) -> None:
    answer = await api.client.get("/v1/status/wallet")
    unknown = await api.client.get("/v1/status/nowhere")

    assert answer.status_code == 200
    chat = next(channel for channel in answer.json()["channels"] if channel["kind"] == "chat")
    assert (chat["state"], chat["alternatives"]) == ("healthy", ["email:support"])
    assert "evidence" not in answer.text
    assert unknown.status_code == 404


async def test_wait_ranges_are_told_where_they_hold(api: World) -> None:
    said = {"usually_under_s": 300, "nearly_always_under_s": 600}
    queue = {"name": "billing", "waiting": 1, "wait_ranges": {"chat": said, "email": None}}
    await api.router.publish(WORKSPACE, [("queue", "billing", queue)])

    queues = await api.client.get("/v1/queues/billing", headers=api.as_("supervisor"))
    status = await api.client.get("/v1/status/wallet")

    assert queues.json()["wait_ranges"] == {"chat": said, "email": None}
    assert status.json()["queues"] == [{"queue": "billing", "wait_ranges": {"chat": said}}]


async def test_a_contact_is_told_what_remains_of_its_bounds_when_it_is_read(api: World) -> None:
    now = api.deps.clock.now_ms()
    promise = {"since": now - 200_000, "half": 280_000, "most": 900_000}
    told = contact_doc("c-told", wait_range=None, _promise=promise)
    untold = contact_doc("c-untold", wait_range=None, _promise=None)
    await api.router.publish(WORKSPACE, [("contact", "c-told", told), ("contact", "c-untold", untold)])

    one = await api.client.get("/v1/contacts/c-told", headers=api.as_("supervisor"))
    other = await api.client.get("/v1/contacts/c-untold", headers=api.as_("supervisor"))
    every = await api.client.get("/v1/contacts", headers=api.as_("supervisor"))

    said = {"usually_under_s": 120, "nearly_always_under_s": 900}
    assert one.json()["wait_range"] == said
    assert "_promise" not in one.json()
    assert other.json()["wait_range"] is None
    ranges = {contact["id"]: contact.get("wait_range") for contact in every.json()["items"]}
    assert (ranges["c-told"], ranges["c-untold"]) == (said, None)


async def test_the_openapi_document_describes_every_route_and_its_examples_run(api: World) -> None:
    document = (await api.client.get("/openapi.json")).json()
    assert (await api.client.get("/docs")).status_code == 404
    schemas = document["components"]["schemas"]
    ran = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["responses"]["default"]["content"]["application/problem+json"]
            if "security" in operation:
                assert operation["x-roles"]
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if content is None:
                continue
            schema = schemas[content["schema"]["$ref"].rsplit("/", 1)[1]]
            for example in schema.get("examples", ()):
                role = operation["x-roles"][0]
                who = "ana" if role == "agent" else role
                concrete = path.format(agent="ana", contact="c-ana", offer="o1", message="m1", channel="chat:web")
                answer = await api.client.request(method, concrete, json=example, headers=api.as_(who))
                assert answer.status_code in (200, 201), (path, answer.text)
                ran += 1
    assert ran >= 10
    _refs_resolve(document, document)


def _refs_resolve(node: Any, document: dict[str, Any]) -> None:
    if isinstance(node, dict):
        ref = node.get("$ref")
        if isinstance(ref, str):
            assert ref.rsplit("/", 1)[1] in document["components"]["schemas"], ref
        for inner in node.values():
            _refs_resolve(inner, document)
    elif isinstance(node, list):
        for inner in node:
            _refs_resolve(inner, document)


async def test_reading_a_policy_does_not_hold_up_others(api: World) -> None:
    headers = {**api.as_("operator"), "Content-Type": "application/yaml"}
    slow = asyncio.ensure_future(api.client.put("/v1/policy?dry_run=true", content=GOOD, headers=headers))
    assert (await api.client.get("/v1/status/wallet")).status_code == 200
    assert (await slow).status_code == 200
