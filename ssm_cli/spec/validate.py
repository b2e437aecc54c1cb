"""What can be wrong with a spec: as problems for people, and as OTP's error terms.

Both accept specs built by hand whose fields hold wrong values: the structs do not check them.
The rules between fields are in `rules`, those of a worker's code in `code`; the reader of YAML
files uses them, too. `judge` asks for both on behalf of a node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum

import msgspec

from ssm_cli.spec import keys
from ssm_cli.spec.code import asked_faults, codec_fault, start_fault
from ssm_cli.spec.keys import Key, fault, sentence, shown
from ssm_cli.spec.model import (
    MAX_DEPTH,
    NO_ARGS,
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
from ssm_cli.spec.problems import Problem
from ssm_cli.spec.rules import (
    DEPTH_FAULT,
    args_fault,
    backoff_fault,
    combination_fault,
    partition_fault,
    pool_fault,
    remote_fault,
    template_fault,
)

MAX_SEEN = 1024  # settings and code that are remembered as sound
OTP_KEYS = frozenset(
    {"strategy", "intensity", "period", "auto_shutdown", "restart", "shutdown", "significant"}
)
Taken = Callable[[str], str | None]


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
    return list(Checker(Sound()).supervisor(spec, "", 1, 1))


class Sound:
    """Settings and code that were found sound, by identity; at most `MAX_SEEN` at a time."""

    def __init__(self) -> None:
        self._sound: dict[int, object] = {}

    def __contains__(self, value: object) -> bool:
        return id(value) in self._sound  # it is held here, so that no other object gets its id

    def add(self, value: object) -> None:
        """Remember one; the others are forgotten when there are too many."""
        if len(self._sound) >= MAX_SEEN:
            self._sound.clear()
        self._sound[id(value)] = value


class Checker:
    """One walk over a tree, or over a child that is to start; remembers the names it has seen.

    Args:
        seen: what earlier walks have found sound.
        taken: gives the path of the running node that has a name; asked for all but the first
            node of the walk.
    """

    def __init__(self, seen: Sound, taken: Taken | None = None) -> None:
        self._seen = seen
        self._taken = taken
        self._first: dict[str, str] = {}  # by name: the path of its parent
        self._together: set[str] = set()  # those that were taken together, and where:
        self._runs: list[tuple[list[str], str]] = []
        self._nodes: set[int] = set()

    def supervisor(
        self, spec: SupervisorSpec, parent: str, place: int, depth: int, *, starts: bool = True
    ) -> Iterator[Problem]:
        """Yield the problems of a supervisor and of everything below it.

        Args:
            spec: the supervisor.
            parent: the path of its supervisor; "" for the root.
            place: which child it is, from 1; 0 for one that is to be added.
            depth: how many levels of supervisors there are down to it, itself included.
            starts: it starts with its supervisor, so that OTP judges it then; a template does not.
        """
        path = _path(parent, spec.id, place)
        yield from self._identity(spec, parent, path, otp=starts)
        if parent:
            yield from _field_problems(keys.SUPERVISOR, spec, path, otp=starts)
            yield from _root_only_problems(spec, path)
        else:
            yield from _field_problems(keys.ROOT, spec, path, otp=starts)
            yield from _field_problems(_BELOW_ROOT, spec, path, otp=False)
        yield from _backoff_problems(spec.backoff, path)
        if spec.init is not None and not callable(spec.init):
            message = sentence(f"is {shown(spec.init)}", "a function init(name), or None")
            yield Problem(f"{path}.init", message)
        yield from (Problem(path, said) for said in asked_faults(spec))
        if spec.max_children is not None and (wrong := pool_fault(_word(spec.strategy))):
            yield Problem(f"{path}.max_children", wrong)
        if spec.partitions is not None and isinstance(spec.children, tuple):
            count = len(spec.children)
            wrong = partition_fault(_word(spec.strategy), count, spec.partitions)
            if wrong is not None:
                yield Problem(f"{path}.partitions", wrong)
        # A node object that stands in the tree twice is a duplicate; its inside is known.
        if id(spec) not in self._nodes:
            self._nodes.add(id(spec))
            yield from self._children(spec, path, depth, starts=starts)

    def _children(
        self, spec: SupervisorSpec, path: str, depth: int, *, starts: bool
    ) -> Iterator[Problem]:
        if not isinstance(spec.children, tuple):
            if not isinstance(spec.children, list):
                return
            wanted = "a tuple, which cannot change later, as Supervisor(...) makes of it"
            yield Problem(f"{path}.children", sentence("is a list", wanted))
        if wrong := template_fault(_word(spec.strategy), len(spec.children)):
            yield Problem(f"{path}.children", wrong, otp=starts)
        yield from self._siblings(spec, path, depth, starts=starts)

    def _siblings(
        self, spec: SupervisorSpec, path: str, depth: int, *, starts: bool
    ) -> Iterator[Problem]:
        """Yield the problems of the children; workers of which only the name is new go together."""
        plain: set[int] = set()  # options and code that are sound and need no look at the parent
        names: list[str] = []
        options = start = None  # of the worker before: siblings mostly share them
        for place, child in enumerate(spec.children, 1):
            if type(child) is WorkerSpec:
                if child.start is not start or child.options is not options:
                    known = id(child.start) in plain and id(child.options) in plain
                    start, options = (child.start, child.options) if known else (None, None)
                if start is not None and (child.args is NO_ARGS or args_fault(child.args) is None):
                    names.append(child.id)
                    continue
            yield from self._named(names, spec, path, place, depth, starts=starts)
            names = []
            yield from self.child(child, spec, path, place, depth, starts=starts)
            if type(child) is WorkerSpec and self._is_plain(child):
                plain |= {id(child.options), id(child.start)}
        yield from self._named(names, spec, path, len(spec.children) + 1, depth, starts=starts)

    def _is_plain(self, child: WorkerSpec) -> bool:
        sound = child.start in self._seen and child.options in self._seen
        return sound and child.options.significant is False

    def _named(
        self,
        names: list[str],
        spec: SupervisorSpec,
        path: str,
        place: int,
        depth: int,
        *,
        starts: bool,
    ) -> Iterator[Problem]:
        """Take the names of the workers before `place`, all at once if nothing is wrong."""
        if not names or self._take(names, path):
            return
        for number in range(place - len(names), place):
            child = spec.children[number - 1]
            yield from self.child(child, spec, path, number, depth, starts=starts)

    def _take(self, names: list[str], path: str) -> bool:
        """Remember names of workers at `path`; False, and none, if one is wrong or taken."""
        try:
            text = "".join(names)
        except TypeError:
            return False
        if not text.isascii() or max(map(len, names)) > keys.MAX_NAME:
            return False
        if text.encode().translate(None, keys.NAME_BYTES) or self._taken is not None:
            return False
        fresh, first = {*names}, self._first.keys()
        few, many = sorted((self._together, fresh), key=len)
        if len(fresh) < len(names) or not many.isdisjoint(few):
            return False
        if not (fresh.isdisjoint(("", ".", "..")) and first.isdisjoint(fresh)):
            return False
        many |= few
        self._together = many
        self._runs.append((names, path))
        return True

    def _owner(self, name: str) -> str | None:
        """Return the path of the node that has a name in this walk, or else in the tree."""
        if name in self._together:  # one after the other from here on
            for names, path in self._runs:
                self._first.update(dict.fromkeys(names, path))
            self._together, self._runs = set(), []
        if (above := self._first.get(name)) is not None:
            return f"{above}/{name}".removeprefix("/")
        return self._taken(name) if self._taken is not None and self._first else None

    def child(
        self,
        child: object,
        parent: SupervisorSpec,
        path: str,
        place: int,
        depth: int,
        *,
        starts: bool = True,
    ) -> Iterator[Problem]:
        """Yield the problems of a child of `parent`, which is at `path` and so many levels deep."""
        for problem in self._child(child, parent, path, place, depth, starts=starts):
            yield problem if problem.place else msgspec.structs.replace(problem, place=place)

    def _child(
        self,
        child: object,
        parent: SupervisorSpec,
        path: str,
        place: int,
        depth: int,
        *,
        starts: bool,
    ) -> Iterator[Problem]:
        if isinstance(child, WorkerSpec):
            yield from self._worker(child, path, place, otp=starts)
        elif isinstance(child, RemoteSpec):
            yield from self._remote(child, path, place, otp=starts)
        elif not isinstance(child, SupervisorSpec):
            wanted = sentence(f"is {shown(child)}", "a Worker, a Supervisor or a Remote")
            yield Problem(_path(path, None, place), wanted)
            return
        elif depth >= MAX_DEPTH:
            yield Problem(_path(path, child.id, place), DEPTH_FAULT)
            return
        else:
            starts = starts and _word(parent.strategy) != Strategy.SIMPLE_ONE_FOR_ONE.value
            yield from self.supervisor(child, path, place, depth + 1, starts=starts)
        yield from _combination_problems(child, parent, _path(path, child.id, place), otp=starts)

    def _worker(self, spec: WorkerSpec, parent: str, place: int, *, otp: bool) -> Iterator[Problem]:
        path = _path(parent, spec.id, place)
        yield from self._identity(spec, parent, path, otp=otp)
        if spec.start not in self._seen:
            if wrong := start_fault(spec.start):
                yield Problem(f"{path}.start", wrong)
            else:
                self._seen.add(spec.start)
        if wrong := args_fault(spec.args):
            yield Problem(f"{path}.args", wrong)
        options = spec.options
        if options in self._seen:
            return
        if not isinstance(options, WorkerOptions):
            yield Problem(f"{path}.options", sentence(f"is {shown(options)}", "WorkerOptions"))
            return
        problems = [
            *_field_problems(keys.WORKER, options, path, otp=otp),
            *_backoff_problems(options.backoff, path),
        ]
        if not problems:
            self._seen.add(options)
        yield from problems

    def _remote(self, spec: RemoteSpec, parent: str, place: int, *, otp: bool) -> Iterator[Problem]:
        path = _path(parent, spec.id, place)
        yield from self._identity(spec, parent, path, otp=otp)
        yield from _field_problems(keys.REMOTE, spec, path, otp=otp)
        yield from _backoff_problems(spec.backoff, path)
        if wrong := remote_fault(spec.id):
            yield Problem(f"{path}.remote", wrong)

    def _identity(self, spec: ChildSpec, parent: str, path: str, *, otp: bool) -> Iterator[Problem]:
        kind = {WorkerSpec: "worker", RemoteSpec: "remote"}.get(type(spec), "supervisor")
        if wrong := fault(keys.SUPERVISOR["supervisor"], spec.id):
            yield Problem(f"{path}.{kind}", wrong)
            return
        if (owner := self._owner(spec.id)) is not None:
            taken = f"has the name of another node, {owner}"
            message = sentence(taken, "names unique in the tree")
            yield Problem(f"{path}.{kind}", message, otp=otp)
        else:
            self._first[spec.id] = parent


_BELOW_ROOT = {name: key for name, key in keys.SUPERVISOR.items() if name not in keys.ROOT}


def _root_only_problems(spec: SupervisorSpec, path: str) -> Iterator[Problem]:
    for name, key in keys.ROOT.items():
        if name not in keys.SUPERVISOR and _word(getattr(spec, key.attribute)) != key.default:
            yield Problem(f"{path}.{name}", sentence("is set", "it at the root only"))


def _path(parent: str, name: object, place: int) -> str:
    usable = isinstance(name, str) and keys.NAME.fullmatch(name)
    unnamed = f"child#{place}" if place else "(child)"
    here = name if usable else unnamed if parent else "root"
    return f"{parent}/{here}" if parent else str(here)


def _word(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


def _field_problems(
    table: Mapping[str, Key], spec: object, path: str, *, otp: bool
) -> Iterator[Problem]:
    """The values of a struct that its keys do not take; the fields it does not have are left out.

    A key without a default may be None. A codec may be an object with `decode` and `encode`.
    """
    for key in table.values():
        if key.kind in {"name", "start", "args", "backoff"} or not hasattr(spec, key.attribute):
            continue
        value = getattr(spec, key.attribute)
        if value is None and key.default is None:
            continue
        if key.name == "codec":
            if wrong := codec_fault(value):
                yield Problem(f"{path}.codec", wrong)
            continue
        if key.enum is not None and isinstance(value, key.enum):
            continue
        if key.enum is not None and isinstance(value, str) and value in key.words:
            wrong = sentence(f"is {shown(value)}", f"{key.enum.__name__}.{str(value).upper()}")
            yield Problem(f"{path}.{key.name}", wrong)
            continue
        if wrong_value := fault(key, value):
            yield Problem(f"{path}.{key.name}", wrong_value, otp=otp and key.name in OTP_KEYS)


def _backoff_problems(backoff: object, path: str) -> Iterator[Problem]:
    if backoff is None:
        return
    if not isinstance(backoff, Backoff):
        yield Problem(f"{path}.backoff", sentence(f"is {shown(backoff)}", "a Backoff or None"))
        return
    problems = list(_field_problems(keys.BACKOFF, backoff, f"{path}.backoff", otp=False))
    yield from problems
    if not problems and (wrong := backoff_fault(backoff.initial_ms, backoff.max_ms)):
        yield Problem(f"{path}.backoff.max", wrong)


def _combination_problems(
    child: ChildSpec, parent: SupervisorSpec, path: str, *, otp: bool
) -> Iterator[Problem]:
    if isinstance(child, WorkerSpec) and not isinstance(child.options, WorkerOptions):
        return
    restart, flag = _word(child.restart), _word(parent.auto_shutdown)
    if wrong := combination_fault(restart, child.significant, flag):
        yield Problem(f"{path}.significant", wrong, otp=otp)


def check_supervisor(spec: SupervisorSpec, taken: Taken) -> object | None:
    """OTP's term for why a supervisor does not start, None if its spec is right.

    One of `{"supervisor_data": term}`, `{"bad_start_spec": ids}`, `{"start_spec": term}`, or, for
    a supervisor below it, `{"shutdown": {"failed_to_start_child": [id, term]}}`. Beyond OTP, the
    names of its children must not be `taken`. Source: `supervisor:init_children/2`.
    """
    if (term := check_own(spec)) is not None:
        return term
    if _word(spec.strategy) == Strategy.SIMPLE_ONE_FOR_ONE.value:
        return None
    for child in spec.children:
        if taken(child.id):
            return {"start_spec": {"duplicate_child_name": child.id}}
    for child in spec.children:
        if isinstance(child, SupervisorSpec) and (term := check_supervisor(child, taken)):
            return {"shutdown": {"failed_to_start_child": [child.id, term]}}
    return None


def check_own(spec: SupervisorSpec) -> object | None:
    """The same for its flags and the specs of its children alone, not for what is below those."""
    if (term := check_flags(spec)) is not None:
        return {"supervisor_data": term}
    if template_fault(_word(spec.strategy), len(spec.children)):
        return {"bad_start_spec": [child.id for child in spec.children]}
    if (term := check_childspecs(spec.children, spec.auto_shutdown)) is not None:
        return {"start_spec": term}
    return None


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
