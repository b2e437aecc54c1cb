"""Supervision as decisions: pure functions that say what a supervisor does; the runtime does it."""
