"""The demo contact centre: the support desk of a payment wallet, set up through the log like any other.

Only what is missing is set up, so an operator's own changes outlive a restart. The command ids are fixed, so a restart
in the middle of it does nothing twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from services.embedded.keys import DemoSecrets, key_id_of
from services.router.api.auth import hash_key
from shared.clock import Clock
from shared.contracts.commands import Actor, AdoptPolicy, Command, CreateKey, CreateWorkspace, Input, PutAgent
from shared.contracts.policy import Policy
from shared.log.codec import encode_input
from shared.log.port import Inputs
from shared.service import CannotStart
from shared.views.port import Views
from shared.vocabulary import AgentId, Role, Topic

log = logging.getLogger(__name__)

WORKSPACE: Final = "wallet"
POLICY_FILE: Final = Path(__file__).resolve().parents[2] / "deploy" / "config" / "demo-policy.yaml"
CHAT_ACCOUNT: Final = "web"
MAIL_ADDRESS: Final = "support@wallet.example"
TELEGRAM_ACCOUNT: Final = "wallet_bot"
MESSENGER_ACCOUNT: Final = "wallet_page"
SUPERVISOR: Final = "supervisor-1"
SETUP: Final = Actor(role=Role.OPERATOR, id="setup")
ANSWER_WITHIN_S: Final = 30.0


def _agent(
    id: str, name: str, languages: Mapping[str, int], *, queues: tuple[str, ...] = (), **skills: int
) -> PutAgent:
    return PutAgent(
        agent=AgentId(id),
        name=name,
        languages=languages,
        skills=skills,
        queues=queues,
        capacity_total=3000,
        capacity_per_channel={"chat": 3, "email": 2},
    )


AGENTS: Final = (
    _agent("desk-jakarta-1", "Jakarta desk 1", {"id": 5, "en": 3}, payments=5, cards=3),
    _agent("desk-jakarta-2", "Jakarta desk 2", {"id": 5, "en": 4}, payments=3, cards=5, fraud=3),
    _agent("desk-london-1", "London desk 1", {"en": 5, "fr": 3}, payments=4, cards=5, fraud=5),
    _agent("desk-london-2", "London desk 2", {"en": 5}, queues=("general", "payments"), payments=4),
    _agent("desk-mumbai-1", "Mumbai desk 1", {"hi": 5, "en": 4}, payments=5, cards=4),
    _agent("desk-shanghai-1", "Shanghai desk 1", {"zh": 5, "en": 3}, payments=4, cards=4),
    _agent("desk-madrid-1", "Madrid desk 1", {"es": 5, "pt": 3, "en": 3}, payments=4, cards=3),
    _agent("desk-cairo-1", "Cairo desk 1", {"ar": 5, "en": 4, "fr": 4}, payments=3, cards=4),
)


def read_policy(file: Path = POLICY_FILE) -> Policy:
    """The demo's policy, validated as an operator's would be."""
    try:
        return Policy.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise CannotStart(f"the demo's policy {file.name} cannot be used: {error}") from None


class Demo:
    """Sets up the demo centre in a workspace."""

    def __init__(
        self, inputs: Inputs, views: Views, clock: Clock, keys: DemoSecrets, partition_of: Callable[[str], int]
    ) -> None:
        self._inputs = inputs
        self._views = views
        self._clock = clock
        self._keys = keys
        self._partition = partition_of(WORKSPACE)

    async def set_up(self) -> None:
        """Everything the demo needs is in force when this returns. The router must be leading already."""
        if await self._views.get(WORKSPACE, "workspace", "self") is None:
            await self._submit("workspace", CreateWorkspace(name="Wallet support"))
        for key, role in ((self._keys.operator_key, Role.OPERATOR), (self._keys.adapter_key, Role.ADAPTER)):
            key_id = key_id_of(key)
            if await self._views.get(WORKSPACE, "key", key_id) is None:
                create = CreateKey(key_id=key_id, key_hash=hash_key(key), role=role, label=f"demo {role.value}")
                await self._submit(f"key-{key_id}", create)
        if await self._views.get(WORKSPACE, "policy", "current") is None:
            await self._submit("policy", AdoptPolicy(policy=read_policy().model_dump(mode="json")))
        for agent in AGENTS:
            if await self._views.get(WORKSPACE, "agent", agent.agent) is None:
                await self._submit(f"agent-{agent.agent}", agent)

    async def _submit(self, name: str, command: Command) -> None:
        """Append one command and wait for its answer; a refusal stops the demo, because it would be half a centre."""
        command_id = f"seed-{name}"
        record = Input(
            id=command_id, workspace=WORKSPACE, actor=SETUP, received_at=self._clock.now_ms(), command=command
        )
        async with self._views.watch(WORKSPACE, "answer", command_id) as hints:
            await self._inputs.append(Topic.COMMANDS, self._partition, encode_input(record))
            answer = await self._answer(command_id, hints.wait)
        if answer.get("refused"):
            raise CannotStart(f"the demo centre could not be set up: {command_id}: {answer['refused'].get('reason')}")

    async def _answer(self, command_id: str, hint: Callable[[float], Any]) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                while (answer := await self._views.get(WORKSPACE, "answer", command_id)) is None:
                    await hint(1.0)
                return answer
        except TimeoutError:
            raise CannotStart(f"the demo centre could not be set up: {command_id} was not answered") from None
