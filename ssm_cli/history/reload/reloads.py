"""Reload, rollback, shadow and promote, as effects of verbs; all answers are data."""

from __future__ import annotations

import sys
import time
from collections import deque

from ssm_cli.errors import CodeRefused, CommandError, Forgotten, ReadOnly
from ssm_cli.history.carrying import Classes
from ssm_cli.history.other_code import Clock
from ssm_cli.history.places import Places, unless_there
from ssm_cli.history.reload.back import (
    Back,
    Undo,
    Undone,
    each_once,
    exchange,
    told_back,
)
from ssm_cli.history.reload.finding import Homes, meant, stale, starts_in
from ssm_cli.history.reload.plan import LONG_S, REHEARSED, CodePlan, need_running, plan_of
from ssm_cli.history.reload.shadow import SHADOWED, Shadow
from ssm_cli.history.reload.watching import FileWatch
from ssm_cli.history.reload.ways import MOST_LOADS, Ways
from ssm_cli.history.telling import Data
from ssm_cli.history.timeline import Timeline
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.node import Node
from ssm_cli.spec.afresh import connected, file_of, note

MOST_UNDONE = 16  # reloads that can be rolled back
MOST_SHADOWS = 16
SURE = ("", "yes", "no")
HERE = "the code is that of the live tree; `now` comes back"


