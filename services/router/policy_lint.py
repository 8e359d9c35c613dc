"""`python -m services.router policy lint FILE`: what a policy will not do as it seems to, before anybody adopts it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.router.api.policy_document import lines_of, read_policy
from services.router.api.problems import InvalidPolicy, MalformedJson
from services.router.policy_lint_finding import Finding
from services.router.policy_lint_rules import RULES
from shared.contracts.policy import Policy


class UnreadablePolicy(ValueError):
    """There is no such file, or it cannot be opened."""


def lint(policy: Policy, now: int) -> list[tuple[str, Finding]]:
    """Every rule's findings with the rule's code, errors first. `now` in ms since the epoch: opening hours are looked
    at from there on."""
    found = [(code, finding) for code, rule in RULES.items() for finding in rule(policy, now)]
    return sorted(found, key=lambda each: each[1].severity != "error")


def run(path: Path, *, strict: bool, as_json: bool, now: int) -> int:
    """Print what is to be said about the policy of a file, `.json` or YAML: 0 if it is well, 1 for errors, and if
    `strict` for warnings too. Raises `UnreadablePolicy`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadablePolicy(f"{path}: {error.strerror}") from None
    found = _found(data, "application/json" if path.suffix == ".json" else "application/yaml", now)
    errors = sum(each["severity"] == "error" for each in found)
    warnings = len(found) - errors
    for each in found:
        print(json.dumps(each, ensure_ascii=False) if as_json else "\n".join(_told(path, each)))
    if not as_json:
        print(f"{path}: {_count(errors, 'error')}, {_count(warnings, 'warning')}")
    return 1 if errors or (strict and warnings) else 0


def _found(data: bytes, media_type: str, now: int) -> list[dict[str, Any]]:
    """`{code, severity, place, line, effect, advice}` each; a policy that cannot be read has nothing but errors."""
    try:
        policy = read_policy(data, media_type)
    except InvalidPolicy as refused:
        return [_refusal(each["field"], each["detail"], each.get("line")) for each in refused.members["errors"]]
    except MalformedJson as refused:
        return [_refusal("", refused.detail, None)]
    findings = lint(policy, now)
    lines = lines_of(data, [finding.place for _, finding in findings])
    return [
        {
            "code": code,
            "severity": finding.severity,
            "place": finding.place,
            "line": line,
            "effect": finding.effect,
            "advice": finding.advice,
        }
        for (code, finding), line in zip(findings, lines, strict=True)
    ]


def _refusal(place: str, detail: str, line: int | None) -> dict[str, Any]:
    return {
        "code": "invalid",
        "severity": "error",
        "place": place,
        "line": line,
        "effect": f"the router refuses the policy: {detail}",
        "advice": "docs/policy.md says what each field takes",
    }


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _told(path: Path, found: dict[str, Any]) -> Iterator[str]:
    where = f"{path}:{found['line']}" if found["line"] is not None else str(path)
    yield f"{where}: {found['severity']} {found['code']}" + (f", {found['place']}" if found["place"] else "")
    yield f"  {found['effect']}"
    yield f"  -> {found['advice']}"
