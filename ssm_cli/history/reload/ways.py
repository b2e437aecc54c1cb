"""Ways: which of the loads of a class a worker's code knows, for values that come from outside it.

What a run answers that was under way, and what somebody puts in the place of a state, may be of
classes that a reload has put away, or of those that another worker of the file goes on with.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from ssm_cli.history.carrying import NONE, Classes, Lost, carried
from ssm_cli.history.counterparts import OtherLoads, classes_in, followed
from ssm_cli.history.reload.finding import all_workers, pools_in
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.world import World

Change = tuple[Any, Any, OtherLoads]
"""A worker's code, the code that has taken its place, and the loads that both are of."""
MOST_LOADS = 64  # changes of code, there and back, whose classes are known


class Ways:
    """By code that workers have or had last: the classes of other loads, each with that code's."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, Classes, Lost]] = {}
        self._changes: deque[Classes] = deque(maxlen=MOST_LOADS)
        self._whole: dict[int, Classes] = {}

    def note(self, world: World, changes: Iterable[Change]) -> None:
        """Learn from changes of code; forget what no worker has, and none had before them."""
        starts = [cell.spec.start for cell in all_workers(world)]
        starts += [template.start for _, template in pools_in(world)]
        for old, new, loads in {(id(one[0]), id(one[1])): one for one in changes}.values():
            self._learn(new, old, loads)
            self._learn(old, old, loads.back())
            starts.append(old)
            if loads.direct not in self._changes:
                self._changes.append(loads.direct)
        kept = {id(start) for start in starts}
        self._known = {key: known for key, known in self._known.items() if key in kept}
        self._whole.clear()

    def _learn(self, code: Any, before: Any, loads: OtherLoads) -> None:
        """Know code that is of the loads in the place of those that some code before it is of."""
        nothing: tuple[Any, Classes, Lost] = (code, {}, NONE)
        _, classes, lost = self._known.get(id(before), nothing)
        _, own, gone = self._known.get(id(code), nothing)
        there = classes_in([(new, new) for _, new in loads.pairs])
        said = {one: text for one, text in {**gone, **lost}.items() if one not in there}
        found = {**own, **followed([classes], loads.direct)}
        self._known[id(code)] = code, found, {**loads.lost, **said}

    def carry(self, cell: WorkerCell, value: Any) -> Any:
        """Return a value in the classes that the code of a worker knows.

        Raises:
            Exception: as `carried`.
        """
        known = self._known.get(id(cell.spec.start))
        if known is None:
            return value
        code, classes, lost = known
        if id(code) not in self._whole:
            self._whole[id(code)] = with_others(classes, self._changes)
        return carried(value, self._whole[id(code)], lost)


def with_others(classes: Classes, changes: Iterable[Classes]) -> Classes:
    """Return classes, each with the one in its place, and those of loads that only others had.

    >>> with_others({int: float}, [{int: str}, {str: bytes}])[bytes] is float
    True
    """
    found = {**{new: new for new in classes.values()}, **classes}
    size = 0
    while size != len(found):
        size = len(found)
        for old, new in (pair for change in changes for pair in change.items()):
            if old in found:
                found.setdefault(new, found[old])
            elif new in found:
                found[old] = found[new]
    return {old: new for old, new in found.items() if old is not new}