class Reloads:
    """Changes the code of one node, between two inputs, and knows how to go back."""

    def __init__(self, timeline: Timeline, clock: Clock = time.perf_counter) -> None:
        self._places: Places = timeline.places
        self._instant, self._clock = timeline.instant, clock
        self._homes = Homes()
        self._former: deque[Classes] = deque(maxlen=MOST_LOADS)
        self._undone: deque[Undone] = deque(maxlen=MOST_UNDONE)
        self._ways = Ways()
        self._shadows: dict[str, Shadow] = {}
        self._watching: FileWatch | None = None
        self._world.outside.carry = self._ways.carry
        self._world.outside.behind = self._homes.behind_in
        note(self._homes.of_all(starts_in(self._node.spec)))

    @property
    def _node(self) -> Node:
        return self._places.node

    @property
    def _world(self) -> World:
        return self._node._world  # noqa: SLF001 - its own room

    # -- reload --------------------------------------------------------------------------------

    def reload(
        self, what: str | None = None, sure: str = "", plan: str = "", last: int = REHEARSED,
        place: str = "",
    ) -> Data:  # fmt: skip
        """Load changed modules anew, and have their workers go on under the new code.

        It is rehearsed first. Where something differs nothing is done unless `sure` is `yes`; with
        `no` nothing is done at all.

        Args:
            what: a worker, or a module by its name or file; None for all that has changed.
            sure: `yes`, `no`, or "" for what goes without asking.
            plan: the sign of the plan that was agreed to: another one is only told (`stale`).
            last: how many remembered inputs of each worker are rehearsed, from 1.
            place: where one stands: now.

        Returns:
            `modules` (file and digests), `workers` (what was found of each), `differs`, `plan`,
            `stale`, `done`, and `number`, the last record of it.

        Raises:
            CodeRefused: a module cannot be loaded, or a worker cannot go on; nothing is changed.
            CommandError: `last` is less than 1: nobody would be asked about what differs.
        """
        if last < 1:
            raise CommandError(f"-n takes a number of inputs from 1, not {last}")
        made = self._plan(what, sure, place)
        if made is None:
            return {"modules": [], "workers": [], "differs": False, "plan": "", "stale": False,
                    "done": False, "agreed": False, "number": self._node.record}  # fmt: skip
        made.rehearse(self._instant, last)
        return self._settle(made, sure, plan)

    def _plan(self, what: str | None, sure: str, place: str) -> CodePlan | None:
        check_asked(self._world, sure, place)
        wanted = meant(self._world, self._homes, what)
        names = stale(wanted)
        behind = self._homes.behind(self._world, {*wanted, *names})
        if not names and not behind:
            return None
        return plan_of(self._world, names, self._homes, self._clock, self._former,
                       behind=behind)  # fmt: skip

    def _settle(self, made: CodePlan, sure: str, plan: str) -> Data:
        """Carry a plan out, if that is agreed to, and tell it."""
        told = made.told()
        is_stale, done = is_agreed(told, sure, plan)
        if done:
            self._carry_out(made)
        return {**told, "stale": is_stale, "done": done, "agreed": bool(plan),
                "number": self._node.record}  # fmt: skip

    def _carry_out(self, made: CodePlan) -> None:
        undo = Undone(made)
        exchange(self._node, made.new, zip(made.workers, undo.workers, strict=True))
        for sup, start in made.pools:
            self._node.recode_pool(sup.spec.id, start)
        self._homes.put(made.new)
        self._homes.of_all([one.start for one in made.workers])  # while its modules are in use
        self._undone.append(undo)
        self._former.append(made.classes)
        both = zip(undo.workers, made.workers, strict=True)
        changes = [(was.start, one.start, one.loads) for was, one in both]
        changes += [(old, new, made.loads) for _, old, new in undo.pools]
        self._ways.note(self._world, changes)

    def watch(self, place: str = "") -> Data:
        """Look at the files of the code, as a timer of `ssm run --reload` does now and then."""
        check_asked(self._world, "", place)
        if self._watching is None:
            self._watching = FileWatch(self._world, self._files, self.reload)
        self._watching.look()
        return {}

    def _files(self) -> list[str]:
        names = connected(meant(self._world, self._homes, None))
        return sorted(file for name in names if (file := file_of(sys.modules[name])))

    # -- rollback ------------------------------------------------------------------------------

    def rollback(
        self, worker: str | None = None, sure: str = "", plan: str = "", place: str = ""
    ) -> Data:
        """Go back to the code and the state from before a reload, as if it had not been.

        What was served since is stepped again on the old code. What that answers differently is
        told; nothing that was sent is taken back, and nothing is sent again. Workers that began
        since stay on the new code (`staying`), which is asked about.

        Args:
            worker: whose; None for all of the last reload.
            sure: as of `reload`, as are the others.
            plan: the same.
            place: the same.

        Raises:
            CodeRefused: there was no reload; or a worker cannot go back, and all is as it was.
            Forgotten: not all of the inputs since are remembered, or of which classes they are.
        """
        check_asked(self._world, sure, place)
        undone, workers = self._last(worker)
        until_s = self._clock() + LONG_S
        given = self._world, self._instant, self._clock, until_s
        backs = [Back(one, *given, former=self._former) for one in workers]
        told = told_back(backs, undone.staying(self._world) if worker is None else [])
        is_stale, done = is_agreed(told, sure, plan)
        if done:
            modules = {k: v for one in workers for k, v in one.modules().items()}
            exchange(self._node, modules, zip(backs, backs, strict=True))
            for sup, start in undone.pools_there(self._world) if worker is None else ():
                self._node.recode_pool(sup, start)
            self._former += each_once(one.loads.direct for one in workers)
            self._ways.note(self._world, [(one.put, one.start, one.loads) for one in workers])
            left = [one for one in undone.workers if one not in workers]
            undone.workers = [one for one in left if one.is_there(self._world)]
            if not undone.workers:
                self._homes.put(undone.old)
                self._undone.remove(undone)
        return {**told, "stale": is_stale, "done": done, "agreed": bool(plan),
                "number": self._node.record}  # fmt: skip

    def _last(self, worker: str | None) -> tuple[Undone, list[Undo]]:
        """Return the last reload that can be undone, and of whom."""
        for undone in reversed(self._undone):
            found = [one for one in undone.workers if one.is_there(self._world)]
            named = [one for one in found if worker in (None, one.worker)]
            if named or (worker is None and not undone.workers):
                if not any(one is undone.put_classes for one in self._former):
                    raise Forgotten(
                        f"{MOST_LOADS} changes of code have come since: put the old code into its "
                        f"file, and `reload`"
                    )
                return undone, named
        who = "no code was reloaded" if worker is None else f"the code of {worker} was not reloaded"
        nobody = "" if worker is None else unless_there(self._world, worker)
        raise CodeRefused(f"{who}, so there is nothing to go back to{nobody}")

    # -- shadow --------------------------------------------------------------------------------

    def shadow(
        self, worker: str, code: str | None = None, count: int = SHADOWED, off: str = "",
        place: str = "",
    ) -> Data:  # fmt: skip
        """Give what a worker is given to other code as well, and compare what that answers.

        It has a state of its own, which begins as that of now. Nothing that it answers, or asks
        for, leaves it.

        Args:
            worker: whose inputs.
            code: the file with the other code; None: how far it is.
            count: for how many inputs.
            off: `yes` ends it.
            place: where one stands: now.

        Returns:
            By kind how many inputs there are, as `replay`, and `wanted`, `clean`, `over`, `why`.
        """
        check_asked(self._world, "", place)
        if code is not None:
            if len(self._shadows) >= MOST_SHADOWS and worker not in self._shadows:
                raise CodeRefused(f"{MOST_SHADOWS} workers have a shadow; `--off` ends one")
            self._end(worker)
            cell = self._cell(worker)
            made = Shadow(self._world, cell, code, count, self._instant, self._clock)
            self._shadows[worker] = made
            made.recorder.readers.append(made.catch_up)
        shadow = self._shadow(worker)
        shadow.catch_up()
        if off == "yes":
            self._end(worker)
        return shadow.told()

    def promote(self, worker: str, sure: str = "", plan: str = "", place: str = "") -> Data:
        """Have a worker go on with the code of its shadow, once that is clean.

        Raises:
            CodeRefused: it has no shadow, or what is stored of it names its code's own file.
        """
        check_asked(self._world, sure, place)
        shadow = self._shadow(worker)
        shadow.catch_up()
        if shadow.is_own_file():
            told = self.reload(worker, sure or ("" if shadow.clean else "no"), plan)
        else:
            made = shadow.plan(self._world, self._clock)
            differs, sign = made.differs or not shadow.clean, shadow.sign(made)
            told = {**made.told(), "differs": differs, "plan": sign}
            is_stale, done = is_agreed(told, sure, plan)
            if done:
                self._carry_out(made)
            told |= {"stale": is_stale, "done": done, "agreed": bool(plan)}
        found = {**told, "number": self._node.record, "shadow": shadow.told()}
        if told["done"]:
            self._end(worker)
        return found

    def _shadow(self, worker: str) -> Shadow:
        found = self._shadows.get(worker)
        if found is None:
            nobody = unless_there(self._world, worker)
            begin = f"; `shadow {worker} --code FILE` begins one"
            raise CodeRefused(f"{worker} has no shadow{nobody or begin}")
        return found

    def _end(self, worker: str) -> None:
        shadow = self._shadows.pop(worker, None)
        if shadow is not None and shadow.catch_up in shadow.recorder.readers:
            shadow.recorder.readers.remove(shadow.catch_up)

    def _cell(self, worker: str) -> WorkerCell:
        meant(self._world, self._homes, worker)
        found = self._world.find(worker)
        if not isinstance(found, WorkerCell):
            raise CodeRefused(f"{worker} is no worker")
        return found


def check_asked(world: World, sure: str, place: str) -> None:
    """Check that code can be changed: of a tree that runs, as it is now."""
    need_running(world)
    if place:
        raise ReadOnly(HERE)
    if sure not in SURE:
        raise CommandError(f"`sure` is {' or '.join(SURE[1:])}, or left out, not `{sure[:40]}`")


def is_agreed(told: Data, sure: str, plan: str) -> tuple[bool, bool]:
    """Return whether a plan is another than the one agreed to, and whether it is carried out.

    >>> is_agreed({"plan": "a", "differs": True}, "yes", "b")
    (True, False)
    """
    is_stale = bool(plan) and plan != told["plan"]
    goes = sure == "yes" or (not sure and not told["differs"])
    return is_stale, goes and not is_stale
