"""Whether every node that should run does, told from what has been reported since last asked."""

from __future__ import annotations

from collections.abc import Iterator

from ssm_cli.runtime.engine.cell import Cell, CellStatus
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.show import state_of
from ssm_cli.spec.model import Restart

MOST_REPORTS = 1_000  # with more since it was asked last, all cells are looked at again
STEP_CELLS = 5_000  # looked at between two rests; less than a millisecond
WELL = ("running", "suspended")


class Readiness:
    """The nodes that do not run, kept from one question to the next.

    Whatever begins or ends is reported, so the nodes named by the reports since the last question
    are all that can have changed.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._seq: int | None = None
        self._ailing: dict[str, Cell] = {}

    def refresh(self) -> Iterator[None]:
        """Look at what has changed; yields where there is so much that others should get a turn."""
        reports, names = self._world.reports, self._world.names
        if self._seq is None or reports.seq - self._seq > MOST_REPORTS:
            seq = reports.seq
            self._ailing.clear()
            for number, cell in enumerate(tuple(names.values()), 1):
                self._note(cell)
                if number % STEP_CELLS == 0:
                    yield
            self._seq = seq
        for report in reports.since(self._seq, MOST_REPORTS):
            if (named := names.get(report.id)) is not None:
                self._note(named)
        if reports.seq - self._seq <= MOST_REPORTS:
            self._seq = reports.seq

    def _note(self, cell: Cell) -> None:
        if state_of(self._world, cell) not in WELL:
            self._ailing[cell.spec.id] = cell

    def is_ready(self) -> bool:
        """Return whether every node that should run does, as of the last `refresh`.

        One that is stopped should run if it is the root or permanent. What is below a suspended
        supervisor does not answer now, and does not count; neither does what is below one that
        does not run, since that counts itself.
        """
        names, root = self._world.names, self._world.root
        if state_of(self._world, root) not in WELL:
            return False
        for name, cell in tuple(self._ailing.items()):
            state = state_of(self._world, cell)
            is_gone = names.get(name) is not cell
            if is_gone or state in WELL or (state == "stopped" and not is_permanent(cell)):
                del self._ailing[name]
            elif is_led(cell):
                return False
        return True


def is_permanent(cell: Cell) -> bool:
    """Return whether its spec wants a node to run always."""
    restart: object = cell.spec.restart
    return restart is Restart.PERMANENT


def is_led(cell: Cell) -> bool:
    """Return whether all supervisors above run, and none is suspended."""
    above = cell.parent
    while above is not None:
        if above.status is not CellStatus.RUNNING or above.suspended:
            return False
        above = above.parent
    return True
