"""Faults of the engine that are known and being mended."""

from __future__ import annotations

AVOIDED = True
"""Worlds keep away from known faults and the ledger forgives them; False plays and demands everything. They are:

- `only_agents` of a step or of a station of a flow: a second contact for the same agent waits for the next event, and
  contacts that prefer another agent are not held by it;
- `skip_if_unavailable`: misses a match of the same pass, and ignores empty tiers and language chains;
- a preferred agent who becomes a member of the queue later gets no offer;
- contact order `score`: ties go by id, not by arrival;
- decline policy `after_s` with `max`: never excludes;
- `max_age_s` raised by a policy: who was too old before stays out;
- a station's `only_agents` takes the place of those whom the contact prefers;
- a policy without a queue in which an agent has a delay stops the partition;
- a new leader offers before it fires what is due: contacts that are too old, or of a queue that has closed meanwhile;
- a contact that may go past its preferred agents' capacity is handed to anybody without room;
- a contact that ended while it was parked is reopened as if it still were.

Each of the last five has a test in `tests/unit/engine/test_known_faults.py`.
"""
