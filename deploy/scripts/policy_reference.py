"""Writes docs/policy.md out of the policy's model: every field, its type, default, bounds and meaning.

`python -m deploy.scripts.policy_reference` writes; a test compares. The introduction is written by hand, in
`policy_introduction.md` beside this file; what stands in the tables is the model's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_args

from shared.contracts.message import Strict
from shared.contracts.policy import (
    Channel,
    FallbackStep,
    Flow,
    FlowFilter,
    FlowStep,
    HealthRules,
    LanguageStep,
    Lease,
    Policy,
    RampStep,
    SkipIf,
)
from shared.contracts.queue_policy import (
    Bucket,
    BusinessHours,
    Decline,
    OnMiss,
    OrderBy,
    Overflow,
    OverflowWhen,
    Preferred,
    Queue,
    RateLimit,
    Step,
    Strategy,
    Weekday,
)
from shared.contracts.slo_policy import Reserve, Slo

FILE = Path(__file__).resolve().parents[2] / "docs" / "policy.md"
INTRODUCTION = Path(__file__).with_name("policy_introduction.md")

Schema = Mapping[str, Any]

MODELS: Final[tuple[tuple[str, type[Strict], str], ...]] = (
    ("The document", Policy, ""),
    ("Channel", Channel, "channels[]."),
    ("Fallback step", FallbackStep, "channels[].fallback[]."),
    ("Channel health", HealthRules, "channels[].health."),
    ("Queue", Queue, "queues[]."),
    ("Bucket", Bucket, "queues[].buckets[]."),
    ("Order by", OrderBy, "queues[].order_by[]."),
    ("Decline", Decline, "queues[].decline."),
    ("On miss", OnMiss, "queues[].on_miss."),
    ("Step", Step, "queues[].steps[]."),
    ("Preferred", Preferred, "queues[].preferred."),
    ("Rate limit", RateLimit, "queues[].rate_limit."),
    ("Overflow", Overflow, "queues[].overflow[]."),
    ("Overflow when", OverflowWhen, "queues[].overflow[].when."),
    ("Business hours", BusinessHours, "queues[].business_hours."),
    ("Flow", Flow, "flows[]."),
    ("Flow filter", FlowFilter, "flows[].filters[]."),
    ("Flow step", FlowStep, "flows[].filters[].steps[]."),
    ("Skip if", SkipIf, "flows[].filters[].steps[].skip_if."),
    ("Language step", LanguageStep, "language_fallback.*[]."),
    ("Slo", Slo, "slo."),
    ("Reserve", Reserve, "slo.reserve."),
    ("Ramp step", RampStep, "ramp[]."),
    ("Lease", Lease, "lease."),
)
"""Titles, models, and where in a document they stand."""

QUEUE_GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "Name and rank": ("name", "rank"),
    "Which contact is first": ("contact_order", "priority_unit_s", "buckets", "strict_priority", "starvation_s"),
    "Which agent gets it": ("strategy", "tie_break", "order_by"),
    "What an agent must know": (
        "skill_match",
        "skills",
        "default_skills",
        "preferred_skills",
        "excluded_skills",
        "language_min",
        "any_language_after_s",
        "default_language",
    ),
    "How it is offered": (
        "auto_assign",
        "auto_accept",
        "max_offers",
        "offer_timeout_s",
        "channel_offer_timeout_s",
        "retry_delay_s",
    ),
    "What an answer leads to": (
        "decline",
        "on_miss",
        "wrap_up_s",
        "wrap_up_scope",
        "wrap_up_holds",
        "parked_when_full",
    ),
    "Who is asked, and from when on": (
        "accepts_presence",
        "initial_tier",
        "skip_empty_tiers",
        "steps",
        "preferred",
    ),
    "Limits": (
        "max_per_agent",
        "rate_limit",
        "max_waiting",
        "require_staff",
        "max_wait_s",
        "max_wait_interrupts_offer",
        "max_age_s",
        "exclude",
    ),
    "Hours, overflow and targets": ("business_hours", "overflow", "target_s"),
}

_WORDS: Final[Mapping[str, str]] = {
    r"^[A-Za-z0-9][A-Za-z0-9._@+:-]*$": "name",
    r"^[a-z][a-z0-9_]*$": "kind of channel",
    r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$": "language tag",
    r"^([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)$": "span as `09:00-17:00`",
}
"""Patterns of texts that have a word of their own."""

_VOCABULARIES: Final[Mapping[tuple[str, ...], str]] = {
    get_args(Strategy): "[strategy](#strategies)",
    get_args(Weekday): "weekday (`mon` to `sun`)",
}
"""Sets of words that are told elsewhere on the page, or in fewer words."""


def page() -> str:
    """The whole page. Raises KeyError for a model or a field of the queue that has no place on it."""
    return "\n".join([INTRODUCTION.read_text(encoding="utf-8"), *(_section(*each) for each in MODELS)])


def main() -> None:
    FILE.write_text(page(), encoding="utf-8")


def _section(title: str, model: type[Strict], path: str) -> str:
    doc = " ".join((model.__doc__ or "").split())
    lines = [f"## {title}", "", doc, ""]
    if model is Queue:
        unplaced = model.model_fields.keys() - {name for names in QUEUE_GROUPS.values() for name in names}
        if unplaced:
            raise KeyError(f"QUEUE_GROUPS lacks {sorted(unplaced)}")
        for group, names in QUEUE_GROUPS.items():
            lines += [f"### {group}", "", *_table(model, path, names), ""]
    else:
        lines += [*_table(model, path, tuple(model.model_fields)), ""]
    return "\n".join(lines)


def _table(model: type[Strict], path: str, names: tuple[str, ...]) -> Iterator[str]:
    properties = model.model_json_schema()["properties"]
    yield "| field | type | default | bounds | meaning |"
    yield "|---|---|---|---|---|"
    for name in names:
        schema = properties[name]
        cells = (f"`{path}{name}`", type_of(schema), _default(model, name), bounds_of(schema))
        yield f"| {' | '.join(cells)} | {_meaning(model, name)} |"


def type_of(schema: Schema) -> str:
    """A JSON Schema's type in words. Raises KeyError for a model that is not on the page."""
    if "$ref" in schema:
        return _link(schema["$ref"].rsplit("/", 1)[-1])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_of(each) for each in schema["anyOf"]))
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return _VOCABULARIES.get(tuple(schema["enum"])) or " or ".join(f"`{value}`" for value in schema["enum"])
    match schema["type"]:
        case "null":
            return "nothing"
        case "boolean":
            return "true or false"
        case "integer":
            return "whole number"
        case "number":
            return "number"
        case "string":
            return "date" if schema.get("format") == "date" else _WORDS.get(schema.get("pattern", ""), "text")
        case "array":
            return f"list of {type_of(schema['items'])}"
        case "object":
            key, value = _entry(schema)
            return f"mapping of {type_of(key)} to {type_of(value)}"
    raise KeyError(f"no words for {schema}")


