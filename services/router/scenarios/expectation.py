"""`expect` of a scenario: what must be true, of whom, when."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, field_validator

from services.router.scenarios.vocabulary import STRICT, Seconds

ContactWord = Literal["waiting", "offered", "assigned", "completed", "canceled", "refused", "scheduled"]
MessageWord = Literal["pending", "succeeded", "failed"]


class Expectation(BaseModel):
    """What must be true at a moment of one contact, agent or message, or of one action of the timeline."""

    model_config = STRICT

    at: Seconds
    contact: str | None = None
    agent: str | None = None
    message: str | None = None
    op: str | None = None
    state: ContactWord | MessageWord | None = None
    attempts: list[str] | None = None
    queue: str | None = None
    channel: str | None = None
    offered_to: list[str] | None = None
    assigned_to: str | None = None
    consulted: list[str] | None = None
    consulting: list[str] | None = None
    not_offered_to: list[str] | None = None
    position: int | None = None
    exhausted: bool | None = None
    notices: list[str] | None = None
    presence: str | None = None
    open: int | None = None
    refused: bool | None = None

    @field_validator("offered_to", "not_offered_to", "attempts", "notices", "consulted", "consulting", mode="before")
    @classmethod
    def _one_name_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @property
    def subject(self) -> str:
        """What it is about."""
        return self.contact or self.agent or self.message or self.op or ""
