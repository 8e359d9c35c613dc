"""Everything in one process, on SQLite and views in memory, with a demo contact centre: what `make run` starts.

Consumes and produces what the other services do; serves all their addresses on one port. The only service that may
import the others.
"""
