"""A scenario's rules: the policy of the file that it names, or the one that its setup describes."""

from __future__ import annotations

from typing import Any, Final

from services.router.scenarios import timeline
from services.router.scenarios.file import Scenario
from services.router.scenarios.names import GENERAL
from services.router.scenarios.setup import FlowSetup, MemberSetup, QueueSetup, Setup
from services.router.scenarios.vocabulary import UnreadableScenarios
from shared.contracts.policy import Policy
from shared.vocabulary import ChannelKind, Presence

ACCOUNT: Final = "main"
"""Of each kind of channel, where the scenario describes its rules itself."""


def policy_of(scenario: Scenario) -> Policy:
    """The policy that is played. Raises pydantic's ValidationError where the setup describes none that can be, and
    `UnreadableScenarios` for a presence that the file's policy does not know."""
    if scenario.setup.policy is None:
        return _described(scenario)
    for name in sorted(_presences_of(scenario) - scenario.setup.policy.presences.keys()):
        raise UnreadableScenarios(f"there is no presence {name!r} in the policy")
    return scenario.setup.policy


def _described(scenario: Scenario) -> Policy:
    setup, kinds = scenario.setup, _kinds_of(scenario)
    # A scenario of messages alone has no use for queues, but a policy has.
    queues = setup.queues or [QueueSetup(name=GENERAL)]
    document: dict[str, Any] = {
        "channels": [
            {"kind": kind, "account": ACCOUNT, "queue": queues[0].name, **_channel(setup, kind)}
            for kind in sorted(kinds)
        ],
        "own_kinds": sorted(kinds - {kind.value for kind in ChannelKind}),
        "queues": [_queue(queue, auto_accept=setup.auto_accept) for queue in queues],
        "flows": [_flow(flow) for flow in setup.workflows],
        "presences": dict.fromkeys(sorted(_presences_of(scenario)), ""),
        "max_per_agent": setup.limits.max_per_agent,
        "while_on_counts_parked": setup.while_on_counts_parked,
        "ramp": [step.model_dump() for step in setup.ramp],
        "slo": setup.slo.model_dump(mode="json"),
        "language_fallback": {
            code: [step.model_dump() for step in chain] for code, chain in setup.language_fallback.items()
        },
        "keep_ended_s": 31 * 86_400,
    }
    return Policy.model_validate(document)


def _channel(setup: Setup, kind: str) -> dict[str, Any]:
    return setup.channels[kind].model_dump() if kind in setup.channels else {}


def texts(attributes: dict[str, Any]) -> dict[str, str]:
    """Attributes are texts; a scenario may write numbers and truths."""
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in attributes.items()}


def _queue(queue: QueueSetup, *, auto_accept: bool) -> dict[str, Any]:
    document = queue.model_dump(mode="json", exclude={"required_skills", "languages"})
    document["default_skills"] = queue.required_skills
    document["default_language"] = queue.languages[0] if queue.languages else None
    document["auto_accept"] = auto_accept if queue.auto_accept is None else queue.auto_accept
    document["exclude"] = [texts(match) for match in queue.exclude]
    document["buckets"] = [{"match": texts(bucket.match), "order_attr": bucket.order_attr} for bucket in queue.buckets]
    return document


def _flow(flow: FlowSetup) -> dict[str, Any]:
    document = flow.model_dump(mode="json")
    for each, given in zip(document["filters"], flow.filters, strict=True):
        each["match"] = texts(given.match)
    return document


def _kinds_of(scenario: Scenario) -> set[str]:
    """Every kind of channel that the scenario speaks of."""
    kinds = {"chat", *scenario.setup.channels, *(seen.channel for seen in scenario.setup.waits)}
    kinds.update(kind for queue in scenario.setup.queues for kind in queue.channel_offer_timeout_s)
    for agent in scenario.setup.agents:
        kinds.update(agent.channels, agent.while_on, *agent.while_on.values())
        kinds.update(load.channel for load in agent.load)
        if agent.capacity is not None:
            kinds.update(agent.capacity.per_channel, agent.capacity.weights)
        for member in agent.queues:
            if isinstance(member, MemberSetup):
                kinds.update(member.channels, member.per_channel)
    for flow in scenario.setup.workflows:
        skips = [step.skip_if for each in flow.filters for step in each.steps]
        kinds.update(skip.channel_down for skip in skips if skip is not None and skip.channel_down is not None)
    for action in scenario.timeline:
        kinds.update(kind for name in ("channel", "to_channel") if (kind := getattr(action, name, None)) is not None)
        if isinstance(action, timeline.Send):
            kinds.update(step.channel for step in action.route)
        if isinstance(action, timeline.Arrive):
            kinds.update(way.channel for way in action.reach)
    return kinds


def _presences_of(scenario: Scenario) -> set[str]:
    names: set[str] = set()
    for queue in scenario.setup.queues:
        names.update(queue.accepts_presence)
        if queue.on_miss is not None:
            names.add(queue.on_miss.set_presence)
    names.update(agent.presence for agent in scenario.setup.agents)
    names.update(action.presence for action in scenario.timeline if isinstance(action, timeline.SetAgentPresence))
    return names - {presence.value for presence in Presence}