def _entry(schema: Schema) -> tuple[Schema, Schema]:
    """Schemas of a mapping's keys and values: pydantic writes a key's pattern in either of two ways."""
    for pattern, value in schema.get("patternProperties", {}).items():
        return {"type": "string", "pattern": pattern}, value
    return {"type": "string", **schema.get("propertyNames", {})}, schema["additionalProperties"]


def _link(model: str) -> str:
    titles = {each.__name__: title for title, each, _ in MODELS}
    title = titles[model]
    return f"[{title.lower()}](#{title.lower().replace(' ', '-')})"


def bounds_of(schema: Schema) -> str:
    """How much and how many: of the field, and of what it holds."""
    return ", ".join(dict.fromkeys(_bounds(schema)))


def _bounds(schema: Schema, of: str = "") -> Iterator[str]:
    for each in schema.get("anyOf", ()):
        yield from _bounds(each, of)
    match schema.get("type"):
        case "integer" | "number":
            if "maximum" in schema:
                least = schema.get("minimum")
                above = f"above {_figure(schema['exclusiveMinimum'])}" if least is None else _figure(least)
                yield f"{of}{above} to {_figure(schema['maximum'])}"
            elif "minimum" in schema:
                yield f"{of}at least {_figure(schema['minimum'])}"
        case "string":
            # A name's length is the same everywhere and stands in the introduction.
            if "maxLength" in schema and schema.get("pattern") not in _WORDS:
                yield f"{of}up to {schema['maxLength']} characters"
        case "array":
            yield from _count(schema.get("minItems", 0), schema.get("maxItems"))
            yield from _bounds(schema["items"], "each ")
        case "object":
            yield from _count(0, schema.get("maxProperties"))
            yield from _bounds(_entry(schema)[1], "each ")


def _figure(number: float) -> str:
    return f"{number:,}".replace(",", " ")


def _count(least: int, most: int | None) -> Iterator[str]:
    if most is not None:
        yield f"{least} to {most} entries" if least else f"up to {most} entries"


def _default(model: type[Strict], name: str) -> str:
    field = model.model_fields[name]
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return "nothing"
    if isinstance(value, Strict):
        return "its defaults"
    if value in ("", (), {}):
        return "empty"
    shown = list(value) if isinstance(value, tuple) else value
    return f"`{shown if isinstance(shown, str) else json.dumps(shown)}`"


def _meaning(model: type[Strict], name: str) -> str:
    description = model.model_fields[name].description
    if not description:
        raise KeyError(f"{model.__name__}.{name} has no description")
    return description.replace("|", "\\|")


if __name__ == "__main__":
    main()
