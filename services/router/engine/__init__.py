"""The engine: a deterministic function around one ordered journal.

`decide` reads and says what happens, `evolve` alone writes. No clock, no dice, no I/O, no third-party imports.
"""
