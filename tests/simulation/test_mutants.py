"""Every planted bug is found: what a checker never caught, it may not see."""

from __future__ import annotations

import pytest

from tests.simulation.ledger import Violation
from tests.simulation.mutants import MUTANTS, Mutant, caught, planted
from tests.simulation.run import simulate


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_planted_bug_is_found(mutant: Mutant) -> None:
    assert caught(mutant) is not None, f"no checker sees that {mutant.name}"


def test_mutant_is_gone_afterwards() -> None:
    mutant = next(mutant for mutant in MUTANTS if mutant.name == "answers are not remembered")
    with planted(mutant), pytest.raises(Violation):
        simulate(mutant.seed)
    simulate(mutant.seed)


def test_mutant_without_its_place_is_told() -> None:
    place = MUTANTS[0].edits[0].place
    lost = Mutant("lost", (type(MUTANTS[0].edits[0])(place, "no such line", ""),))
    with pytest.raises(ValueError, match="stands 0 times"), planted(lost):
        pass
