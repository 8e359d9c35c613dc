"""`expect` of a scenario: what must be true, of whom, when. One that could not fail is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import BaseModel, Field, field_validator, model_validator

from services.router.scenarios.vocabulary import STRICT, Seconds

ContactWord = Literal["waiting", "offered", "assigned", "completed", "canceled", "refused", "scheduled"]
MessageWord = Literal["pending", "succeeded", "failed"]

FACTS: Final[Mapping[str, tuple[str, ...]]] = {
    "contact": (
        "state",
        "queue",
        "channel",
        "flow_filter",
        "offered_to",
        "not_offered_to",
        "assigned_to",
        "consulted",
        "position",
        "exhausted",
        "notices",
    ),
    "agent": ("presence", "open", "consulting"),
    "message": ("state", "attempts"),
    "op": ("refused",),
}
"""Of each subject what can be stated."""
STATES: Final[Mapping[str, tuple[str, ...]]] = {"contact": get_args(ContactWord), "message": get_args(MessageWord)}
NOTHING: Final = frozenset({"assigned_to", "position", "flow_filter"})
"""Facts that may be stated to be null: assigned to nobody, no place in the queue, no filter that matched."""


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
    flow_filter: str | None = None
    offered_to: list[str] | None = None
    assigned_to: str | None = None
    consulted: list[str] | None = None
    consulting: list[str] | None = None
    not_offered_to: list[str] | None = None
    position: Annotated[int, Field(ge=1)] | None = None
    exhausted: bool | None = None
    notices: list[str] | None = None
    presence: str | None = None
    open: Annotated[int, Field(ge=0)] | None = None
    refused: bool | None = None

    @field_validator("offered_to", "not_offered_to", "attempts", "notices", "consulted", "consulting", mode="before")
    @classmethod
    def _one_name_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _says_something_of_one_subject(self) -> Self:
        subjects = self.model_fields_set & FACTS.keys()
        if len(subjects) != 1:
            told = f", not {' and '.join(sorted(subjects))}" if subjects else ""
            raise ValueError(f"name one of {', '.join(FACTS)}{told}")
        (kind,) = subjects
        if not self.subject:
            raise ValueError(f"{kind}: names nothing")
        facts = self.facts
        if not facts:
            raise ValueError(f"{kind}: nothing is said of {self.subject!r}; name any of {', '.join(FACTS[kind])}")
        for name, value in facts.items():
            if name not in FACTS[kind]:
                raise ValueError(f"{name}: is no fact of {kind}; those are {', '.join(FACTS[kind])}")
            if value is None and name not in NOTHING:
                raise ValueError(f"{name}: null says nothing; leave it out")
        if "state" in facts and self.state not in STATES[kind]:
            raise ValueError(f"state: that of {kind} is one of {', '.join(STATES[kind])}")
        if self.not_offered_to == []:
            raise ValueError("not_offered_to: nobody always holds; `offered_to: []` says that nobody is being asked")
        return self

    @property
    def facts(self) -> dict[str, Any]:
        """What is stated, by name."""
        return self.model_dump(include=self.model_fields_set - FACTS.keys() - {"at"})

    @property
    def subject(self) -> str:
        """What it is about."""
        return self.contact or self.agent or self.message or self.op or ""
