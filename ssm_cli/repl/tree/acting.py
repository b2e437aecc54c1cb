"""What a key does with the chosen row of the tree: it stands for a command, as typed. Pure."""

from __future__ import annotations

from typing import Literal

from ssm_cli.errors import CommandError
from ssm_cli.runtime.views import NodeView

Act = Literal["call", "state", "trace", "suspend", "restart", "kill", "stop"]

NEEDS_ENTER: frozenset[Act] = frozenset({"call", "restart", "kill", "stop"})
"""What goes into the prompt first: it has to be completed, or it ends something."""

FOR_WORKERS: frozenset[Act] = frozenset({"call", "trace"})


def line_for(act: Act, node: NodeView, *, traced: bool = False) -> str:
    """Return the command that an act on a node stands for.

    Args:
        act: what was asked for.
        node: the node of the row.
        traced: it is traced already.

    Raises:
        CommandError: it cannot be done to such a node.

    >>> kv2 = NodeView("kv2", "root/storage/kv2", "worker", "suspended")
    >>> line_for("suspend", kv2), line_for("stop", kv2)
    ('resume kv2', 'terminate-child storage kv2')
    """
    is_supervisor = node.kind == "supervisor"
    if is_supervisor and act in FOR_WORKERS:
        raise CommandError(f"{node.id} is a supervisor; `{act}` is for workers")
    above = node.path.removesuffix(node.id).rstrip("/").rpartition("/")[2]
    words = {
        "call": f"call {node.id} ",
        "state": f"{'which-children' if is_supervisor else 'state'} {node.id}",
        "trace": f"trace {node.id} {'off' if traced else 'on'}",
        "suspend": f"{'resume' if node.state == 'suspended' else 'suspend'} {node.id}",
        "restart": f"restart {node.id}",
        "kill": f"kill {node.id}",
        "stop": f"terminate-child {above} {node.id}" if above else "stop",
    }
    return words[act]
