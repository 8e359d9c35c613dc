"""What is said when something cannot be true."""

from __future__ import annotations


class Violation(AssertionError):
    """An invariant of `docs/architecture.md` does not hold."""

    def __init__(self, invariant: str, text: str) -> None:
        super().__init__(f"[{invariant}] {text}")
        self.invariant = invariant


def require(condition: object, invariant: str, text: str) -> None:
    if not condition:
        raise Violation(invariant, text)
