"""Other code for workers that live: `reload`, `rollback`, `shadow`, `promote` of a node."""

from __future__ import annotations

from importlib import import_module
from typing import Any

Found = dict[str, Any]


class Codes:
    """The part of a node that changes code while it runs; what is remembered is asked for that."""

    def __init__(self, node: Any) -> None:
        self._node = node

    def reload(self, what: str | None = None, sure: str = "", plan: str = "", **how: Any) -> Found:
        """Load changed modules anew, rehearse them, and go on with them where nothing differs.

        Args:
            what: a worker, or a module by its file; None for all that has changed.
            sure: `yes` goes on whatever differs, `no` only tells.
            plan: the `plan` that was agreed to: another one is told, and not carried out.
            how: `last=N` rehearses the last N inputs of each worker; default 100.

        Returns:
            `modules`, `workers`, `differs`, `plan`, `stale`, `done`, `number` (the record).

        Raises:
            CodeRefused: a module cannot be loaded, or a worker cannot go on; nothing is changed.
        """
        return self._ask("reload", what=what, sure=sure, plan=plan, **how)

    def rollback(self, worker: str | None = None, sure: str = "", plan: str = "") -> Found:
        """Go back to the code and state from before; what was served since is stepped again.

        Raises:
            CodeRefused: there was no reload.
            Forgotten: not all of the inputs since are remembered.
        """
        return self._ask("rollback", worker=worker, sure=sure, plan=plan)

    def shadow(self, worker: str, code: str | None = None, **how: Any) -> Found:
        """Give the inputs of a worker to other code as well, and tell how that has answered.

        Args:
            worker: whose inputs.
            code: the file with the other code; None: tell how far it is.
            how: `count=N` inputs, by default 1,000; `off="yes"` ends it.
        """
        return self._ask("shadow", worker=worker, code=code, **how)

    def promote(self, worker: str, sure: str = "", plan: str = "") -> Found:
        """Go on with the code of a worker's shadow, if that has answered alike, or `sure`."""
        return self._ask("promote", worker=worker, sure=sure, plan=plan)

    def _ask(self, effect: str, **given: Any) -> Found:
        if effect not in self._node.effects:  # by its name: the runtime knows nothing above it
            above = import_module("ssm_cli.history.past")
            above.with_past(self._node, import_module("ssm_cli.commands.records").instant)
        found: Found = self._node.effects[effect](**given)
        return found
