"""Finding what has changed: files that are others than were run, their modules and workers."""

from __future__ import annotations

import sys
from collections.abc import Container, Iterable, Iterator, KeysView
from pathlib import Path
from types import ModuleType
from typing import Any

from ssm_cli.behaviour.dispatch import callback_of
from ssm_cli.errors import CodeRefused, StepTimeout
from ssm_cli.history.other_code import tried
from ssm_cli.runtime.durable.again import Again
from ssm_cli.runtime.engine.cell import Cell, RemoteCell, SupervisorCell, WorkerCell
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.outside import is_raised_by_code
from ssm_cli.spec.afresh import (
    Modules,
    all_loads,
    file_of,
    is_of_users,
    load_afresh,
    put_in_use,
    stale_among,
)
from ssm_cli.spec.model import Strategy, SupervisorSpec, WorkerSpec, walk
from ssm_cli.spec.modules import raised

MOST_FORMER = 1_000  # pieces of code that no worker has any more, and may have again
UNCHANGED = "nothing is changed, the old code runs on"


class Home:
    """The modules of one worker's code: where it is written and bound to names.

    Attributes:
        start: the code, as its child spec names it.
        own: those modules, as they were in use when this code was.
    """

    def __init__(self, start: Any) -> None:
        self.start, self.own = start, {name: sys.modules[name] for name in homes_of(start)}
        all_loads(self.own)  # noted, as long as these are in use

    def behind(self) -> dict[str, ModuleType]:
        """Return what it is of, or uses, that is not in use: others have taken their place."""
        loads = all_loads(self.own)
        return {n: one for n, one in loads.items() if sys.modules.get(n, one) is not one}


class Homes:
    """The modules of the code of workers."""

    def __init__(self) -> None:
        self._known: dict[int, Home] = {}

    def _home(self, start: Any) -> Home:
        known = self._known.get(id(start))
        if known is None or known.start is not start:
            known = self._known[id(start)] = Home(start)
        return known

    def of(self, start: Any) -> KeysView[str]:
        """Return the names of the modules in which a worker's code is written, and bound."""
        return self._home(start).own.keys()

    def of_all(self, starts: Iterable[Any]) -> set[str]:
        """Return those of several; they are known from then on, as long as these are in use."""
        each = {id(start): start for start in starts}
        return {name for start in each.values() for name in self.of(start)}

    def put(self, modules: Modules) -> None:
        """Have modules found by their names; what all code has imported by now is noted before."""
        for home in self._known.values():
            all_loads(home.own)
        put_in_use(modules)

    def behind_in(self, cell: WorkerCell) -> Modules:
        """Return the modules of a worker's code that others have taken the place of."""
        return self._home(cell.spec.start).behind()

    def behind(self, world: World, wanted: Container[str]) -> dict[str, Modules]:
        """Return the workers on loads of some modules that are not in use, each with its own.

        They went back while others of their files did not; or others went on without them; or the
        file of a tree was loaded anew, to plan with it.
        """
        cells = all_workers(world)
        homes = {id(cell.spec.start): self._home(cell.spec.start) for cell in cells}
        meant = {key: one for key, one in homes.items() if any(n in wanted for n in one.own)}
        old = {key: modules for key, one in meant.items() if (modules := one.behind())}
        for key in [key for key in self._known if key not in homes][:-MOST_FORMER]:
            del self._known[key]
        return {c.spec.id: old[id(c.spec.start)] for c in cells if id(c.spec.start) in old}


def homes_of(start: Any) -> Iterator[str]:
    """Yield the modules in which code is written, and those in which it is bound to a name."""
    home = getattr(callback_of(start), "__module__", None)
    if type(home) is str and home in sys.modules:
        yield home
    for name, module in [*sys.modules.items()]:
        if is_of_users(name) and module.__name__ == name and name != home:
            yield from (name for value in [*vars(module).values()] if value is start)


def all_workers(world: World) -> list[WorkerCell]:
    """Return all workers of a tree, running or not, in start order."""
    return [cell for cell in world.names.values() if isinstance(cell, WorkerCell)]


