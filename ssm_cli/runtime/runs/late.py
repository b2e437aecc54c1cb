"""The runner of a node that nobody has asked for a run: it is made by the first one."""

from __future__ import annotations

from ssm_cli.runtime.engine.entries import RunDue
from ssm_cli.runtime.engine.world import World


class LateRunner:
    """Stands for the runner: a tree without runs needs no asyncio, no sockets, no processes."""

    def __init__(self, world: World) -> None:
        self._world = world

    def has_work(self) -> bool:
        """Return that nothing goes on."""
        return False

    def ask(self, entry: RunDue) -> None:
        """Make the runner, and have it do a run."""
        from ssm_cli.runtime.runs.processes import Processes  # noqa: PLC0415 - see above
        from ssm_cli.runtime.runs.runner import Runner  # noqa: PLC0415 - likewise
        from ssm_cli.runtime.runs.tasks import Tasks  # noqa: PLC0415 - likewise

        self._world.outside.runner = Runner(self._world, Tasks, Processes)
        self._world.outside.runner.ask(entry)

    def cancel(self, number: int) -> None:
        """Do nothing: no run goes on."""

    def close(self) -> None:
        """Do nothing: nothing is open."""
