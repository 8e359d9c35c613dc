"""The contact centre that a run plays in: its policy, its agents, and the credentials of everybody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import httpx

from tests.faults.outputs import Access

AGENTS: Final = 18
REPORTS: Final = 2
"""Reports of an adapter that a channel is down, until it counts."""
WARDEN: Final = "agent-00"
"""An agent who never works: their presence marks the end of the feed."""

_EMAIL: Final = "support@shop.example"
_HEALTH: Final = {"down_after": REPORTS, "within_s": 60, "up_after_s": 1}

POLICY: Final[dict[str, Any]] = {
    "description": "The fault suite's",
    "channels": [
        {
            "kind": "telegram",
            "account": "bot",
            "health": _HEALTH,
            "queue": "money",
            "language": "en",
            "fallback": [{"channel": "messenger", "account": "page"}, {"channel": "email", "account": _EMAIL}],
        },
        {
            "kind": "messenger",
            "account": "page",
            "health": _HEALTH,
            "queue": "cards",
            "language": "en",
            "fallback": [{"channel": "email", "account": _EMAIL}],
        },
        {"kind": "email", "account": _EMAIL, "queue": "post", "language": "en"},
        {"kind": "chat", "account": "web", "queue": "money", "language": "en"},
    ],
    "queues": [
        {
            "name": "money",
            "rank": 1,
            "contact_order": "slo",
            "target_s": {"telegram": 20, "messenger": 20, "email": 8},
            "offer_timeout_s": 5,
            "language_min": 2,
            "on_miss": None,
            "decline": {"policy": "others_first", "max": 3},
            "initial_tier": 1,
            "skip_empty_tiers": True,
            "steps": [{"after_s": 10, "open_tier": 2}, {"after_s": 20, "set_priority": 3}],
        },
        {
            "name": "cards",
            "rank": 1,
            "offer_timeout_s": 6,
            "contact_order": "priority",
            "strategy": "best_skill",
            "retry_delay_s": 1,
            "max_offers": 2,
            "decline": {"policy": "after_s", "after_s": 3},
            "rate_limit": {"max": 6, "window_s": 5},
        },
        {
            "name": "post",
            "rank": 2,
            "contact_order": "score",
            "strategy": "least_active",
            "auto_accept": True,
            "wrap_up_s": 1,
            "wrap_up_scope": "queue",
            "max_per_agent": 2,
            "overflow": [{"when": {"wait_exceeds_s": 5}, "action": "move_to", "queue": "money"}],
        },
    ],
    "language_fallback": {"id": [{"language": "en", "after_s": 15}]},
    "lease": {"lease_s": 8, "grace_s": 6, "on_lost": {"email": "keep"}},
}
QUEUES: Final = tuple(queue["name"] for queue in POLICY["queues"])


@dataclass(frozen=True, slots=True)
class Staff:
    """Tokens by agent, and the keys of the other roles."""

    access: Access
    adapter_key: str
    tokens: dict[str, str]


async def hire(base: str, operator_key: str, adapter_key: str, agents: int = AGENTS) -> Staff:
    """Adopt the policy and make the agents. Raises AssertionError with the answer if the API refuses."""
    headers = {"Authorization": f"Bearer {operator_key}"}
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=30) as http:
        await _ask(http, "PUT", "/v1/policy", POLICY)
        tokens = {}
        for number in range(agents + 1):
            agent = f"agent-{number:02}"
            await _ask(http, "PUT", f"/v1/agents/{agent}", _profile(number))
            made = await _ask(http, "POST", f"/v1/agents/{agent}/token", {"ttl_s": 43_200})
            tokens[agent] = made["token"]
        supervisor = await _ask(http, "POST", "/v1/keys", {"role": "supervisor", "label": "the checker's"})
    warden = tokens.pop(WARDEN)
    access = Access(
        base=base,
        operator_key=operator_key,
        supervisor_key=supervisor["key"],
        agent=WARDEN,
        agent_token=warden,
    )
    return Staff(access, adapter_key, tokens)


def _profile(number: int) -> dict[str, Any]:
    """Several capability classes, with tiers, a delay and priorities of their own; whatever the customers write, a
    third of the agents and more can answer."""
    languages = ({"en": 5, "id": 3}, {"id": 5, "en": 2}, {"en": 4, "id": 4})[number % 3]
    return {
        "name": f"Agent {number}",
        "languages": languages,
        "queues": [
            {"queue": "money", "tier": 2 if number % 4 == 3 else 1},
            {"queue": "cards", "delay_s": 1 if number % 5 == 4 else 0, "priority": 1 + number % 2},
            {"queue": "post"},
        ],
        "capacity": {"total": 3, "per_channel": {"email": 2}, "weights": {"messenger": 1.5}, "max_contacts": 3},
    }


async def _ask(http: httpx.AsyncClient, method: str, path: str, body: Any) -> dict[str, Any]:
    answer = await http.request(method, path, json=body)
    assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
    told: dict[str, Any] = answer.json()
    return told
