"""The numbers of the contact order and strategy `slo`, as an operator writes them."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from shared.contracts.message import Strict
from shared.contracts.queue_policy import KindName

Target = Annotated[int, Field(ge=1, le=31 * 86_400)]
Cap = Annotated[float, Field(ge=1, le=100)]
Share = Annotated[float, Field(gt=0, le=1)]
TARGETS = {"chat": 60, "email": 14_400, "callback": 900}
CAPS = {"chat": 4.0, "email": 1.25}
VALUES = {"1": 0.6, "2": 0.7, "3": 0.8, "4": 0.9, "5": 1.0}


class Reserve(Strict):
    """Room kept free for customers who cannot wait, before work with long deadlines gets an agent."""

    channels: tuple[KindName, ...] = Field(("email",), description="The kinds of channel that can wait.")
    factor: Annotated[float, Field(ge=0, le=10)] = Field(
        1.5, description="Free slots in each of an agent's languages: so many times the root of its offered load."
    )
    until_share: Share = Field(0.7, description="The share of a contact's target after which nothing is kept from it.")


class Slo(Strict):
    """How the contact order and the strategy `slo` weigh deadlines, and how fast agents work."""

    overdue_weight: Annotated[float, Field(gt=0, le=1)] = Field(
        0.3,
        description="What a contact that missed its target is worth beside one that is about to. Below 1 fewer "
        "customers miss theirs, and those who did wait longer: watch the overdue counts and oldest ages.",
    )
    exponent: Annotated[float, Field(ge=0, le=50)] = Field(
        8, description="How much a freed agent prefers contacts that they serve well."
    )
    strict: bool = Field(default=False, description="Oldest first in each kind of demand, overdue or not.")
    priority_shortens: bool = Field(
        default=True, description="Priority 1 halves a contact's target, 2 makes it a third, -1 doubles it."
    )
    target_s: dict[KindName, Target] = Field(
        default_factory=lambda: dict(TARGETS), description="For queues that name no target for a kind of channel."
    )
    other_target_s: Target = Field(300, description="For kinds of channel without a target anywhere.")
    age_cap: dict[KindName, Cap] = Field(
        default_factory=lambda: dict(CAPS), description="Past so many targets a contact comes before all others."
    )
    other_age_cap: Cap = Field(3.0, description="The same for other kinds of channel.")
    reserve: Reserve | None = Field(default_factory=Reserve, description="None: nothing is kept free.")

    level_values: dict[Annotated[str, Field(pattern="^[1-5]$")], Share] = Field(
        default_factory=lambda: dict(VALUES), description="Of each level of a language or skill, beside the best."
    )
    slowdown: tuple[Annotated[float, Field(ge=1, le=10)], ...] = Field(
        (1.0, 1.25, 1.55),
        min_length=1,
        max_length=20,
        description="How much longer a contact takes when an agent has one, two, three … of them at a time.",
    )

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if list(self.slowdown) != sorted(self.slowdown):
            raise ValueError("slowdown: never less for one more contact")
        if len(self.level_values) != len(VALUES):
            raise ValueError("level_values: each of the levels 1 to 5")
        return self
