"""What the architecture tests excuse, each kind of it in one table."""

from __future__ import annotations

from collections.abc import Iterable

UNTIL_THE_RUNTIME_IS_REBUILT: dict[str, set[str]] = {
    "cycle of modules": {
        (
            "runtime.durable.checkpoints, runtime.durable.inputs, "
            "runtime.durable.keeper, runtime.durable.rollback"
        ),
    },
    "cycle of folders": {
        (
            "runtime.durable.checkpoints, runtime.durable.inputs, "
            "runtime.durable.keeper, runtime.durable.rollback"
        ),
        "runtime.performer, runtime.remote",
    },
    "twice": {
        "runtime: Start",
        "runtime: Status",
        "runtime: as_report",
        "runtime: change",
        "runtime: crashed",
        "runtime: is_plain",
        "runtime: kind_of",
        "runtime: message_of",
        "runtime: output_of",
        "runtime: refuse",
        "runtime: resume",
        "runtime: settle",
        "runtime: shown",
        "runtime: started",
        "runtime: state_of",
        "runtime: written",
    },
    "unused": {
        "runtime.durable.sessions.MAX_REQUEST_CHARACTERS",
        "runtime.performer.children.ANSWERS",
        "runtime.performer.children.IGNORE",
        "runtime.performer.children.RUNNING",
        "runtime.performer.children.Started",
        "runtime.performer.ending.ANSWERS",
        "runtime.performer.ending.IGNORE",
        "runtime.performer.ending.Started",
    },
    "size": {
        "ssm_cli/runtime/asking.py:Asking",
        "ssm_cli/runtime/asking.py:AskingSupervisors",
        "ssm_cli/runtime/calling/acalls.py:AsyncCalls",
        "ssm_cli/runtime/calling/calls.py:Calls",
        "ssm_cli/runtime/calling/clients.py:Clients",
        "ssm_cli/runtime/node.py:Node",
    },
}
"""What breaks a rule in the runtime and its storage, by rule; to be emptied, never extended."""


def only_excused(rule: str, found: Iterable[str]) -> None:
    """Fail if a rule is broken where the table does not say so, or an entry is not needed."""
    broken, excused = set(found), UNTIL_THE_RUNTIME_IS_REBUILT[rule]
    assert not broken - excused, "\n".join(sorted(broken - excused))
    assert not excused - broken, f"not needed any more: {sorted(excused - broken)}"
