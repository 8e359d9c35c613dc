"""Policies by name, made to measure for a day; or an operator's own, from a file.

A day's agents have proficiencies as values between 0 and 1, finer than the five levels that people declare. The engine
compares levels as whole numbers and knows no limit, so in the twin a level is a hundred times the value; what a policy
says in levels from 1 to 5 is put on that scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from services.router.api.policy_document import read_policy
from services.router.api.problems import InvalidPolicy, MalformedJson
from services.router.twin.day import Config, UnreadableDay
from shared.contracts.policy import Policy
from shared.vocabulary import ChannelKind

ACCOUNT: Final = "main"
FINE: Final = {1: 1, 2: 70, 3: 80, 4: 90, 5: 100}
"""What a level from 1 to 5 asks for at least, on the twin's scale; a level of 1 asks for nothing."""
VALUES: Final = {1: 0.6, 2: 0.7, 3: 0.8, 4: 0.9, 5: 1.0}
"""How fast somebody of a level is."""
MOST_AT_ONCE: Final = 20
"""A policy says no more about how agents slow down."""
RINGS: Final = ((95, 0.25), (85, 0.25), (1, None))
"""Of `bullseye`: the least level of each ring, and after which share of the target it opens to the next."""

Document = dict[str, Any]


def fine_level(value: float) -> int:
    """A proficiency as the engine's level."""
    return max(1, round(100 * value))


def slo(config: Config) -> Document:
    """By deadlines, as the engine does unless a policy says otherwise."""
    return _one_queue(config, {"contact_order": "slo", "strategy": "slo"})


def slo_strict(config: Config) -> Document:
    """The same, but oldest first among those who ask for the same, overdue or not."""
    document = slo(config)
    document["slo"]["strict"] = True
    return document


def fifo_longest_idle(config: Config) -> Document:
    """First come, first served, whatever the channel; to whoever has been idle longest."""
    return _one_queue(config, {"contact_order": "score", "priority_unit_s": 0})


def priority_longest_idle(config: Config) -> Document:
    """Channels with the shorter target first, among them customers with priority, then the longest waiting."""
    return _one_queue(config, {}, ranked=True)


def most_available(config: Config) -> Document:
    """As `priority_longest_idle`, but to whoever has most room."""
    return _one_queue(config, {"strategy": "most_available"}, ranked=True)


def round_robin(config: Config) -> Document:
    """As `priority_longest_idle`, but to everybody in turn."""
    return _one_queue(config, {"strategy": "round_robin"}, ranked=True)


def bullseye(config: Config) -> Document:
    """As `priority_longest_idle`, but at first only the most proficient are asked, later more, then all."""
    queues: list[Document] = []
    channels: list[Document] = []
    for rank, kind in enumerate(config.kinds):
        names = [f"{kind}_ring_{number}" for number in range(1, len(RINGS) + 1)]
        for number, (_, opens) in enumerate(RINGS):
            queue = _queue(names[number], config)
            if opens is not None:
                after = round(opens * config.sl_target_s[kind])
                queue["steps"] = [{"after_s": after, "move_to": names[number + 1]}]
            queues.append(queue)
        channels.append(_channel(kind, names[0], config, priority=_step_up(config, rank)))
    document = _validated(config, channels, queues)
    for queue in document["queues"]:
        queue["language_min"] = RINGS[int(queue["name"][-1]) - 1][0]
    return document


NAMED: Final[Mapping[str, Callable[[Config], Document]]] = {
    made.__name__: made
    for made in (fifo_longest_idle, priority_longest_idle, most_available, round_robin, bullseye, slo, slo_strict)
}
"""The policies that the twin knows by name. Each makes a document for `AdoptPolicy`, with levels on the fine scale."""


def policy_for(name: str, config: Config) -> Document:
    """The document of a named policy, or of the file of that name. Raises `UnreadableDay`."""
    if name in NAMED:
        return NAMED[name](config)
    path = Path(name)
    if path.suffix not in (".yaml", ".yml", ".json"):
        known = ", ".join(NAMED)
        raise UnreadableDay(f"there is no policy {name!r}: a file (.yaml, .json) or one of {known}")
    return from_file(path, config)


