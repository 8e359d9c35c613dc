"""The lint rule about languages: routing knows neither region nor script."""

from __future__ import annotations

from collections.abc import Iterator

from services.router.policy_lint_finding import Finding
from shared.contracts.policy import Policy


def region_is_dropped(policy: Policy, now: int) -> Iterator[Finding]:
    """Two languages that differ in region or script only, where the second was to mean something else."""
    chains: dict[str, str] = {}
    for code, chain in policy.language_fallback.items():
        place, language = f"language_fallback.{code}", _language(code)
        if language in chains:
            yield Finding(
                place,
                f"{code!r} and {chains[language]!r} are both {language!r} here: only the last of their chains holds",
                f"write one chain, for {language!r}",
                "error",
            )
        chains[language] = code
        asked = {language: code}
        for number, step in enumerate(chain):
            again = asked.setdefault(_language(step.language), "")
            if again:
                yield Finding(
                    f"{place}.{number}.language",
                    f"{step.language!r} and {again!r} are one language here: this step adds nobody",
                    "leave it out; what tells regions apart is a skill or a queue",
                )
            asked[_language(step.language)] = step.language


def _language(code: str) -> str:
    return code.partition("-")[0].lower()
