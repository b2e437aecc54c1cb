"""A plan: what a reload would exchange, and how that came out when it was rehearsed.

It is made anew each time somebody asks, and again just before it is carried out: the sign of a plan
tells whether what is about to be done is what was shown.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from types import MappingProxyType, ModuleType
from typing import Any

from ssm_cli.errors import CodeRefused
from ssm_cli.history.carrying import Classes
from ssm_cli.history.comparing import KINDS, SAME
from ssm_cli.history.counterparts import OtherLoads, Pair, classes_in
from ssm_cli.history.other_code import Clock
from ssm_cli.history.reload.changing import SLOW, Changing, is_untried, other_start
from ssm_cli.history.reload.finding import UNCHANGED, Homes, all_workers, loaded_anew, pools_in
from ssm_cli.history.telling import Data
from ssm_cli.runtime.engine.cell import SupervisorCell, WorkerCell
from ssm_cli.runtime.engine.world import World
from ssm_cli.spec.afresh import Modules, file_of, in_place, source_digest

REHEARSED = 100  # remembered inputs of each worker
REHEARSAL_S = 2.0  # that a rehearsal of so many takes, of all workers; the tree waits meanwhile
LONG_S = 30.0  # that one takes of more, which somebody has asked for

NO_LOADS: Mapping[str, OtherLoads] = MappingProxyType({})


class CodePlan:
    """What would be exchanged. Nothing is changed by it.

    Args:
        world: the node's.
        new: modules that were run anew, by the names at which they would be found.
        loads: those in use, each with the one in its place.
        cells: the workers whose code is in those.
        clock: measures steps.
        behind: workers whose code is of other loads than those in use, each with its own.

    Attributes:
        classes: those of the modules in use, each with the one in its place.
        workers: those that would go on with other code.
        pools: supervisors whose children to come would be of other code, each with that.

    Raises:
        CodeRefused: a worker cannot go on with its other code.
    """

    def __init__(
        self, world: World, new: Modules, loads: OtherLoads, cells: Iterable[WorkerCell],
        clock: Clock, *, behind: Mapping[str, OtherLoads] = NO_LOADS,
    ) -> None:  # fmt: skip
        every = [loads, *behind.values()]
        self.new, self.classes = new, {k: v for one in every for k, v in one.direct.items()}
        self._clock, self._world, self.loads = clock, world, loads
        self.old = {name: sys.modules[name] for name in new if name in sys.modules}
        self._was = self.old | {old.__name__: old for one in every[1:] for old, _ in one.pairs}
        self.workers = [Changing(world, c, behind.get(c.spec.id, loads), clock) for c in cells]
        self.pools: list[tuple[SupervisorCell, Any]] = []

    def rehearse(self, instant: Any, last: int) -> None:
        """Step what is remembered on the other code, and look at what waits."""
        recorder = self._world.history
        until_s = self._clock() + (REHEARSAL_S if last <= REHEARSED else LONG_S)
        self.look_at_queues()
        with in_place(self.new):  # what the functions import is of these, too
            for one in self.workers:
                one.untried = True
                if recorder is not None:
                    one.rehearse(recorder, instant, last, until_s)

    def look_at_queues(self) -> None:
        """Count what waits for the workers, and does not fit."""
        for one in self.workers:
            one.look_at_queue()

    @property
    def differs(self) -> bool:
        """Whether something comes out differently, or waits that does not fit."""
        return any(one.differs for one in self.workers)

    def sign(self) -> str:
        """Return what stands for this plan: files, workers, and which kinds of differences."""
        parts = [f"{name}={digest}" for name, digest in sorted(digests_of(self.new).items())]
        return sign_of(parts, [one.told() for one in self.workers])

    def told(self) -> Data:
        """Return the plan as data."""
        before, after = digests_of(self._was), digests_of(self.new)
        modules = [
            {"file": file_of(module), "was": before.get(name, ""), "code": after[name]}
            for name, module in sorted(self.new.items())
            if name == module.__name__
        ]
        return {
            "modules": modules,
            "workers": [one.told() for one in self.workers],
            "differs": self.differs,
            "plan": self.sign(),
        }


def sign_of(parts: Iterable[str], workers: Iterable[Data]) -> str:
    """Return what stands for files, workers, and which kinds of differences they have."""
    lines = [*parts]
    for told in workers:
        kinds = [kind for kind in KINDS if kind != SAME and told[kind]]
        kinds += ["slow"] * (told["slower"] >= SLOW) + ["unfit"] * bool(told["unfit"])
        kinds += ["untried"] * is_untried(told)
        lines.append(f"{told['worker']} {told['code']}:{','.join(kinds)}")
    return blake2b("\n".join(lines).encode(), digest_size=6).hexdigest()


def digests_of(modules: Mapping[str, ModuleType]) -> dict[str, str]:
    """Return the digests of modules by name; "" for those without a source."""
    found = dict.fromkeys(modules, "")
    for name, module in modules.items():
        with suppress(OSError, ValueError, SyntaxError):
            found[name] = source_digest(vars(module))
    return found


def plan_of(
    world: World, names: Iterable[str], homes: Homes, clock: Clock, former: Sequence[Classes],
    *, behind: Mapping[str, Modules],
) -> CodePlan:  # fmt: skip
    """Return the plan of loading modules anew; `former` as of `OtherLoads`.

    `behind` are workers whose code is of modules that are not in use any more, with those: they go
    on with what is in use, or is loaded anew.

    Raises:
        CodeRefused: one cannot be loaded, or a worker cannot go on with its other code.
    """
    stale = {*names}
    cells = [
        c for c in all_workers(world)
        if c.spec.id in behind or not homes.of(c.spec.start).isdisjoint(stale)
    ]  # fmt: skip
    code = [c.spec.start for c in cells] + [template.start for _, template in pools_in(world)]
    fresh = loaded_anew(stale, homes.of_all(code), cells[0] if cells else None)
    new = {name: sys.modules[name] for modules in behind.values() for name in modules} | fresh
    pairs = {"": pairs_of(new, {})} | {one: pairs_of(new, old) for one, old in behind.items()}
    known = [*former, classes_in([pair for found in pairs.values() for pair in found])]
    loads = {one: OtherLoads(found, known) for one, found in pairs.items()}
    try:
        plan = CodePlan(world, new, loads.pop(""), cells, clock, behind=loads)
        for sup, template in pools_in(world):
            if not homes.of(template.start).isdisjoint(fresh):
                plan.pools.append((sup, other_start(plan.loads, template)))
    except CodeRefused as error:
        raise CodeRefused(f"{error}; {UNCHANGED}") from error
    return plan


def pairs_of(new: Modules, old: Modules) -> list[Pair]:
    """Return modules that others take the place of: of `old`, else those in use; not themselves."""
    was = {**sys.modules, **old}
    return [(was[name], new[name]) for name in new if was.get(name, new[name]) is not new[name]]


def need_running(world: World) -> None:
    """Raise `CodeRefused` for a tree that does not run."""
    if not world.running:
        raise CodeRefused(f"{world.root.spec.id} does not run: it takes its code as it starts")
