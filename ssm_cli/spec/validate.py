"""What can be wrong with a spec: as problems for people, and as OTP's error terms.

Both accept specs built by hand whose fields hold wrong values: the structs do not check them.
The rules between fields stand here once; the reader of YAML files uses them, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum

import msgspec

from ssm_cli.behaviour.gen_server import GenServer
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.spec import keys
from ssm_cli.spec.keys import Key, fault, sentence, shown
from ssm_cli.spec.model import (
    MAX_DEPTH,
    AutoShutdown,
    Backoff,
    ChildSpec,
    RemoteSpec,
    Restart,
    Strategy,
    SupervisorSpec,
    WorkerOptions,
    WorkerSpec,
)

FILE = "(file)"  # where a problem is that belongs to no node of the tree


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong: where in the tree, and a sentence that follows the path.

    `line` and `column` count from 1; 0 where the spec did not come from a file.
    """

    path: str
    message: str
    line: int = 0
    column: int = 0


def start_fault(start: object) -> str | None:
    """What is wrong with the code of a worker; None for a `StateMachine` or a `GenServer` class.

    >>> start_fault(print)
    'is the function print; expected a StateMachine or a subclass of GenServer'
    """
    if isinstance(start, StateMachine):
        return None
    if isinstance(start, type) and issubclass(start, GenServer):
        return None
    meant = type(start).__name__ if isinstance(start, GenServer) else ""
    meant = meant and f"the class {meant} itself"
    return sentence(f"is {shown(start)}", "a StateMachine or a subclass of GenServer", meant)


def combination_fault(restart: object, significant: object, auto_shutdown: object) -> str | None:
    """What is wrong between these three, given as words (OTP's `bad_combination`).

    >>> combination_fault("permanent", True, "any_significant")
    'is true with restart permanent; expected restart transient or temporary'
    """
    if significant is not True:
        return None
    if auto_shutdown == AutoShutdown.NEVER.value:
        wanted = "auto_shutdown any_significant or all_significant at its supervisor"
        return sentence("is true with auto_shutdown never", wanted)
    if restart == Restart.PERMANENT.value:
        return sentence("is true with restart permanent", "restart transient or temporary")
    return None


def template_fault(strategy: object, children: int) -> str | None:
    """What is wrong with the number of children for the strategy, given as a word.

    >>> template_fault("simple_one_for_one", 2)
    'has 2 children under simple_one_for_one; expected exactly one, the template'
    """
    if strategy != Strategy.SIMPLE_ONE_FOR_ONE.value or children == 1:
        return None
    count = "no children" if children == 0 else f"{children} children"
    return sentence(f"has {count} under simple_one_for_one", "exactly one, the template")


def pool_fault(strategy: object) -> str | None:
    """What is wrong with `max_children` under the strategy, given as a word."""
    if strategy == Strategy.SIMPLE_ONE_FOR_ONE.value:
        return None
    return sentence(f"has no meaning under {strategy}", "strategy simple_one_for_one with it")


def backoff_fault(initial_ms: float, max_ms: float) -> str | None:
    """What is wrong with the longest delay of a back-off.

    >>> backoff_fault(100, 50)
    'is 50, less than initial; expected at least 100'
    """
    if max_ms >= initial_ms:
        return None
    return sentence(f"is {max_ms:g}, less than initial", f"at least {initial_ms:g}")


def remote_fault(name: object) -> str | None:
    """What is wrong with the name of a remote child, beyond what holds for all names.

    >>> remote_fault("eu.billing")
    'has a dot; expected a name without one: its workers are called as eu-billing.WORKER'
    """
    if not isinstance(name, str) or "." not in name:
        return None
    wanted = f"a name without one: its workers are called as {name.replace('.', '-')}.WORKER"
    return sentence("has a dot", wanted)


DEPTH_FAULT = sentence(
    f"is more than {MAX_DEPTH} supervisors deep", f"at most {MAX_DEPTH} levels of supervisors"
)


def check_spec(spec: SupervisorSpec) -> list[Problem]:
    """Everything that is wrong with a tree, in start order; empty if nothing is.

    Paths are like `root/storage/kv2.restart`; a child without a usable name is `child#N`, N
    from 1. Any object may be given: one that is no supervisor is a problem, too.

    >>> from ssm_cli.spec.model import Supervisor
    >>> [str(p.message) for p in check_spec(Supervisor("root", intensity=-1))]
    ['is -1; expected a whole number of at least 0']
    """
    if not isinstance(spec, SupervisorSpec):
        return [Problem("tree", sentence(f"is {shown(spec)}", "a Supervisor"))]
    return list(_Checker().supervisor(spec, "", 1))


