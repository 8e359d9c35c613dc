"""What lies before second 0: how long agents had been idle, what they had done and what they held, how long waits were.

The API cannot say that. It is put into the state as it would have come about.
"""

from __future__ import annotations

from services.router.engine.records import UNIT
from services.router.engine.waits import HALF, MOST, USUAL_S, Line, line_name
from services.router.scenarios.actions import as_agent
from services.router.scenarios.centre import LONG_AGO_MS, NAME, Centre
from services.router.scenarios.setup import AgentSetup, CapacitySetup, MemberSetup, Setup, WaitsSetup
from services.router.scenarios.vocabulary import UnreadableScenarios
from shared.contracts import commands as cmd
from shared.contracts.opening import with_opening
from shared.vocabulary import AgentId, ContactId

SEEN = 10_000
"""So many waits were seen of a line whose `waits` a scenario tells."""


def begin(centre: Centre, setup: Setup) -> None:
    """Adopt the policy and have everybody there by second 0, idle for as long as they are to be."""
    centre.tick()
    centre.do(cmd.CreateWorkspace(name=NAME))
    centre.now = centre.start - LONG_AGO_MS
    places = {agent.name: place for place, agent in enumerate(setup.agents, start=1)}
    for agent in sorted(setup.agents, key=lambda agent: -agent.idle_s):
        if centre.workspace.policy_version == 0:
            centre.pass_to_ms(centre.start - round(agent.idle_s * 1000))
            _adopt(centre)
        centre.pass_to_ms(centre.start - round(agent.idle_s * 1000))
        _hire(centre, agent, places[agent.name])
    centre.pass_to_ms(centre.start)
    if centre.workspace.policy_version == 0:
        _adopt(centre)
    for agent in setup.agents:
        _load(centre, agent)
    for agent in setup.agents:
        _remember(centre, agent)
    for seen in setup.waits:
        centre.workspace.lines[line_name(seen.queue, seen.channel)] = _seen(seen, centre.now)


def _adopt(centre: Centre) -> None:
    document = centre.policy.model_dump(mode="json")
    decided = centre.do(cmd.AdoptPolicy(policy=with_opening(document, centre.start)))
    assert decided.answer is not None
    if decided.answer.refused is not None:
        raise UnreadableScenarios(f"setup: {decided.answer.refused[1]}")


def _hire(centre: Centre, agent: AgentSetup, position: int) -> None:
    capacity = agent.capacity or CapacitySetup(total=1)
    channels = tuple(agent.channels)
    if capacity.per_channel:
        channels = tuple(kind for kind in capacity.per_channel if not channels or kind in channels)
    members = [MemberSetup(queue=one) if isinstance(one, str) else one for one in agent.queues]
    _must_do(
        centre,
        agent.name,
        cmd.PutAgent(
            agent=AgentId(agent.name),
            name=agent.name,
            languages=agent.languages,
            skills=agent.skills,
            queues=tuple(member.queue for member in members),
            channels=channels,
            capacity_total=round(capacity.total * UNIT) if capacity.total is not None else None,
            capacity_per_channel=capacity.per_channel,
            capacity_weights={kind: round(weight * UNIT) for kind, weight in capacity.weights.items()},
            capacity_parked=round(capacity.parked * UNIT),
            memberships=tuple(
                cmd.Membership(
                    queue=member.queue,
                    priority=member.priority,
                    delay=round(member.delay_s * 1000),
                    tier=member.tier,
                    position=member.position,
                    channels=tuple(member.channels),
                    per_channel=tuple(
                        cmd.ChannelTerms(
                            channel=kind,
                            priority=terms.priority,
                            delay=round(terms.delay_s * 1000) if terms.delay_s is not None else None,
                        )
                        for kind, terms in sorted(member.per_channel.items())
                    ),
                )
                for member in members
            ),
            position=position,
            max_contacts=capacity.max_contacts or None,
            profiles=capacity.profiles,
            while_on={kind: tuple(allowed) for kind, allowed in agent.while_on.items()},
            wrap_up=round(agent.wrap_up_s * 1000) if agent.wrap_up_s is not None else None,
            reject_pause=round(agent.reject_pause_s * 1000),
            attributes=agent.attributes,
        ),
    )
    _must_do(centre, agent.name, cmd.SetPresence(agent=AgentId(agent.name), presence=agent.presence))


def _must_do(centre: Centre, agent: str, command: cmd.Command) -> None:
    """What an agent's setup means; a scenario whose agents are not as it says tells nothing."""
    answer = centre.do(command, as_agent(agent)).answer
    assert answer is not None
    if answer.refused is not None:
        raise UnreadableScenarios(f"setup: agent {agent!r}: {answer.refused[1] or answer.refused[0]}")


def _load(centre: Centre, agent: AgentSetup) -> None:
    """What the agent holds at the beginning. A scheduled contact is not routed, so it can be assigned by hand."""
    for load in agent.load:
        count = load.count if load.count is not None else len(load.ids) or 1
        for number in range(count):
            name = load.ids[number] if number < len(load.ids) else f"load-{agent.name}-{centre.entries}"
            made = centre.do(
                cmd.CreateContact(
                    source_key=name,
                    channel=load.channel,
                    account=centre.account(load.channel, None),
                    queue=load.queue,
                    scheduled_at=centre.now + LONG_AGO_MS,
                )
            )
            assert made.answer is not None
            if made.answer.refused is not None or made.answer.subject is None:
                raise UnreadableScenarios(f"setup: agent {agent.name!r}: load: {made.answer.refused}")
            centre.contacts[name] = ContactId(made.answer.subject)
            centre.do(cmd.AssignContact(contact=centre.contacts[name], agent=AgentId(agent.name)))


def _remember(centre: Centre, agent: AgentSetup) -> None:
    """What the agent had done before the beginning."""
    record = centre.workspace.agents[AgentId(agent.name)]
    last = agent.last_assigned_s
    times = last if isinstance(last, dict) else dict.fromkeys((queue.name for queue in centre.policy.queues), last)
    record.assigned_last = {queue: centre.start - round(ago * 1000) for queue, ago in times.items() if ago is not None}
    record.assigned_times = {}
    record.completed = agent.completed
    record.talk_time = round(agent.talk_time_s * 1000)
    centre.engine.world.indexes[NAME].sync_agent(record.id)


def _seen(waits: WaitsSetup, now: int) -> Line:
    """A line as so many waits have left it that its bounds are trusted, and what a scenario adds changes little."""
    busy = SEEN * waits.place_s
    return Line(
        at=now,
        busy=busy - USUAL_S,
        served=SEEN - 1,
        stood=busy,
        judged=SEEN,
        half=1.0,
        half_kept=HALF,
        most_kept=MOST,
    )
