"""Contracts between services: plain records inside (`commands`, `events`), pydantic at the border (the others)."""
