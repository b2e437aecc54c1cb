"""What supervisors did, as data: the decisions about restarts, for a timeline and for a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ssm_cli.runtime.engine.cell import SupervisorCell
from ssm_cli.simulation.stand_ins import Happened
from ssm_cli.spec.model import Strategy

Data = dict[str, Any]
MOST_POOLS = 1_000  # that are told of
MOST_NAMES = 20  # children of one restart that are named


def empty_pools(cells: Iterable[Any]) -> list[str]:
    """Return the pools that have no children, into which no fault can be put."""
    return [
        cell.spec.id
        for cell in cells
        if isinstance(cell, SupervisorCell)
        and cell.spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE
        and not cell.children
    ][:MOST_POOLS]


def decisions(events: Iterable[Happened]) -> list[Data]:
    """Return what was decided, in order: restarts, delays, who gave up, which start failed."""
    found = []
    for one in events:
        if one.decided:
            children = one.detail.get("children") or [one.detail.get("child") or one.id]
            found.append(
                {
                    "event": one.event,
                    "supervisor": one.decided,
                    "child": one.id if one.event == "delayed" else one.detail.get("child", one.id),
                    "children": [*children[:MOST_NAMES]],
                    "count": len(children),
                    "restarts": one.detail["restarts"],
                    "intensity": one.detail["intensity"],
                    "period": one.detail["period"],
                }
            )
            if one.event == "delayed":
                found[-1]["delay_ms"] = round(one.detail["delay_ms"], 3)
        elif one.event == "start_failed":
            found.append({"event": one.event, "child": one.id, "supervisor": one.above})
    return found
