"""Chance that is the same for the same names: whatever else is drawn, or in which order, changes nothing of it."""

from __future__ import annotations

import random


def dice(*names: object) -> random.Random:
    """Dice of their own for these names."""
    return random.Random("/".join(map(str, names)))  # noqa: S311  # Repeatable is what it has to be, not secret.
