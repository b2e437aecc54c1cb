"""Convert the YAML nodes of a tree file to a spec, with a problem for each fault.

Theory of operation: one walk, depth-first in file order, driven by the table of keys. A mapping
is first split into entries (unknown and repeated keys are problems), then each value is read as
its key says. Problems never stop the walk; a wrong value is left out, and rules that depend on it
are skipped. The spec is valid only if there was no problem.

Large trees repeat themselves, so values are cached by key and text, and settings by value: workers
with the same settings share one `WorkerOptions`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ssm_cli.spec import keys
from ssm_cli.spec.keys import Key, fault, nearest, printable, sentence, shown
from ssm_cli.spec.model import (
    DEFAULT_OPTIONS,
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
    sharded,
    walk,
)
from ssm_cli.spec.modules import Resolved
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
from ssm_cli.spec.yaml_nodes import (
    MAP,
    SEQ,
    STR,
    NoValueError,
    at,
    described,
    plain_value,
    scalar,
    tag_fault,
)

_CHILD_KINDS = ("worker", "supervisor", "remote")
_ON: Mapping[keys.Place, str] = {
    "root": "the root",
    "supervisor": "a supervisor below the root",
    "worker": "a worker",
    "remote": "a remote child",
    "backoff": "a backoff",
}
_Entries = dict[str, Node]


class FieldReader:
    """Reads the entries of mappings by the table of keys.

    Attributes:
        problems: all that were found, in order.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._first: dict[str, tuple[str, Node]] = {}
        self._scalars: dict[tuple[str, str, str], Any] = {}

    def complain(
        self, node: Node, path: str, wrong: str, expected: str = "", meant: str = ""
    ) -> None:
        """Add a problem at a node."""
        self.problems.append(at(node, path, sentence(wrong, expected, meant)))

    def entries(self, node: Node, table: Mapping[str, Key], path: str) -> _Entries:
        """Return the values of a mapping by key; unknown and repeated keys are problems."""
        entries: _Entries = {}
        for key_node, value_node in node.value:
            name = key_node.value
            if not isinstance(name, str):
                kind = shown({} if isinstance(key_node, MappingNode) else [])
                self.complain(key_node, path, f"has {kind} as a key", "text")
            elif name in table and key_node.tag != STR:
                self.complain(key_node, f"{path}.{name}", tag_fault(key_node), "text")
            elif name in entries:
                line = entries[name].start_mark.line + 1
                wrong = f"is there twice, first at line {line}"
                self.complain(key_node, f"{path}.{name}", wrong, "each key once")
            elif name in table:
                entries[name] = value_node
            else:
                self._unknown(key_node, table, path)
        return entries

    def _unknown(self, key_node: Node, table: Mapping[str, Key], path: str) -> None:
        name = str(key_node.value)
        where = f"{path}.{printable(name)}"
        places = [place for key in keys.KEYS if key.name == name for place in key.on]
        if places:
            wanted = f"it on {keys.either(dict.fromkeys(_ON[place] for place in places))} only"
            self.complain(key_node, where, "is no key of this mapping", wanted)
        else:
            wanted = f"one of {', '.join(table)}"
            self.complain(key_node, where, "is an unknown key", wanted, nearest(name, table))

    def values(self, entries: _Entries, table: Mapping[str, Key], path: str) -> dict[str, Any]:
        """Return the valid values by field of the spec, without names, code and collections."""
        values: dict[str, Any] = {}
        for name, node in entries.items():
            key = table[name]
            if key.kind == "backoff":
                values[key.attribute] = self._backoff(node, f"{path}.{name}")
            elif key.kind not in {"name", "start", "args", "labels", "children"}:
                found, value = self.scalar(key, node, path)
                if found:
                    values[key.attribute] = value
        return values

    def scalar(self, key: Key, node: Node, path: str) -> tuple[bool, Any]:
        """Return whether a node holds a valid value for its key, and that value."""
        if not isinstance(node, ScalarNode):
            self.complain(node, f"{path}.{key.name}", described(node), keys.expected(key))
            return False, None
        known = (key.name, node.tag, node.value)
        if known in self._scalars:
            return True, self._scalars[known]
        try:
            value = scalar(node)
        except NoValueError as error:
            self.complain(node, f"{path}.{key.name}", error.wrong, keys.expected(key))
            return False, None
        if wrong := fault(key, value):
            self.problems.append(at(node, f"{path}.{key.name}", wrong))
            return False, None
        self._scalars[known] = value = value if key.enum is None else key.enum(value)
        return True, value

    def _backoff(self, node: Node, path: str) -> Backoff | None:
        if not isinstance(node, MappingNode) or node.tag != MAP:
            wanted = keys.expected(keys.WORKER["backoff"])
            self.complain(node, path, described(node), wanted)
            return None
        entries = self.entries(node, keys.BACKOFF, path)
        backoff = Backoff(**self.values(entries, keys.BACKOFF, path))
        if wrong := backoff_fault(backoff.initial_ms, backoff.max_ms):
            self.problems.append(at(entries.get("max", node), f"{path}.max", wrong))
        return backoff

    def name(self, node: Node | None, key: Key, path: str) -> str:
        """Return the name of a child; the last part of its path if the name is invalid."""
        if node is None:
            return path.rpartition("/")[2]
        if not _is_name(node):
            wanted = keys.expected(key)
            if isinstance(node, ScalarNode) and node.tag != STR and node.value:
                wanted += f'; did you mean "{node.value[: keys.MAX_NAME]}", in quotes?'
            self.complain(node, f"{path}.{key.name}", described(node), wanted)
            return path.rpartition("/")[2]
        name = str(node.value)
        if name in self._first:
            wrong = f"has the name of {self._owner(name)}"
            self.complain(node, f"{path}.{key.name}", wrong, "names unique in the tree")
        else:
            self._first[name] = path, node
        return name

    def _owner(self, name: str) -> str:
        path, first = self._first[name]
        mark = first.start_mark
        return f"{path} at line {mark.line + 1}, column {mark.column + 1}"

    def parts(self, node: Node, path: str, names: Iterable[str]) -> None:
        """Complain about names that `partitions` makes, and that others have."""
        for name in names:
            if name in self._first:
                wrong = f"makes {name}, which is the name of {self._owner(name)}"
                self.complain(node, f"{path}.partitions", wrong, "names unique in the tree")
            else:
                self._first[name] = f"{path}/{name}", node


