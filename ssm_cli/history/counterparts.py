"""Counterparts: what another load of a module has in the place of a worker's code."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from copy import copy
from functools import partial, reduce
from pathlib import Path
from types import FunctionType, ModuleType, UnionType
from typing import Any, Union, get_args, get_origin

import msgspec

from ssm_cli.behaviour.callbacks import Callbacks
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.statem import PureStatem
from ssm_cli.codec.words import suggestion
from ssm_cli.errors import CodeRefused, CommandError
from ssm_cli.history.carrying import Classes, Lost, classes_of, with_attributes
from ssm_cli.spec.afresh import in_place

Pair = tuple[ModuleType, ModuleType]
"""A module, and the other load of it."""


class OtherLoads:
    """Modules, each with the other load of it, and what follows from that.

    Args:
        pairs: those modules.
        former: what earlier loads have put in the place of classes, the oldest first: values of
            those are remembered.
        is_back: whether the others are those of before.

    Attributes:
        pairs: those modules.
        direct: the classes of the first ones, each with the one that takes its place.
        classes: the same, with those that the first ones have taken the place of.
        lost: what the first ones have and nothing takes the place of, and how that is said.
        gone: the names of the first ones.
    """

    def __init__(
        self, pairs: Sequence[Pair], former: Sequence[Classes] = (), *, is_back: bool = False
    ) -> None:
        self.pairs = pairs
        self.direct = classes_in(pairs)
        self.classes = followed(former, self.direct)
        self.lost = lost_in(pairs, "was not in {}" if is_back else "is not in {} any more")
        self.gone = frozenset(old.__name__ for old, _ in pairs)
        self._starts: dict[int, tuple[Any, Any]] = {}

    def back(self) -> OtherLoads:
        """Return the same the other way round: from the loads in the place of the first ones."""
        return OtherLoads([(new, old) for old, new in self.pairs], is_back=True)

    def in_place(self) -> AbstractContextManager[None]:
        """Have the other loads found by their names while a block runs."""
        return in_place({new.__name__: new for _, new in self.pairs})

    def other(self, start: Any) -> Any:
        """Return the counterpart of a worker's code, the same for all that have it."""
        known = self._starts.get(id(start))
        if known is None:
            try:
                found = counterpart(start, self.pairs, by_name=True)
            except CommandError as error:
                raise CodeRefused(str(error)) from error
            known = self._starts[id(start)] = start, found
        return known[1]


def counterpart(start: Any, pairs: Sequence[Pair], *, by_name: bool = False) -> Any:
    """Return what stands in other loads of modules for a worker's code: under the same name.

    A machine that has no name is made again of its parts; and one whose name is not there any more,
    unless that is wanted (`by_name`). Else only its step has to be there: a part that is not stays.

    Raises:
        CommandError: there is nothing of that name, or it is made inside a function.

    >>> counterpart(StateMachine(step=print), []).step is print
    True
    """
    if isinstance(start, StateMachine | PureStatem):
        bound = [(new, n) for old, new in pairs for n, v in vars(old).items() if v is start]
        for new, name in bound:
            if hasattr(new, name) and (by_name or isinstance(getattr(new, name), type(start))):
                return getattr(new, name)
        if bound and by_name:
            new, name = bound[0]
            raise without(new, shown_file(new), name)
        return made_again(start, pairs, whole=by_name)
    kind = start if isinstance(start, type) else type(start)
    found = named_in(kind, pairs)
    if not (isinstance(found, type) and issubclass(found, Callbacks)):
        raise missing(kind, pairs)
    return found if start is kind else with_attributes(start, found, classes_in(pairs))


def followed(former: Sequence[Classes], last: Classes) -> Classes:
    """Return what classes have become in the end, of all that others have taken the place of.

    >>> followed([{int: float}], {float: str})[int] is str
    True
    """
    found = {**last}
    for before in reversed(former):
        found = {old: found.get(new, new) for old, new in before.items()} | found
    return found


