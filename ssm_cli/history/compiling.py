"""From the syntax tree of an EXPR to a function of a record, each kind of node by itself."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from ssm_cli.behaviour.results import NOTHING
from ssm_cli.codec.words import shorten, suggestion
from ssm_cli.history.functions import FUNCTIONS, METHODS
from ssm_cli.history.grammar import LITERALS, Spelling, check_constant, check_name, key_of
from ssm_cli.history.operators import (
    NotKnown,
    Say,
    contains,
    each,
    equal,
    negated,
    number,
    ordered,
    reckon,
    truth,
    unfit,
)
from ssm_cli.history.paths import no_part
from ssm_cli.history.plain import KEYS, atom, keyed, named

NAMES = {
    "state": "the state after the record",
    "input": "the input",
    "output": "the output",
    "kind": "the name of the input's type",
    "how": "call, cast, info, timer, ...",
    "outcome": "replied, silent, crashed, stopped",
    "error": "the exception as `Type: message`, None without one",
    "worker": "the worker's id",
    "record": "the number of the record",
}
"""What an EXPR may be about."""

SIGNS: Mapping[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
}
ORDERS: Mapping[type[ast.cmpop], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
}


SINGLE = (bool, type(None))
REFUSED: Mapping[type[ast.expr], str] = {
    ast.Lambda: "a function",
    ast.NamedExpr: "`:=`",
    ast.JoinedStr: "an f-string",
    ast.Slice: "a slice",
    ast.Starred: "`*`",
    ast.Dict: "`**`",
    ast.GeneratorExp: "a generator that is no argument of `any all sum min max`",
    ast.SetComp: "a set comprehension",
    ast.DictComp: "a dict comprehension",
    ast.Await: "`await`",
    ast.Yield: "`yield`",
    ast.YieldFrom: "`yield`",
}


class TooMuch(Exception):
    """An evaluation has taken as many steps as it may."""


class Subject(Protocol):
    """What an expression is about: what its names stand for."""

    def get(self, name: str, otherwise: Any, /) -> Any:
        """Return what a name stands for; `otherwise` if it is not known."""


class Run:
    """Evaluations of one expression: what each is about, the steps that it may still take.

    Attributes:
        names: what the evaluation is about.
        local: what the names of loops stand for, by place.
        found: parts that were known in any of them.
        unknown: parts that were not, with the reason of the first.
    """

    __slots__ = ("found", "left", "local", "names", "unknown")

    def __init__(self) -> None:
        self.names: Subject = {}
        self.local: dict[int, Any] = {}
        self.found: set[str] = set()
        self.unknown: dict[str, Say] = {}
        self.left = 0

    def begin(self, names: Subject, steps: int) -> None:
        """Begin an evaluation that may take so many steps."""
        self.names, self.left = names, steps

    def spend(self, steps: int) -> None:
        """Count steps; raise `TooMuch` at the end of them."""
        self.left -= steps
        if self.left < 0:
            raise TooMuch


Evaluate = Callable[[Run], Any]
Test = Callable[[Run, Any, Any], bool]


class Loop(NamedTuple):
    """One `for ... in ... if ...`: where each element goes, what is gone through, which count."""

    places: tuple[int, ...]
    single: bool
    through: Evaluate
    tests: tuple[Evaluate, ...]


def compiled(spelling: Spelling, given: Collection[str]) -> Evaluate:
    """Return the function that a text spells: from a `Run` to a value, or it raises `NotKnown`.

    `given` are the names that will be known.

    Raises:
        BadExpr: it spells none.
    """
    return _Compiler(spelling, given).of(spelling.tree())


class _Compiler:
    def __init__(self, spelling: Spelling, given: Collection[str]) -> None:
        self._spelling, self._given = spelling, given
        self._local: dict[str, int] = {}  # names of the loops around, each with its place
        self._places = 0

    def of(self, node: ast.expr) -> Evaluate:
        """Return the function of a node.

        Raises:
            BadExpr: it is not allowed.
        """
        match node:
            case ast.Constant(value=str() | bytes() | int() | float() | None):
                value = check_constant(self._spelling, node)
                return lambda _: value
            case ast.Name():
                return self._name(node)
            case ast.BoolOp():
                parts = tuple(map(self.of, node.values))
                return partial(_either, parts, isinstance(node.op, ast.Or))
            case ast.IfExp():
                test, one, other = self.of(node.test), self.of(node.body), self.of(node.orelse)
                return lambda run: one(run) if truth(test(run)) else other(run)
            case _:
                return self._told(node, self._inside(node))

    def _inside(self, node: ast.expr) -> Evaluate:
        match node:
            case ast.Attribute() | ast.Subscript():
                return self._part(node)
            case ast.Compare():
                return self._compare(node)
            case ast.BinOp(op=op) if type(op) in SIGNS:
                one, other = self.of(node.left), self.of(node.right)
                sign = SIGNS[type(op)]
                return lambda run: reckon(sign, one(run), other(run))
            case ast.UnaryOp():
                return self._unary(node)
            case ast.Call():
                return self._call(node)
            case _:
                return self._display(node)

    def _told(self, node: ast.expr, evaluate: Evaluate) -> Evaluate:
        """Return a function that writes down whether it was known, under the text of its node."""
        part = self._spelling.of(node)

        def told(run: Run) -> Any:
            run.left -= 1  # as `spend` does
            if run.left < 0:
                raise TooMuch
            try:
                value = evaluate(run)
            except NotKnown as error:
                if not error.part:
                    error.part = part
                    run.unknown.setdefault(part, error.say)
                raise
            run.found.add(part)
            return value

        return told

    def _name(self, node: ast.Name) -> Evaluate:
        name = node.id
        if name in self._local:
            place = self._local[name]
            return lambda run: run.local[place]
        if name in LITERALS:
            value = LITERALS[name]
            return lambda _: value
        if name in self._given:
            return partial(_given, name)
        if name in NAMES:
            known = " and ".join(f"`{one}`" for one in self._given)
            raise self._spelling.wrong(f"`{name}` is not known here: it is about {known}", node)
        near = suggestion(name, [*NAMES, *FUNCTIONS])
        hint = f"a part of the state is `state.{shorten(name)}`, a text is in quotes"
        names = ", ".join(self._given)
        wrong = f"no name `{shorten(name)}`: expected one of {names}; {hint}{near}"
        raise self._spelling.wrong(wrong, node)

    def _part(self, node: ast.Attribute | ast.Subscript) -> Evaluate:
        """Return what finds `.name` or `[key]` in a value, as a path does."""
        whole, place = self.of(node.value), self._spelling.of(node.value)
        if isinstance(node, ast.Attribute):
            name = check_name(self._spelling, node.attr, node)
            return partial(_attribute, whole, name, place)
        step = f"[{self._spelling.of(node.slice)}]"
        return partial(_item, whole, self._key(node.slice), place, step)

    def _key(self, node: ast.expr) -> Evaluate:
        names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
        if isinstance(node, ast.Name | ast.Tuple) and not names & {*self._local, *NAMES}:
            key = key_of(self._spelling, node)
            return lambda _: key
        return self.of(node)

    def _unary(self, node: ast.UnaryOp) -> Evaluate:
        inner = self.of(node.operand)
        match node.op:
            case ast.Not():
                return lambda run: not truth(inner(run))
            case ast.USub():
                return lambda run: negated(inner(run))
            case ast.UAdd():
                return lambda run: number(inner(run))
            case _:
                raise self._spelling.refused("`~`", node)

    def _compare(self, node: ast.Compare) -> Evaluate:
        """Return what compares values in a chain, each with the next."""
        values = tuple(map(self.of, (node.left, *node.comparators)))
        tests = tuple(map(self._test, node.ops, node.comparators))

        if len(tests) == 1:
            first, second, test = *values, *tests
            return lambda run: test(run, first(run), second(run))

        def compare(run: Run) -> bool:
            one = values[0](run)
            for test, evaluate in zip(tests, values[1:], strict=True):
                other = evaluate(run)
                if not test(run, one, other):
                    return False
                one = other
            return True

        return compare

    def _test(self, sign: ast.cmpop, right: ast.expr) -> Test:
        match sign:
            case ast.Eq():
                return lambda run, one, other: equal(one, other, run.spend)
            case ast.NotEq():
                return lambda run, one, other: not equal(one, other, run.spend)
            case ast.In():
                return lambda run, one, other: contains(other, one, run.spend)
            case ast.NotIn():
                return lambda run, one, other: not contains(other, one, run.spend)
            case ast.Is() | ast.IsNot():
                if not isinstance(right, ast.Constant) or type(right.value) not in SINGLE:
                    raise self._spelling.wrong("`is` goes with None, True and False alone", right)
                found = isinstance(sign, ast.Is)
                return lambda _, one, other: (one is other) is found
            case _:
                name, compare = ORDERS[type(sign)]
                return lambda run, one, other: ordered(compare, name, one, other, run.spend)

    def _call(self, node: ast.Call) -> Evaluate:
        """Return what calls one of the functions or methods that may be called."""
        match node.func:
            case ast.Name(id=name) if name in FUNCTIONS and name not in self._local:
                allowed, given = FUNCTIONS[name], node.args
            case ast.Attribute(value=whole, attr=name) if name in METHODS:
                allowed, given = METHODS[name], [whole, *node.args]
            case _:
                calls = ", ".join([*FUNCTIONS, *(f".{method}()" for method in METHODS)])
                called = f"a call of `{shorten(self._spelling.of(node.func))}`"
                raise self._spelling.wrong(
                    f"{called} is not allowed: expected one of {calls}", node
                )
        count = len(node.args)
        if node.keywords or not allowed.fewest <= count <= allowed.most:
            most = f" to {allowed.most}" if allowed.most > allowed.fewest else ""
            takes = f"`{name}` takes {allowed.fewest}{most} arguments without names"
            raise self._spelling.wrong(f"{takes}, got {count + len(node.keywords)}", node)
        if allowed.over and isinstance(node.args[0], ast.GeneratorExp) and count == 1:
            loops, element = self._loops(node.args[0])
            if name in {"any", "all"}:
                return partial(_quantified, loops, element, name == "any")
            return lambda run: allowed.do(run.spend, _listed(loops, element, run))
        values = tuple(map(self.of, given))
        return lambda run: allowed.do(run.spend, *(value(run) for value in values))

    def _display(self, node: ast.expr) -> Evaluate:
        """Return what makes a list, a tuple, a set or a dict; refuse whatever is none."""
        match node:
            case ast.List(elts=parts):
                values = tuple(map(self.of, parts))
                return lambda run: [value(run) for value in values]
            case ast.Tuple(elts=parts):
                values = tuple(map(self.of, parts))
                return lambda run: tuple(value(run) for value in values)
            case ast.Set(elts=parts):
                values = tuple(map(self.of, parts))
                return lambda run: {_hashable(value(run)) for value in values}
            case ast.Dict(keys=keys, values=held) if None not in keys:
                pairs = tuple(
                    (self.of(k), self.of(v)) for k, v in zip(keys, held, strict=True) if k
                )
                return lambda run: {_hashable(key(run)): value(run) for key, value in pairs}
            case ast.ListComp():
                loops, element = self._loops(node)
                return partial(_listed, loops, element)
            case _:
                what = REFUSED.get(type(node), f"`{shorten(self._spelling.of(node))}`")
                raise self._spelling.refused(what, node)

    def _loops(self, node: ast.GeneratorExp | ast.ListComp) -> tuple[tuple[Loop, ...], Evaluate]:
        """Return the loops of a generator, outermost first, and what it yields."""
        around, loops = self._local, []
        self._local = dict(around)
        for one in node.generators:
            through = self.of(one.iter)
            if one.is_async:
                raise self._spelling.refused("`async`", one.target)
            single = isinstance(one.target, ast.Name)
            places = tuple(map(self._bind, [one.target] if single else self._targets(one.target)))
            loops.append(Loop(places, single, through, tuple(map(self.of, one.ifs))))
        element = self.of(node.elt)
        self._local = around
        return tuple(loops), element

    def _targets(self, node: ast.expr) -> list[ast.expr]:
        if isinstance(node, ast.Tuple | ast.List):
            return node.elts
        raise self._spelling.wrong("expected a name, or names with commas between them", node)

    def _bind(self, node: ast.expr) -> int:
        """Return the place of a new local name; from here on the name means that."""
        if not isinstance(node, ast.Name):
            raise self._spelling.wrong("expected a name", node)
        if node.id in NAMES or node.id in LITERALS:
            raise self._spelling.wrong(f"`{node.id}` has a meaning: choose another name", node)
        self._places += 1
        self._local[node.id] = self._places
        return self._places


# --- what the functions do --------------------------------------------------------------------


def _given(name: str, run: Run) -> Any:
    value = run.names.get(name, NOTHING)
    if value is NOTHING:
        raise NotKnown(lambda: f"there is no {name}", name)
    return value


def _attribute(whole: Evaluate, name: str, place: str, run: Run) -> Any:
    value = whole(run)
    part = named(value, name, run.spend)
    if part is NOTHING:
        raise NotKnown(partial(no_part, place, f".{name}", value))
    return part


def _item(whole: Evaluate, key: Evaluate, place: str, step: str, run: Run) -> Any:
    value, wanted = whole(run), atom(key(run))
    text = atom(value)
    if type(text) is str and type(wanted) is int:
        part: Any = text[wanted] if -len(text) <= wanted < len(text) else NOTHING
    else:
        part = keyed(value, wanted, run.spend)
    if part is NOTHING:
        raise NotKnown(partial(no_part, place, step, value))
    return part


def _either(parts: Sequence[Evaluate], wanted: bool, run: Run) -> Any:
    """Return the first part that is `wanted`, or the last; not known where that may differ."""
    unknown: tuple[Say, str] | None = None
    value: Any = not wanted
    for part in parts:
        try:
            value = part(run)
        except NotKnown as error:
            unknown = unknown or (error.say, error.part)
            continue
        if truth(value) is wanted:
            return value
    if unknown:
        raise NotKnown(*unknown)
    return value


def _quantified(loops: Sequence[Loop], element: Evaluate, wanted: bool, run: Run) -> bool:
    """Return whether any element is true (`wanted`), or else whether all are."""
    unknown: tuple[Say, str] | None = None
    for _ in _through(loops, run):
        try:
            if truth(element(run)) is wanted:
                return wanted
        except NotKnown as error:
            unknown = unknown or (error.say, error.part)
    if unknown:
        raise NotKnown(*unknown)
    return not wanted


def _listed(loops: Sequence[Loop], element: Evaluate, run: Run) -> list[Any]:
    return [element(run) for _ in _through(loops, run)]


def _through(loops: Sequence[Loop], run: Run) -> Iterator[None]:
    """Yield once for each element, with the local names set to it."""
    loop, *inner = loops
    for one in each(loop.through(run), run.spend):
        parts = (one,) if loop.single else tuple(each(one, run.spend))
        if len(parts) != len(loop.places):
            names = len(loop.places)
            raise NotKnown(partial("{} parts do not go to {} names".format, len(parts), names))
        run.local.update(zip(loop.places, parts, strict=True))
        if not all(_is_so(test, run) for test in loop.tests):
            continue
        if inner:
            yield from _through(inner, run)
        else:
            yield


def _is_so(test: Evaluate, run: Run) -> bool:
    try:
        return truth(test(run))
    except NotKnown:
        return False


def _hashable(value: Any) -> Any:
    """Return a value of Python's own that may be an element of a set, or a key."""
    plain = atom(value)
    if id(type(plain)) not in KEYS:
        raise unfit((value,), "a set or a dict")
    return plain
