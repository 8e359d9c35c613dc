"""The HTTP API, `/v1`: agents, operators and adapters speak to the router here.

Reads come from the views; changes go to `commands` and are answered once journaled.
"""
