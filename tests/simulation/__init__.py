"""Seeded worlds through the real router on a virtual clock, with every fault that the log's promise allows.

`run.simulate(seed)` plays one world; `python -m tests.simulation --seeds 1000` plays many. The referee (`checkers.py`)
reads the journal as it is written and holds the invariants of `docs/architecture.md` against every entry.
"""
