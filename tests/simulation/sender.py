"""How everybody's requests reach the log: durable when sent, sometimes twice, sometimes repeated much later."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from shared.contracts import commands as cmd
from shared.log.codec import encode_input
from shared.log.port import LogUnavailable
from shared.vocabulary import Topic
from tests.simulation.faulty_log import FaultyInputs, Store, Weather
from tests.simulation.virtual_time import VirtualClock


class Sender:
    """Appends commands until they are acknowledged; what was acknowledged must be dealt with."""

    def __init__(self, store: Store, weather: Weather, clock: VirtualClock) -> None:
        self._inputs = FaultyInputs(store, weather)
        self._clock = clock
        self._dice = weather.dice
        self._numbers: dict[str, int] = {}
        self.acknowledged: dict[str, str] = {}
        self.sent: list[tuple[Topic, bytes]] = []

    def now_ms(self) -> int:
        """What the people's clock says."""
        return self._clock.now_ms()

    def fresh_id(self, prefix: str) -> str:
        number = self._numbers.get(prefix, 0)
        self._numbers[prefix] = number + 1
        return f"{prefix}-{number}"

    async def send(self, workspace: str, actor: cmd.Actor, command: cmd.Command, command_id: str = "") -> str:
        """Durable when it returns. Sometimes the caller did not hear that, and sends the same again."""
        if not command_id:
            command_id = self.fresh_id(f"k{actor.id}")
        record = cmd.Input(
            id=command_id,
            workspace=workspace,
            actor=actor,
            received_at=self._clock.now_ms(),
            command=command,
            digest="d" if self._dice.random() < 0.5 else "",
        )
        topic = Topic.INBOUND if isinstance(command, cmd.ReceiveMessage) else Topic.COMMANDS
        data = encode_input(record)
        await self.append(topic, data)
        self.acknowledged[command_id] = type(command).__name__
        self.sent.append((topic, data))
        if self._dice.random() < 0.05:
            await self.append(topic, data)
        return command_id

    async def append(self, topic: Topic, data: bytes) -> None:
        while True:
            with suppress(LogUnavailable):
                await self._inputs.append(topic, 0, data)
                return
            await asyncio.sleep(self._dice.expovariate(1.0))

    async def repeat_something(self) -> None:
        """An old request once more: word for word, or another one under its id."""
        if not self.sent:
            return
        topic, data = self._dice.choice(self.sent)
        if self._dice.random() < 0.3:
            data = data.replace(b'"digest":"d"', b'"digest":"other"')
        await self.append(topic, data)