def pools_in(world: World) -> list[tuple[SupervisorCell, WorkerSpec]]:
    """Return the supervisors whose children are made of a template, each with that."""
    found = []
    for cell in world.names.values():
        if isinstance(cell, SupervisorCell) and cell.spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE:
            template = cell.spec.children[0]
            if isinstance(template, WorkerSpec):
                found.append((cell, template))
    return found


def starts_in(tree: SupervisorSpec) -> list[Any]:
    """Return the code of all workers of a tree that is not started yet, each once."""
    specs = (spec for _, spec in walk(tree) if isinstance(spec, WorkerSpec))
    return [*{id(spec.start): spec.start for spec in specs}.values()]


def meant(world: World, homes: Homes, what: str | None) -> set[str]:
    """Return the modules that a word means: those of a worker, or one by its name or file.

    Without a word it is those of all workers.

    Raises:
        CodeRefused: it means none; or a worker on another computer, or a supervisor.
    """
    starts = [cell.spec.start for cell in all_workers(world)]
    every = homes.of_all([*starts, *(template.start for _, template in pools_in(world))])
    if what is None:
        return every
    cell: Cell | None = world.find(what)
    if isinstance(cell, RemoteCell) or (cell is None and is_far(world, what)):
        raise CodeRefused(
            f"{what} runs on another computer, with the code of its own folder: put the new code "
            f"there, and restart it: `restart-child`"
        )
    if isinstance(cell, WorkerCell):
        return {*homes.of(cell.spec.start)}
    if cell is not None:
        raise CodeRefused(f"{what} is a supervisor; name a worker, or a module")
    named = {name for name in every if is_called(name, what)}
    if not named:
        files = ", ".join(sorted({Path(file_of(sys.modules[name])).name for name in every}))
        raise CodeRefused(f"no worker, and no module of one, is called {what[:80]}; expected a "
                           f"worker, or one of {files[:300] or 'none'}")  # fmt: skip
    return named


def is_far(world: World, what: str) -> bool:
    """Return whether a name is that of a worker below a remote child."""
    above = what.partition(".")[0]
    return "." in what and isinstance(world.names.get(above), RemoteCell)


def is_called(name: str, what: str) -> bool:
    """Return whether a module is called so: by its name, its file, or the stem of that."""
    file = Path(file_of(sys.modules[name]))
    return what in (name, file.name, file.stem) or Path(what).absolute() == file


def loaded_anew(
    names: Iterable[str], homes: set[str], which: WorkerCell | None
) -> dict[str, ModuleType]:
    """Return modules run anew beside those in use, within the limit of an `init`.

    `homes` are those of code of workers: their files have to be there.

    Raises:
        CodeRefused: one of them cannot be loaded: says what it raises, and where.
    """
    files = [file_of(sys.modules[name]) for name in names]
    runs = Again(None if which is None else tried(which.spec))
    try:
        made: dict[str, ModuleType] = runs.revive(load_afresh, [*names], homes)
    except BaseException as error:
        if runs.is_from_outside(error) and not is_raised_by_code(error):
            raise
        file = file_in(error, files)
        own = issubclass(type(error), KeyboardInterrupt)  # of the file's own, and no Ctrl-C
        if issubclass(type(error), StepTimeout):  # the cut of this load, which is none of a step
            what = "is not loaded: its code runs longer than an `init` may (`init_timeout`)"
        else:
            what = "raises on import: KeyboardInterrupt" if own else raised(error, file)
        raise CodeRefused(f"{file} {what}; {UNCHANGED}") from error
    return made


def file_in(error: BaseException, files: list[str]) -> str:
    """Return the file that an exception was raised in: the innermost of these."""
    if isinstance(error, SyntaxError) and isinstance(error.filename, str):
        return error.filename
    found, trace = files[0] if files else "", error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        found = name if name in files else found
        trace = trace.tb_next
    return found


def stale(names: Iterable[str]) -> list[str]:
    """Return the modules that are not what their files say, with those that use them."""
    found = stale_among(names)
    if "__main__" in found:
        raise CodeRefused(
            "the code of a worker is in the program itself (`__main__`), which cannot be loaded "
            "twice; put it in a module of its own"
        )
    return found
