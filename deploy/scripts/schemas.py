"""Writes docs/contracts/*.schema.json: what enters and leaves the system, as JSON Schema (draft 2020-12).

`python -m deploy.scripts.schemas` writes; a test compares.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import msgspec

from shared.contracts.events import Event
from shared.contracts.message import InboundMessage
from shared.contracts.policy import Policy

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "contracts"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
EVENT_PREFIX = "switchdesk."


def schemas() -> dict[str, str]:
    """File names and their text."""
    documents = {
        "inbound-message": {"title": "A customer's message", **InboundMessage.model_json_schema()},
        "policy": {"title": "The policy of a workspace", **Policy.model_json_schema()},
        "event": _public_event(),
    }
    return {
        f"{name}.schema.json": json.dumps({"$schema": DIALECT, **schema}, indent=2, ensure_ascii=False) + "\n"
        for name, schema in documents.items()
    }


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in schemas().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def _public_event() -> dict[str, Any]:
    """One record of the public feed: CloudEvents 1.0 around an event's fields."""
    classes = get_args(Event)
    _, components = msgspec.json.schema_components(classes, ref_template="#/$defs/{name}")
    return {
        "title": "A public event",
        "type": "object",
        "required": ["specversion", "id", "source", "type", "time", "sequence", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string", "pattern": "^[0-9]+:[0-9]+:[0-9]+$", "description": "partition:seq:index"},
            "source": {"type": "string"},
            "type": {"enum": [EVENT_PREFIX + cls.__name__ for cls in classes]},
            "subject": {"type": ["string", "null"], "description": "The contact, else the agent."},
            "time": {"type": "string", "format": "date-time"},
            "sequence": {"type": "integer", "minimum": 1, "description": "Without a gap per workspace."},
            "datacontenttype": {"const": "application/json"},
            "data": {"type": "object"},
        },
        "oneOf": [
            {
                "properties": {
                    "type": {"const": EVENT_PREFIX + cls.__name__},
                    "data": {"$ref": f"#/$defs/{cls.__name__}"},
                }
            }
            for cls in classes
        ],
        "$defs": components,
    }


if __name__ == "__main__":
    main()
