"""Creating a workspace: its place in the log, and its first keys, through the log like everything else."""

from __future__ import annotations

import asyncio
import re
from typing import Final

from services.router.api.auth import new_key
from shared.clock import new_id
from shared.contracts.commands import Actor, Command, CreateKey, CreateWorkspace, Input
from shared.log.codec import encode_input
from shared.process import Backends, ProcessSettings, open_backends, process_name
from shared.service import CannotStart
from shared.views.port import ViewsUnavailable
from shared.vocabulary import Role, Topic

PROVISIONER: Final = Actor(role=Role.OPERATOR, id="provisioning")
ANSWER_WITHIN_S: Final = 30.0
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


async def create_workspace(settings: ProcessSettings, name: str, title: str = "") -> dict[str, str]:
    """Create `name` if it is not there, with a new operator's and a new adapter's key:
    `{workspace, operator_key, adapter_key}`. The keys are shown once and stored as hashes.

    Asking again makes further keys. Raises `CannotStart` if no router answers in time or it is refused.
    """
    if not NAME.fullmatch(name):
        raise CannotStart(f"{name!r} cannot name a workspace: letters, digits, - and _, at most 64")
    if settings.log.startswith("sqlite:"):
        raise CannotStart("a workspace on SQLite is made by the process that owns the file; set LOG=kafka://…")
    async with open_backends(settings, process_name("provisioning")) as backends:
        await backends.place(name)
        await _submit(backends, name, CreateWorkspace(name=title or name))
        keys = {role: new_key(name) for role in (Role.OPERATOR, Role.ADAPTER)}
        for role, key in keys.items():
            create = CreateKey(key_id=key.key_id, key_hash=key.key_hash, role=role, label=f"first {role.value}")
            await _submit(backends, name, create)
    return {"workspace": name, "operator_key": keys[Role.OPERATOR].token, "adapter_key": keys[Role.ADAPTER].token}


async def _submit(backends: Backends, workspace: str, command: Command) -> None:
    command_id = new_id("x")
    record = Input(
        id=command_id,
        workspace=workspace,
        actor=PROVISIONER,
        received_at=backends.clock.now_ms(),
        command=command,
    )
    views = backends.views
    async with views.watch(workspace, "answer", command_id) as hints:
        await backends.log.inputs.append(Topic.COMMANDS, backends.partition_of(workspace), encode_input(record))
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                while (answer := await views.get(workspace, "answer", command_id)) is None:
                    await hints.wait(1.0)
        except (TimeoutError, ViewsUnavailable):
            raise CannotStart(f"{type(command).__name__} is durable, but no router has answered it yet") from None
    if answer.get("refused"):
        raise CannotStart(f"{type(command).__name__} was refused: {answer['refused']['reason']}")