class TreeReader:
    """Reads one tree; `problems` lists what is wrong, in file order.

    Args:
        resolve: returns the code for a `start` reference.
    """

    def __init__(self, resolve: Callable[[str], Resolved]) -> None:
        self._fields = FieldReader()
        self.problems, self._complain = self._fields.problems, self._fields.complain
        self._resolve = resolve
        self._within = 0  # how many supervisors with partitions the one that is read is below of
        self._parted: list[tuple[Node, str, list[str]]] = []
        self._options: dict[tuple[tuple[str, Any], ...], WorkerOptions] = {(): DEFAULT_OPTIONS}

    def read(self, root: Node) -> SupervisorSpec:
        """Return the tree below `root`; valid only if there are no `problems` afterwards."""
        path, kind = self._open(root, "", 1)
        spec = SupervisorSpec(path)
        if kind in {"worker", "remote"}:
            article = "a worker" if kind == "worker" else "a remote child"
            self._complain(root, path, f"is {article}", "a supervisor at the root of the tree")
            (self._worker if kind == "worker" else self._remote)(root, path, None)
        elif kind:
            spec = self._supervisor(root, path, 1, None)
        for node, above, parted in self._parted:  # once all other names are known
            self._fields.parts(node, above, parted)
        return spec

    def read_child(self, node: Node) -> ChildSpec | None:
        """The child that is to be added to a tree; to be used only if there are no `problems`."""
        path, kind = self._open(node, "root", 1)
        if kind == "worker":
            return self._worker(node, path, None)
        if kind == "remote":
            return self._remote(node, path, None)
        return self._supervisor(node, path, 2, None) if kind else None

    def _open(self, node: Node, parent: str, place: int) -> tuple[str, str]:
        """Return the path of a node and its kind; "" if it is no mapping."""
        path = f"{parent}/child#{place}" if parent else "root"
        if not isinstance(node, MappingNode) or node.tag != MAP:
            wanted = "`worker`, `supervisor` or `remote`" if parent else "`supervisor`"
            self._complain(node, path, described(node), f"a mapping with {wanted}")
            return path, ""
        kinds = {key.value: value for key, value in node.value if key.value in _CHILD_KINDS}
        if len(kinds) != 1:
            return path, self._guess(node, path, bool(kinds), at_root=not parent)
        ((kind, named),) = kinds.items()
        if _is_name(named):
            path = f"{parent}/{named.value}" if parent else named.value
        return path, kind

    def _guess(self, node: MappingNode, path: str, both: bool, *, at_root: bool) -> str:
        """Guess the kind of a mapping without a name or with several, and remove its names."""
        wrong = "is both a worker and a supervisor" if both else "has no name"
        wanted = "`supervisor: NAME`" if at_root else "either `worker: NAME` or `supervisor: NAME`"
        self._complain(node, path, wrong, wanted)
        node.value = [pair for pair in node.value if pair[0].value not in _CHILD_KINDS]
        names = [key.value for key, _ in node.value if isinstance(key.value, str)]
        holds = any(name in keys.SUPERVISOR and name not in keys.WORKER for name in names)
        return "supervisor" if holds or at_root else "worker"

    def _supervisor(
        self, node: Node, path: str, depth: int, auto_shutdown: str | None
    ) -> SupervisorSpec:
        """Read a supervisor at level `depth`; `auto_shutdown` is its parent's, None if unknown."""
        table = keys.ROOT if depth == 1 else keys.SUPERVISOR
        entries = self._fields.entries(node, table, path)
        name = self._fields.name(entries.get("supervisor"), table["supervisor"], path)
        values = self._fields.values(entries, table, path)
        self._combination(entries, values, auto_shutdown, path)
        strategy = _judged("strategy", Strategy.ONE_FOR_ONE, entries, values)
        if "max_children" in values and strategy and (wrong := pool_fault(strategy)):
            self.problems.append(at(entries["max_children"], f"{path}.max_children", wrong))
        flag = _judged("auto_shutdown", AutoShutdown.NEVER, entries, values)
        parts = entries.get("partitions") if "partitions" in values else None
        self._within += parts is not None
        children, count = self._children(entries.get("children"), path, depth, flag)
        self._within -= parts is not None
        if count is not None and (wrong := template_fault(strategy, count)):
            self.problems.append(at(entries.get("children", node), f"{path}.children", wrong))
        wrong = None if count is None else partition_fault(strategy, count)
        if "partitions" in values and wrong:
            self.problems.append(at(entries["partitions"], f"{path}.partitions", wrong))
        spec = SupervisorSpec(name, children=tuple(children), **values)
        if parts and len(children) == 1 < len(spec.children) and not self._within:
            made = [below.id for child in spec.children for _, below in walk(child)]
            self._parted.append((parts, path, made))
        return spec

    def _children(
        self, node: Node | None, path: str, depth: int, auto_shutdown: str | None
    ) -> tuple[list[ChildSpec], int | None]:
        """Return the valid children, and the number of entries; None if it is no list."""
        if node is None:
            return [], 0
        if not isinstance(node, SequenceNode) or node.tag != SEQ:
            wanted = keys.expected(keys.ROOT["children"])
            self._complain(node, f"{path}.children", described(node), wanted)
            return [], None
        children: list[ChildSpec] = []
        for place, child in enumerate(node.value, 1):
            child_path, kind = self._open(child, path, place)
            if kind == "worker":
                children.append(self._worker(child, child_path, auto_shutdown))
            elif kind == "remote":
                children.append(self._remote(child, child_path, auto_shutdown))
            elif kind and depth >= MAX_DEPTH:
                self.problems.append(at(child, child_path, DEPTH_FAULT))
            elif kind:
                children.append(self._supervisor(child, child_path, depth + 1, auto_shutdown))
        return children, len(node.value)

    def _worker(self, node: Node, path: str, auto_shutdown: str | None) -> WorkerSpec:
        entries = self._fields.entries(node, keys.WORKER, path)
        name = self._fields.name(entries.get("worker"), keys.WORKER["worker"], path)
        start = self._start(entries.get("start"), node, path)
        args = self._args(entries["args"], f"{path}.args") if "args" in entries else NO_ARGS
        values = self._fields.values(entries, keys.WORKER, path)
        self._combination(entries, values, auto_shutdown, path)
        settings = tuple(values.items())
        options = self._options.get(settings)
        if options is None:
            options = WorkerOptions(**values)
            options = DEFAULT_OPTIONS if options == DEFAULT_OPTIONS else options
            self._options[settings] = options
        return WorkerSpec(name, start, args, options)

    def _remote(
        self, node: Node, path: str, auto_shutdown: str | None
    ) -> RemoteSpec | SupervisorSpec:
        entries = self._fields.entries(node, keys.REMOTE, path)
        name = self._fields.name(entries.get("remote"), keys.REMOTE["remote"], path)
        if "remote" in entries and (wrong := remote_fault(name)):
            self.problems.append(at(entries["remote"], f"{path}.remote", wrong))
        values = self._fields.values(entries, keys.REMOTE, path)
        if "tree" not in entries:
            wanted = f"tree: {keys.expected(keys.REMOTE['tree'])}"
            self._complain(node, path, "has no tree", wanted)
        if "place" in entries:
            values["place"] = self._place(entries["place"], path)
        self._combination(entries, values, auto_shutdown, path)
        shards = values.pop("shards", None)
        remote = RemoteSpec(name, values.pop("tree", ""), **values)
        if shards is None:
            return remote
        pool = sharded(remote, shards)
        if not self._within:
            self._parted.append((entries["shards"], path, [child.id for child in pool.children]))
        return pool

    def _place(self, node: Node, path: str) -> dict[str, str]:
        key, found = keys.REMOTE["place"], None
        if isinstance(node, MappingNode) and node.tag == MAP:
            found = plain_value(node, f"{path}.place", self.problems)
        if found is not None and not fault(key, found):
            return dict(found)
        self._complain(node, f"{path}.place", described(node), keys.expected(key))
        return {}

    def _start(self, node: Node | None, worker: Node, path: str) -> object:
        key = keys.WORKER["start"]
        if node is None:
            self._complain(worker, path, "has no start", f"start: {keys.expected(key)}")
            return None
        found, reference = self._fields.scalar(key, node, path)
        if not found:
            return None
        resolved = self._resolve(reference)
        if resolved.fault:
            self.problems.append(at(node, f"{path}.start", resolved.fault))
        return resolved.value

    def _args(self, node: Node, path: str) -> dict[str, Any]:
        if not isinstance(node, MappingNode) or node.tag != MAP:
            self._complain(node, path, described(node), keys.expected(keys.WORKER["args"]))
            return {}
        args: dict[str, Any] = plain_value(node, path, self.problems)
        if wrong := args_fault(args):
            self.problems.append(at(node, path, wrong))
        return args

    def _combination(
        self, entries: _Entries, values: Mapping[str, Any], auto_shutdown: str | None, path: str
    ) -> None:
        if not values.get("significant") or auto_shutdown is None:
            return
        restart = _judged("restart", Restart.PERMANENT, entries, values)
        if wrong := combination_fault(restart, values["significant"], auto_shutdown):
            self.problems.append(at(entries["significant"], f"{path}.significant", wrong))


def _is_name(node: Node) -> bool:
    """Whether a node holds a valid name."""
    if node.tag != STR or not isinstance(node, ScalarNode):
        return False
    return keys.NAME.fullmatch(node.value) is not None


def _judged(name: str, default: Enum, entries: _Entries, values: Mapping[str, Any]) -> str | None:
    """The word of an entry, its default where it is left out, None where it is wrong."""
    if name in entries and name not in values:
        return None
    return str(values.get(name, default).value)
