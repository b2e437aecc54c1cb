"""Whether two values of a user's are equal, whatever their `==` does."""

from __future__ import annotations

from typing import Any


def equal(one: Any, other: Any) -> bool:
    """Whether `==` says so; two values that cannot be compared are not equal."""
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - the user's __eq__ may raise anything
        return False
