"""The log: inputs, journal, snapshots and content. `port.py` says what is promised; an adapter each keeps it."""