def from_file(path: Path, config: Config) -> Document:
    """An operator's own policy, fit for a day: every channel of the day must be one of its kinds, and offers are
    accepted at once, since nobody in the twin thinks about them. Raises `UnreadableDay`."""
    try:
        data = path.read_bytes()
        policy = read_policy(data, "application/json" if path.suffix == ".json" else "application/yaml")
    except OSError as error:
        raise UnreadableDay(f"{path}: {error.strerror}") from None
    except InvalidPolicy as refused:
        lines = [
            f"{path}:{each.get('line', 1)}: {each['field']}: {each['detail']}" for each in refused.members["errors"]
        ]
        raise UnreadableDay("\n".join(lines)) from None
    except MalformedJson as refused:
        raise UnreadableDay(f"{path}: {refused.detail}") from None
    kinds = {channel.kind for channel in policy.channels}
    for kind in config.kinds:
        if kind not in kinds:
            raise UnreadableDay(f"{path}: channels: the day has contacts on {kind!r}, and no channel is of that kind")
    return refined(policy.model_dump(mode="json"))


def refined(document: Document) -> Document:
    """A document in levels from 1 to 5, put on the fine scale and accepting offers at once."""
    for queue in document["queues"]:
        queue["auto_accept"] = True
        queue["language_min"] = FINE[queue["language_min"]]
        for key in ("skills", "default_skills"):
            queue[key] = {skill: FINE[level] for skill, level in queue.get(key, {}).items()}
        for step in queue.get("steps", ()):
            step["set_min"] = {skill: FINE[level] for skill, level in step["set_min"].items()}
    return _with_fine_values(document) if "slo" in document else document


def accounts_of(document: Document) -> dict[str, str]:
    """By kind of channel, the account that the day's contacts come in by: the first that the policy names."""
    accounts: dict[str, str] = {}
    for channel in document["channels"]:
        accounts.setdefault(channel["kind"], channel["account"])
    return accounts


def _one_queue(config: Config, rules: Document, *, ranked: bool = False) -> Document:
    channels = [
        _channel(kind, "all", config, priority=_step_up(config, rank) if ranked else 0)
        for rank, kind in enumerate(config.kinds)
    ]
    return _validated(config, channels, [{**_queue("all", config), **rules}])


def _step_up(config: Config, rank: int) -> int:
    """What a channel adds to priority, so that no customer's own outweighs it within the limits of a policy."""
    return (len(config.kinds) - 1 - rank) * (1000 // max(1, len(config.kinds) - 1))


def _queue(name: str, config: Config) -> Document:
    targets = {kind: round(seconds) for kind, seconds in config.sl_target_s.items() if kind in config.weight}
    plain = {"contact_order": "priority", "strategy": "longest_idle"}
    return {"name": name, "auto_accept": True, "target_s": targets, **plain}


def _channel(kind: str, queue: str, config: Config, *, priority: int) -> Document:
    """A channel whose contacts go on, when it is down, by those with a longer target."""
    later = config.kinds[config.kinds.index(kind) + 1 :][:5]
    fallback = [{"channel": other, "account": ACCOUNT} for other in later]
    return {"kind": kind, "account": ACCOUNT, "queue": queue, "priority": priority, "fallback": fallback}


def _validated(config: Config, channels: list[Document], queues: list[Document]) -> Document:
    own = sorted(set(config.kinds) - {kind.value for kind in ChannelKind})
    document = {
        "channels": channels,
        "queues": queues,
        "own_kinds": own,
        "keep_ended_s": 31 * 86_400,
        "slo": {"slowdown": [min(10.0, config.slowdown[k]) for k in sorted(config.slowdown)][:MOST_AT_ONCE]},
    }
    return _with_fine_values(Policy.model_validate(document).model_dump(mode="json"))


def _with_fine_values(document: Document) -> Document:
    """Levels are hundredths, so a level's value is told by itself."""
    document["slo"]["level_values"] = {str(level): level / 100 for level in range(1, 101)}
    return document