def classes_in(pairs: Sequence[Pair]) -> dict[Any, Any]:
    """Return the classes and functions of all these modules, each with the other one."""
    found: dict[Any, Any] = {}
    for old, new in pairs:
        found |= classes_of(old, new)
    return found


def lost_in(pairs: Sequence[Pair], said: str) -> Lost:
    """Return the classes and functions of these modules that the other ones have not.

    Each comes with what is said of it; `said` is that of a file. Classes that have become one are
    among them: nothing would tell their objects apart.
    """
    known, lost = classes_in(pairs), {}
    shared = Counter(one for one in known.values() if isinstance(one, type))
    for old, _ in pairs:
        file = Path(shown_file(old)).name
        for one in classes_of(old, old):
            if one not in known:
                lost[one] = f"`{one.__qualname__}` {said.format(file)}"
            elif shared[known[one]] > 1 and one.__qualname__ != known[one].__qualname__:
                name = known[one].__qualname__
                lost[one] = f"`{one.__qualname__}` of {file} is `{name}`, as another class is"
    return lost


def made_again(machine: Any, pairs: Sequence[Pair], *, whole: bool) -> Any:
    """Return a machine of the same parts, each as the other load of its module has it.

    Raises:
        CommandError: the step is not there; or (`whole`) another part.
    """
    pure = isinstance(machine, PureStatem)  # else a struct
    names = vars(machine) if pure else machine.__struct_fields__
    parts = {name: getattr(machine, name) for name in names}
    made = dict(parts)
    for name, value in parts.items():
        try:
            made[name] = part_of(value, pairs)
        except CommandError:
            if whole or name == "step":
                raise
    if all(made[name] is parts[name] for name in parts):
        return machine
    if not pure:
        return msgspec.structs.replace(machine, **made)
    again = copy(machine)
    vars(again).update(made)
    return again


def part_of(value: Any, pairs: Sequence[Pair]) -> Any:
    """Return a callback, a class or a union of classes as the other load of its module has it."""
    if isinstance(value, partial):
        function = part_of(value.func, pairs)
        same = function is value.func
        return value if same else partial(function, *value.args, **value.keywords)
    if get_origin(value) in (UnionType, Union):
        members = [part_of(one, pairs) for one in get_args(value)]
        return reduce(operator.or_, members)
    named = isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__"))
    return named_in(value, pairs) if named else value


def named_in(value: Any, pairs: Sequence[Pair]) -> Any:
    """Return what has the name of a function or class in the other load of its module."""
    home, name = getattr(value, "__module__", None), value.__qualname__
    for old, new in pairs:
        if old.__name__ != home:
            continue
        if "<" in name:
            raise CommandError(
                f"`{name}` of {shown_file(new)} is made inside a function, so that nothing tells "
                f"which one takes its place; give it a name at the top of the file"
            )
        found: Any = new
        for part in name.split("."):
            found = getattr(found, part, None)
        if not callable(found):
            raise missing(value, pairs)
        return found
    return value


def missing(value: Any, pairs: Sequence[Pair]) -> CommandError:
    """Return the error for code that has nothing of a name."""
    home = getattr(value, "__module__", None)
    found = [new for old, new in pairs if old.__name__ == home] or [new for _, new in pairs]
    module = found[0] if found else None
    where = "the other code" if module is None else shown_file(module)
    return without(module, where, value.__qualname__)


def without(module: ModuleType | None, where: str, name: str) -> CommandError:
    """Return the error for a module that has nothing of a name, with the nearest one it has."""
    own = {} if module is None else vars(module)
    kinds = StateMachine | PureStatem | FunctionType
    names = [
        one for one, value in own.items()
        if isinstance(value, kinds) or (isinstance(value, type) and issubclass(value, Callbacks))
    ]  # fmt: skip
    near = suggestion(name, names)
    return CommandError(f"{where} has no `{name}`: is it the code of this worker{near or '?'}")


def shown_file(module: ModuleType) -> str:
    """Return the file of a module, for people."""
    return str(vars(module).get("__file__") or module.__name__)
