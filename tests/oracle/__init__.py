"""The matching rule in its plainest form: every agent against every contact, again and again. Slow, and the judge.

Written from the rule's words alone, so that it shares no mistake with the engine's classes, demands and ordered sets:
of the engine it knows the records and the frozen policy, and nothing else.

- `moment.py`: the facts at one instant, and what a pair changes about them.
- `asks.py`: what a contact asks for.
- `eligible.py`: whether one agent may get one contact.
- `order.py`: which contact comes first.
- `exhausted.py`: when everybody has declined a contact.
- `ranking.py`: which agent comes first.
- `rule.py`: the rule itself.
"""

from tests.oracle.moment import Moment
from tests.oracle.rule import disagreement, left_apart, pairs

__all__ = ["Moment", "disagreement", "left_apart", "pairs"]
