"""What the architecture tests excuse, each kind of it in one table."""

from __future__ import annotations

from collections.abc import Iterable

EXCUSED: dict[str, set[str]] = {
    "cycle of modules": set(),
    "cycle of folders": set(),
    "twice": set(),
    "unused": set(),
    "size": set(),
    "text of an error": set(),
}
"""What breaks a rule in the runtime and its storage, by rule; to be emptied, never extended."""


def only_excused(rule: str, found: Iterable[str]) -> None:
    """Fail if a rule is broken where the table does not say so, or an entry is not needed."""
    broken, excused = set(found), EXCUSED[rule]
    assert not broken - excused, "\n".join(sorted(broken - excused))
    assert not excused - broken, f"not needed any more: {sorted(excused - broken)}"
