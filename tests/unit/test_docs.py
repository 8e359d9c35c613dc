"""The pages agree with the code: generated ones are current, links lead somewhere, what is named exists."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import jsonschema
import pytest
import yaml

from deploy.scripts import configuration, policy_reference, schemas
from shared.contracts.message import InboundMessage
from shared.contracts.policy import Policy
from shared.contracts.queue_policy import Strategy

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")])
SOURCES = sorted(
    file for folder in ("services", "shared", "deploy", "tests") for file in (REPOSITORY / folder).rglob("*.py")
)


def test_the_configuration_page_is_current() -> None:
    assert configuration.FILE.read_text() == configuration.page(), "run `make docs`"


def test_the_policy_page_is_current() -> None:
    assert policy_reference.FILE.read_text() == policy_reference.page(), "run `make docs`"


def test_the_policy_page_explains_every_strategy() -> None:
    text = policy_reference.INTRODUCTION.read_text()
    assert [name for name in get_args(Strategy) if f"| `{name}` |" not in text] == []


def test_the_schemas_are_current() -> None:
    lying = {file.name: file.read_text() for file in schemas.FOLDER.glob("*.json")}
    assert lying == schemas.schemas(), "run `make docs`"


@pytest.mark.parametrize("file", sorted(schemas.FOLDER.glob("*.json")), ids=lambda file: file.name)
def test_a_schema_is_a_schema(file: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(file.read_text()))


def test_a_schema_accepts_what_the_code_accepts() -> None:
    def validator(name: str) -> jsonschema.Draft202012Validator:
        return jsonschema.Draft202012Validator(json.loads((schemas.FOLDER / f"{name}.schema.json").read_text()))

    message = {"source_key": "k1", "channel": "chat", "sender": {"id": "s1"}, "text": "Halo"}
    policy = yaml.safe_load((REPOSITORY / "deploy" / "config" / "demo-policy.yaml").read_text())
    validator("inbound-message").validate(InboundMessage.model_validate(message).model_dump(mode="json"))
    validator("policy").validate(Policy.model_validate(policy).model_dump(mode="json"))
    event = {
        "specversion": "1.0",
        "id": "0:7:0",
        "source": "/router/0/wallet",
        "type": "switchdesk.OfferAccepted",
        "subject": "c1",
        "time": "2026-01-01T00:00:00Z",
        "sequence": 3,
        "datacontenttype": "application/json",
        "data": {"offer": "o1", "contact": "c1", "agent": "a1"},
    }
    validator("event").validate(event)
    with pytest.raises(jsonschema.ValidationError):
        validator("event").validate({**event, "data": {"offer": "o1"}})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_files_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(r"`((?:services|shared|deploy|tests|web|docs)/[\w./-]+?\.\w+)`", page.read_text())
    missing = [name for name in named if not (REPOSITORY / name).exists()]
    assert not missing


def test_pages_that_the_code_names_exist() -> None:
    for file in SOURCES:
        for name in re.findall(r"docs/[\w/-]+\.(?:md|json)", file.read_text()):
            assert (REPOSITORY / name).exists(), f"{file.relative_to(REPOSITORY)} names {name}"


def test_the_first_policy_of_the_readme_is_one() -> None:
    text = (REPOSITORY / "README.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert Policy.model_validate(yaml.safe_load(block)).queues[0].name == "help"


def test_every_dependency_has_its_line_of_reason() -> None:
    project = (REPOSITORY / "pyproject.toml").read_text()
    (block,) = re.findall(r"^dependencies = \[(.*?)^\]", project, re.DOTALL | re.MULTILINE)
    readme = (REPOSITORY / "README.md").read_text()
    for name in re.findall(r'^\s*"([\w-]+)', block, re.MULTILINE):
        assert re.search(rf"^\|[^|]*\b{name}\b[^|]*\|", readme, re.MULTILINE), name


def test_decisions_are_numbered_and_have_their_parts() -> None:
    pages = sorted((REPOSITORY / "docs" / "adr").glob("*.md"))
    for number, page in enumerate(pages, start=1):
        text = page.read_text()
        assert page.name.startswith(f"{number:04}-")
        assert text.startswith(f"# {number}. ")
        for part in ("Status: ", "## Context", "## Decision", "## Consequences", "## Alternatives"):
            assert part in text, f"{page.name} lacks {part}"
