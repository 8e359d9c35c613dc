"""Random profiles of agents, with every part of the capacity model."""

from __future__ import annotations

import random
from dataclasses import replace

from shared.contracts import commands as cmd
from shared.vocabulary import AgentId
from tests.simulation.policies import LANGUAGES, PROFILES, SKILLS


def random_profile(dice: random.Random, agent: str, queues: list[str], kinds: list[str]) -> cmd.PutAgent:
    """What an operator may say of an agent, over these queues and kinds of channel."""
    languages = {code: dice.randint(1, 5) if dice.random() < 0.4 else 5 for code in LANGUAGES if dice.random() < 0.85}
    if dice.random() < 0.2:
        languages["pt-BR"] = dice.randint(1, 5)
        items = list(languages.items())
        dice.shuffle(items)
        languages = dict(items)
    return cmd.PutAgent(
        agent=AgentId(agent),
        name=agent,
        languages=languages,
        skills={skill: dice.randint(1, 5) for skill in SKILLS if dice.random() < 0.8},
        queues=() if is_regular(agent) else tuple(queue for queue in queues if dice.random() < 0.7),
        channels=tuple(kind for kind in kinds if dice.random() < 0.8) if dice.random() < 0.3 else (),
        capacity_total=dice.choice((1000, 2000, 2000, 3000, 3000, 4500, 0, None)),
        capacity_per_channel={kind: dice.randint(0, 3) for kind in kinds if dice.random() < 0.2},
        capacity_weights={kind: dice.choice((500, 1000, 1500, 2000)) for kind in kinds if dice.random() < 0.4},
        capacity_parked=dice.choice((0, 0, 250, 1000)),
        memberships=tuple(_membership(dice, queue, kinds) for queue in queues if dice.random() < 0.5),
        position=dice.choice((0, 0, 1, 2)),
        max_contacts=dice.choice((None, None, None, 0, 2, 3)),
        profiles={profile: dice.randint(0, 2) for profile in PROFILES if dice.random() < 0.6},
        while_on={kind: tuple(dice.sample(kinds, 1)) for kind in kinds if dice.random() < 0.05},
        wrap_up=dice.choice((None, None, None, 0, 4_000)),
        reject_pause=dice.choice((0, 0, 0, 3_000)),
    )


def _membership(dice: random.Random, queue: str, kinds: list[str]) -> cmd.Membership:
    member = cmd.Membership(
        queue=queue,
        priority=dice.choice((1, 1, 2)),
        delay=dice.choice((0, 0, 0, 500, 3_000)),
        tier=dice.choice((1, 1, 1, 2, 3)),
        position=dice.choice((0, 0, 1, 2)),
        channels=tuple(dice.sample(kinds, 1)) if dice.random() < 0.1 else (),
    )
    # From dice of their own, so that everything else of a world is as it was without them.
    beside = random.Random(repr(member))
    if beside.random() < 0.7:
        return member
    kind, priority, delay = beside.choice(kinds), beside.choice((None, 1, 3)), beside.choice((None, 0, 2_000))
    return replace(member, per_channel=(cmd.ChannelTerms(channel=kind, priority=priority, delay=delay),))


def is_regular(agent: str) -> bool:
    """Regular agents serve every queue, whatever the operators do."""
    return int(agent.removeprefix("a")) % 3 != 2
