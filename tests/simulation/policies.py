"""Small random policies, valid by the contract that operators' policies must satisfy."""

from __future__ import annotations

import random
from typing import Any

from shared.contracts.policy import Policy

KINDS = ("chat", "email", "telegram", "messenger")
LANGUAGES = ("en", "de", "pt")
SKILLS = ("billing", "cards")
PRESENCES = ("lunch", "training")


def random_policy(dice: random.Random, queues: list[str], channels: list[str]) -> dict[str, Any]:
    """A policy document over these queues and channels (`kind:account`), without circles of fallbacks."""
    order = list(channels)
    dice.shuffle(order)
    document = {
        "queues": [_queue(dice, name) for name in queues],
        "channels": [_channel(dice, name, order[order.index(name) + 1 :], queues) for name in channels],
        "presences": dict.fromkeys(PRESENCES, ""),
        "lease": {
            "grace_s": dice.choice((0, 2, 10, 30)),
            "on_lost": {kind: dice.choice(("keep", "requeue")) for kind in KINDS if dice.random() < 0.3},
        },
        "keep_ended_s": dice.choice((60, 120, 86_400)),
    }
    return Policy.model_validate(document).model_dump(mode="json")


def _queue(dice: random.Random, name: str) -> dict[str, Any]:
    queue: dict[str, Any] = {
        "name": name,
        "rank": dice.randint(1, 3),
        "language_min": dice.choice((1, 1, 1, 2, 3, 5)),
        "strategy": dice.choice(("longest_idle", "least_active", "best_skill")),
        "offer_timeout_s": dice.choice((5, 10, 30)),
        "retry_delay_s": dice.choice((0, 0, 2, 6)),
        "wrap_up_s": dice.choice((0, 0, 3, 10)),
        "decline": {"policy": dice.choice(("others_first", "others_first", "never"))},
        "on_miss": None,
    }
    if dice.random() < 0.3:
        queue["skills"] = {dice.choice(SKILLS): dice.randint(1, 2)}
    if dice.random() < 0.7:
        queue["on_miss"] = {
            "after_misses": dice.randint(1, 3),
            "set_presence": dice.choice(("away", "lunch", "offline")),
        }
    return queue


def _channel(dice: random.Random, name: str, behind: list[str], queues: list[str]) -> dict[str, Any]:
    kind, account = name.split(":")
    steps = [other for other in behind if dice.random() < 0.8][:3]
    return {
        "kind": kind,
        "account": account,
        "queue": dice.choice(queues),
        "language": dice.choice(("und", "en", "de")),
        "priority": dice.choice((0, 0, 5)),
        "fallback": [dict(zip(("channel", "account"), step.split(":"), strict=True)) for step in steps],
    }