class _Checker:
    """One walk over a tree; remembers names, nodes and settings that it has seen."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._nodes: set[int] = set()
        self._good: dict[int, WorkerOptions] = {}  # workers share settings: check each value once

    def supervisor(self, spec: SupervisorSpec, parent: str, place: int) -> Iterator[Problem]:
        """The problems of a supervisor and of everything below it."""
        path = _path(parent, spec.id, place)
        yield from self._identity(spec, path)
        if not parent:
            yield from _field_problems(keys.ROOT, spec, path)
        else:
            yield from _field_problems(keys.SUPERVISOR, spec, path)
            yield from _backoff_problems(spec.backoff, path)
            yield from _root_only_problems(spec, path)
        if spec.init is not None and not callable(spec.init):
            message = sentence(f"is {shown(spec.init)}", "a function init(name), or None")
            yield Problem(f"{path}.init", message)
        if spec.max_children is not None and (wrong := pool_fault(_word(spec.strategy))):
            yield Problem(f"{path}.max_children", wrong)
        # A node object that stands in the tree twice is a duplicate; its inside is known.
        if id(spec) not in self._nodes:
            self._nodes.add(id(spec))
            yield from self._children(spec, path)

    def _children(self, spec: SupervisorSpec, path: str) -> Iterator[Problem]:
        if not isinstance(spec.children, list | tuple):
            return
        if wrong := template_fault(_word(spec.strategy), len(spec.children)):
            yield Problem(f"{path}.children", wrong)
        for place, child in enumerate(spec.children, 1):
            if isinstance(child, WorkerSpec):
                yield from self._worker(child, path, place)
            elif isinstance(child, RemoteSpec):
                yield from self._remote(child, path, place)
            elif not isinstance(child, SupervisorSpec):
                wanted = sentence(f"is {shown(child)}", "a Worker, a Supervisor or a Remote")
                yield Problem(f"{path}/child#{place}", wanted)
                continue
            elif path.count("/") + 1 >= MAX_DEPTH:
                yield Problem(_path(path, child.id, place), DEPTH_FAULT)
                continue
            else:
                yield from self.supervisor(child, path, place)
            yield from _combination_problems(child, spec, _path(path, child.id, place))

    def _worker(self, spec: WorkerSpec, parent: str, place: int) -> Iterator[Problem]:
        path = _path(parent, spec.id, place)
        yield from self._identity(spec, path)
        if wrong := start_fault(spec.start):
            yield Problem(f"{path}.start", wrong)
        if wrong := fault(keys.WORKER["args"], spec.args):
            yield Problem(f"{path}.args", wrong)
        options = spec.options
        if id(options) in self._good:
            return
        if not isinstance(options, WorkerOptions):
            yield Problem(f"{path}.options", sentence(f"is {shown(options)}", "WorkerOptions"))
            return
        problems = [
            *_field_problems(keys.WORKER, options, path),
            *_backoff_problems(options.backoff, path),
        ]
        if not problems:
            self._good[id(options)] = options
        yield from problems

    def _remote(self, spec: RemoteSpec, parent: str, place: int) -> Iterator[Problem]:
        path = _path(parent, spec.id, place)
        yield from self._identity(spec, path)
        yield from _field_problems(keys.REMOTE, spec, path)
        yield from _backoff_problems(spec.backoff, path)
        if wrong := remote_fault(spec.id):
            yield Problem(f"{path}.remote", wrong)

    def _identity(self, spec: ChildSpec, path: str) -> Iterator[Problem]:
        kind = {WorkerSpec: "worker", RemoteSpec: "remote"}.get(type(spec), "supervisor")
        if wrong := fault(keys.SUPERVISOR["supervisor"], spec.id):
            yield Problem(f"{path}.{kind}", wrong)
        elif spec.id in self._first:
            taken = f"has the name of another node, {self._first[spec.id]}"
            yield Problem(f"{path}.{kind}", sentence(taken, "names unique in the tree"))
        else:
            self._first[spec.id] = path


def _root_only_problems(spec: SupervisorSpec, path: str) -> Iterator[Problem]:
    for name, key in keys.ROOT.items():
        if name not in keys.SUPERVISOR and _word(getattr(spec, key.attribute)) != key.default:
            yield Problem(f"{path}.{name}", sentence("is set", "it at the root only"))


def _path(parent: str, name: object, place: int) -> str:
    usable = isinstance(name, str) and keys.NAME.fullmatch(name)
    here = name if usable else f"child#{place}" if parent else "root"
    return f"{parent}/{here}" if parent else str(here)


def _word(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


def _field_problems(table: Mapping[str, Key], spec: object, path: str) -> Iterator[Problem]:
    """The values of a struct that its keys do not take; the fields it does not have are left out.

    A key without a default may be None. A codec may be an object with `decode` and `encode`.
    """
    for key in table.values():
        if key.kind in {"name", "start", "args", "backoff"} or not hasattr(spec, key.attribute):
            continue
        value = getattr(spec, key.attribute)
        if value is None and key.default is None:
            continue
        if key.name == "codec" and hasattr(value, "decode") and hasattr(value, "encode"):
            if not isinstance(value, str):
                continue
        elif key.enum is not None and isinstance(value, key.enum):
            continue
        elif key.enum is not None and value in key.words:
            wrong = sentence(f"is {shown(value)}", f"{key.enum.__name__}.{str(value).upper()}")
            yield Problem(f"{path}.{key.name}", wrong)
            continue
        if wrong_value := fault(key, value):
            yield Problem(f"{path}.{key.name}", wrong_value)


def _backoff_problems(backoff: object, path: str) -> Iterator[Problem]:
    if backoff is None:
        return
    if not isinstance(backoff, Backoff):
        yield Problem(f"{path}.backoff", sentence(f"is {shown(backoff)}", "a Backoff or None"))
        return
    problems = list(_field_problems(keys.BACKOFF, backoff, f"{path}.backoff"))
    yield from problems
    if not problems and (wrong := backoff_fault(backoff.initial_ms, backoff.max_ms)):
        yield Problem(f"{path}.backoff.max", wrong)


def _combination_problems(child: ChildSpec, parent: SupervisorSpec, path: str) -> Iterator[Problem]:
    if isinstance(child, WorkerSpec) and not isinstance(child.options, WorkerOptions):
        return
    restart, flag = _word(child.restart), _word(parent.auto_shutdown)
    if wrong := combination_fault(restart, child.significant, flag):
        yield Problem(f"{path}.significant", wrong)


def check_flags(spec: SupervisorSpec) -> object | None:
    """OTP's term for the first wrong flag of a supervisor, None if all are right.

    One of `{"invalid_strategy": x}`, `{"invalid_intensity": x}`, `{"invalid_period": x}`,
    `{"invalid_auto_shutdown": x}`; a supervisor that starts with them answers
    `{"supervisor_data": term}`. The children are not looked at. Source: `supervisor:check_flags`.

    >>> check_flags(SupervisorSpec("root", intensity=-1))
    {'invalid_intensity': -1}
    """
    for name in ("strategy", "intensity", "period", "auto_shutdown"):
        key = keys.ROOT[name]
        value = _word(getattr(spec, key.attribute))
        if fault(key, value):
            return {f"invalid_{name}": value}
    return None


def check_childspecs(children: Sequence[ChildSpec], auto_shutdown: object) -> object | None:
    """OTP's term for the first wrong child spec, None if all are right.

    One of `{"invalid_restart_type": x}`, `{"bad_combination": {...}}`,
    `{"invalid_significant": x}`, `{"invalid_shutdown": x}`, `{"duplicate_child_name": id}`,
    `{"invalid_child_spec": x}`; a supervisor that starts with them answers
    `{"start_spec": term}`, `start_child` the term itself. Names count among these children
    only. Source: `supervisor:check_startspec`.

    Args:
        children: in start order.
        auto_shutdown: that of their supervisor, an `AutoShutdown` or its word.

    >>> twice = WorkerSpec("w1", None)
    >>> check_childspecs([twice, twice], AutoShutdown.NEVER)
    {'duplicate_child_name': 'w1'}
    """
    seen: set[str] = set()
    sound: object = None  # many workers share their options: those looked at last are right
    for child in children:
        if type(child) is not WorkerSpec or child.options is not sound or type(child.id) is not str:
            if term := _childspec_term(child, _word(auto_shutdown)):
                return term
            sound = child.options if isinstance(child, WorkerSpec) else None
        if child.id in seen:
            return {"duplicate_child_name": child.id}
        seen.add(child.id)
    return None


def _childspec_term(  # noqa: PLR0911 - one return a term of OTP
    child: object, auto_shutdown: object
) -> object | None:
    if not isinstance(child, WorkerSpec | SupervisorSpec | RemoteSpec) or not isinstance(
        child.id, str
    ):
        return {"invalid_child_spec": child}
    if isinstance(child, WorkerSpec) and not isinstance(child.options, WorkerOptions):
        return {"invalid_child_spec": child}
    restart, significant = _word(child.restart), child.significant
    if fault(keys.WORKER["restart"], restart):
        return {"invalid_restart_type": restart}
    if significant is True and auto_shutdown == AutoShutdown.NEVER.value:
        return {"bad_combination": {"auto_shutdown": auto_shutdown, "significant": True}}
    if significant is True and restart == Restart.PERMANENT.value:
        return {"bad_combination": {"restart": restart, "significant": True}}
    if fault(keys.WORKER["significant"], significant):
        return {"invalid_significant": significant}
    if fault(keys.WORKER["shutdown"], child.shutdown_ms):
        return {"invalid_shutdown": child.shutdown_ms}
    return None
