"""The past of a node as effects of verbs, by their names; and the trees that stand at places."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from ssm_cli.errors import CalleeStopped, CommandError, ReadOnly, is_number
from ssm_cli.history.breaks import LIVE, BreakPoints
from ssm_cli.history.marks import timeline as marks_at
from ssm_cli.history.places import need_rest
from ssm_cli.history.reload.reloads import Reloads
from ssm_cli.history.saved.keeping import bytes_of_past
from ssm_cli.history.scratch import Scratch, need_steps
from ssm_cli.history.telling import Data
from ssm_cli.history.timeline import AT_ONCE_S, MOST_S, Timeline
from ssm_cli.history.trying import Trying
from ssm_cli.history.turns import Turns, all_turns, in_turns
from ssm_cli.runtime.node import Node

SAVE_S = 10.0  # the tree waits meanwhile
NAMING = frozenset({"worker", "which"})
"""What names a worker in what is asked: by its id, its path, or as `POOL:KEY`."""
FORK = re.compile("fork[0-9]+")
READ_ONLY = "the past is read only; `fork` goes on from here, `now` comes back"
STOPPED = "{} was stopped: `drop` leaves it, and `fork` makes another"


class Past:
    """What can be asked of the past of one node.

    Attributes:
        effects: by name; each takes the place where one stands as `at`, as a person writes it.
    """

    def __init__(self, node: Node, instant: Callable[[float], str]) -> None:
        timeline = Timeline(node, instant)
        scratch, trying = Scratch(timeline), Trying(timeline)
        points, reloads = BreakPoints(node), Reloads(timeline)
        self._node, self._scratch, self._points = node, scratch, points
        self._timeline, self._places = timeline, timeline.places
        self._told: dict[str, Callable[..., Any]] = {
            "history": timeline.history,
            "go": timeline.go,
            "step": timeline.step,
            "step_back": self._step_back,
            "diff": timeline.diff,
            "blame": timeline.blame,
            "when": timeline.when,
            "why": timeline.why,
            "timeline": partial(marks_at, timeline.places, instant),
            "drop": self._drop,
            "edit": self._edit,
            "reload": reloads.reload,
            "rollback": reloads.rollback,
            "shadow": reloads.shadow,
            "promote": reloads.promote,
            "watch_code": reloads.watch,
            "break_at": points.set,
            "breaks": points.all,
            "unbreak": points.clear,
            "leave": points.go_on,
            **of_forks(scratch, trying),
        }
        self.effects: dict[str, Callable[..., Any]] = {
            name: partial(self._ask, effect) for name, effect in self._told.items()
        }
        self.effects["in_turns"], self.effects["at_once"] = self._in_turns, self._at_once
        self.effects["standing"] = self._standing
        self.effects["save"] = self._save

    def _ask(self, effect: Callable[..., Any], /, at: str = "", **given: Any) -> Any:
        """Ask at a place; what is None is left to the effect."""
        return all_turns(self._begin(effect, at, given))

    async def _in_turns(self, effect: str, at: str = "", **given: Any) -> Any:
        """Ask for an effect by its name; the live tree and other tasks go on between its turns."""
        return await in_turns(self._begin(self._told[effect], at, given))

    def _at_once(self, effect: str, **given: Any) -> Data | None:
        """Ask for an effect that only reads; return None where the answer takes too long."""
        patience = self._timeline.patience
        patience.most_s, patience.is_late = AT_ONCE_S, False
        try:
            found: Data = self.effects[effect](**given)
        except CommandError:
            if not patience.is_late:
                raise
            return None
        finally:
            patience.most_s = MOST_S
        return found

    def _begin(self, effect: Callable[..., Any], at: str, given: dict[str, Any]) -> Any:
        known = {name: value for name, value in given.items() if value is not None}
        for name in NAMING & known.keys():
            known[name] = self._node.id_of(known[name]) or known[name]
        return effect(**known, place=self._place(at))

    def _save(self, at: str = "") -> Data:
        """Return the bytes of a file with what is remembered, and what they say of themselves."""
        node, _, _ = self._places.remembered(self._place(at))
        data, facts = bytes_of_past(node, SAVE_S)
        return {"data": data, "bytes": len(data), **msgspec.to_builtins(facts)}

    def _standing(self, at: str, *, reading: bool, record: str | None = None) -> Node:
        """Return the tree at a place; in a fork, that at a `record` of its past or its own.

        Raises:
            ReadOnly: it is one of the past, and something else than reading is asked of it.
            Forgotten: the record is not remembered, there is no such fork, or its code is not here.
            CommandError: the word stands for no place, or the fork is being stepped.
            CalleeStopped: the fork was stopped.
        """
        place = self._place(at)
        if is_number(place) and not reading:
            raise ReadOnly(READ_ONLY)
        if place and not reading:
            need_rest(fork := self._places.fork_of(place))
            need_steps(fork)
            if not (fork.node.running or fork.node.gave_up):
                raise CalleeStopped(STOPPED.format(place), worker=place, reason="noproc")
        if record is not None:
            found: Node = all_turns(
                self._places.tree_at(self._places.record_at(record, place), place)
            )
            return found
        return self._places.tree(place)

    def _place(self, at: str) -> str:
        """Return the place that a word stands for: "" for now, a record, or a fork."""
        if at in ("", "now"):
            return ""
        if is_number(at) or FORK.fullmatch(at):
            return at
        place: str = all_turns(self._timeline.go(at))["place"]
        return place

    def _drop(self, worker: str | None = None, place: str = "") -> Data:
        """Forget a fork, by default that of the place; at now, drop what a worker is held with."""
        if worker is not None and FORK.fullmatch(worker):
            gone = self._scratch.drop(worker)
            return gone if place == worker else {"gone": worker, "number": gone["number"]}
        if place:
            if worker is not None:
                leaves = "" if is_number(place) else f"; without a name `drop` leaves {place}"
                raise CommandError(f"{LIVE}{leaves}")
            return self._scratch.drop(place)
        if worker is None and not self._points.all()["held"]:
            raise CommandError("this is no fork, and no worker is held at a break")
        return self._points.drop(worker)

    def _edit(self, record: str, given: str, place: str = "") -> Data | Turns[Data]:
        """Step a fork again with another input; at now, give it to a worker that is held."""
        if place or is_number(record):
            return self._scratch.edit(record, given, place)
        return self._points.edit(self._node.id_of(record) or record, given)

    def _step_back(self, by: int = 1, **given: Any) -> Data:
        return self._timeline.step(-by, **given)


def of_forks(scratch: Scratch, trying: Trying) -> dict[str, Callable[..., Any]]:
    """Return the effects of scratch trees, and of what is tried with what is remembered."""
    return {
        "fork": scratch.fork,
        "forks": scratch.forks,
        "without": scratch.without,
        "advance": scratch.advance,
        "settle": scratch.settle,
        "adopt": scratch.adopt,
        "replay": trying.replay,
        "shrink": trying.shrink,
    }


def with_past(node: Node, instant: Callable[[float], str]) -> Node:
    """Return the node, whose past can be asked by `perform` from now on; once is enough."""
    if "standing" not in node.effects:
        node.effects |= Past(node, instant).effects
    return node
