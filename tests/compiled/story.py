"""What the engine decides in every scenario of ours, as hashes, a line each: `python -m tests.compiled.story`."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from services.router.engine.engine import Decided
from services.router.scenarios.actions import act
from services.router.scenarios.beginning import begin
from services.router.scenarios.centre import Centre
from services.router.scenarios.file import Scenario, read
from services.router.snapshot import state_hash
from shared.log.codec import encode, event_pair

SCENARIOS = Path(__file__).parents[1] / "scenarios" / "policies"


class Told(Centre):
    """A centre that hashes all events, as the journal would store them."""

    def __init__(self, scenario: Scenario) -> None:
        self.told = hashlib.sha256()
        super().__init__(scenario)

    def _note(self, decided: Decided) -> None:
        super()._note(decided)
        for event in decided.events:
            self.told.update(encode(event_pair(event)))


def main() -> int:
    for path in sorted(SCENARIOS.glob("*.yaml")):
        for scenario in read(path):
            centre = Told(scenario)
            begin(centre, scenario.setup)
            for action in scenario.timeline:
                centre.pass_to(action.at)
                act(centre, action)
            centre.pass_to(max((each.at for each in (*scenario.timeline, *scenario.expect)), default=0) + 60)
            print(scenario.id, centre.told.hexdigest()[:16], state_hash(centre.engine.state)[:16])
    return 0


if __name__ == "__main__":
    sys.exit(main())
