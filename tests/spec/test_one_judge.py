"""One judge of specs: the same complaint in the same words at every door, and nothing started."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import partial, partialmethod
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ssm_cli import (
    Backoff,
    Cast,
    Event,
    EventHandler,
    GenServer,
    Ignore,
    ManualClock,
    Node,
    PureHandler,
    PureStatem,
    Remote,
    SpecError,
    SsmError,
    StartFailed,
    Statem,
    StateMachine,
    Supervisor,
    SupervisorError,
    TreeFileError,
    Worker,
    load_tree,
)
from ssm_cli.commands.values import child_spec_of
from ssm_cli.errors import CommandError
from ssm_cli.http.client.specs import text_of_spec
from ssm_cli.machines.kv import kv_store
from ssm_cli.spec.code import start_fault
from ssm_cli.spec.model import MAX_DEPTH, OnCrash, SupervisorSpec, WorkerSpec
from ssm_cli.spec.validate import check_spec

KV = "start: ssm_cli.machines.kv:kv_store"
HEAD = """
from ssm_cli import Backoff, Remote, Supervisor, Worker
from ssm_cli.machines.kv import kv_store
inf, nan = float('inf'), float('nan')
"""


def any_value(value: object) -> Any:
    """A value of the wrong type, for a parameter that no type checker would let it into."""
    return value


def said_by(act: Callable[[], object]) -> str:
    """The complaint of a door: all of them in one text. Anything but an `SsmError` is a failure."""
    with pytest.raises(SsmError) as caught:
        act()
    return "\n".join([str(caught.value), *getattr(caught.value, "complaints", ())])


def quiet(*children: object, **flags: object) -> Node:
    """A node over these children that has not started."""
    return Node(
        Supervisor("root", children=any_value(children), **any_value(flags)), clock=ManualClock()
    )


def python_file(folder: Path, child: str) -> str:
    file = folder / "tree.py"
    file.write_text(f"{HEAD}tree = Supervisor('root', children=[{child}])\n", encoding="utf-8")
    return said_by(lambda: load_tree(file))


def yaml_file(folder: Path, child: str) -> str:
    file = folder / "tree.yaml"
    file.write_text(f"supervisor: root\nchildren:\n  - {child}\n", encoding="utf-8")
    return said_by(lambda: load_tree(file))


def built(child: str) -> Any:
    space: dict[str, Any] = {}
    exec(HEAD, space)  # noqa: S102 - the text of the table
    return eval(child, space)  # noqa: S307 - the same


def started(child: object) -> str:
    """What `Node(...)`, or its start, says."""

    def act() -> None:
        with quiet(child):
            pass

    return said_by(act)


def added(child: object) -> str:
    """What `start_child` says; the tree stays as it was."""
    with quiet(Worker("kept", kv_store)) as node:
        before = (len(node.reports()), node.tree())
        said = said_by(lambda: node.start_child("root", any_value(child)))
        assert (len(node.reports()), node.tree()) == before
    return said


WORKER_KEYS = [  # a key, its value in Python, in YAML, and the complaint
    ("shutdown", "'5s'", "5s", 'is the text "5s"; expected a whole number of at least 0'),
    ("shutdown", "-1", "-1", "is -1; expected a whole number of at least 0, brutal_kill"),
    ("shutdown", "True", "true", "is true; expected a whole number of at least 0"),
    ("shutdown", "5000.0", "5000.0", "is 5000.0; expected a whole number of at least 0"),
    ("shutdown", "nan", ".nan", "is nan; expected a whole number of at least 0"),
    ("restart", "'forever'", "forever", 'is the text "forever"; expected permanent, transient or'),
    ("restart", "7", "7", "is 7; expected permanent, transient or temporary"),
    ("restart", "None", "null", "is nothing; expected permanent, transient or temporary"),
    ("persist", "'disk'", "disk", 'is the text "disk"; expected none, snapshot or journal'),
    ("on_crash", "[]", "[]", "is a list; expected init, saved or last_good"),
    ("significant", "0", "0", "is 0; expected true or false"),
    ("significant", "'no'", "'no'", 'is the text "no"; expected true or false'),
    ("significant", "True", "true", "is true with auto_shutdown never; expected auto_shutdown any"),
    ("step_timeout", "0", "0", "is 0; expected a number greater than 0 or infinity"),
    ("step_timeout", "inf", ".inf", "is inf; expected a number greater than 0 or infinity"),
    ("step_timeout", "True", "true", "is true; expected a number greater than 0 or infinity"),
    ("init_timeout", "None", "null", "is nothing; expected a number greater than 0"),
    ("save_inputs", "0", "0", "is 0; expected a whole number of at least 1"),
    ("save_seconds", "'1'", "'1'", 'is the text "1"; expected a number of at least 0'),
    ("quarantine", "3.0", "3.0", "is 3.0; expected a whole number of at least 1 or never"),
    ("codec", "'jsn'", "jsn", 'is the text "jsn"; expected text, json or msgpack; did you mean j'),
    ("label", "7", "7", "is 7; expected text of at most 200 characters"),
    ("args", "[1]", "[1]", "is a list; expected a mapping of argument names to values"),
    ("args", "{1: 2}", "{1: 2}", "has the argument names 1; expected text"),
    ("backoff", "100", "100", "is 100; expected a "),
]
SUPERVISOR_KEYS = [
    ("strategy", "'all'", "all", 'is the text "all"; expected one_for_one, one_for_all, rest_'),
    ("intensity", "-1", "-1", "is -1; expected a whole number of at least 0"),
    ("intensity", "True", "true", "is true; expected a whole number of at least 0"),
    ("intensity", "1.0", "1.0", "is 1.0; expected a whole number of at least 0"),
    ("period", "nan", ".nan", "is nan; expected a number greater than 0"),
    ("period", "'5s'", "5s", 'is the text "5s"; expected a number greater than 0'),
    ("auto_shutdown", "1", "1", "is 1; expected never, any_significant or all_significant"),
    (
        "max_children",
        "1",
        "1",
        "has no meaning under one_for_one; expected strategy simple_one_for_",
    ),
    ("partitions", "1", "1", "is 1; expected a whole number of at least 2"),
    ("queue", "5", "5", "expected it "),
    ("children", "5", "5", "is 5; expected a list of children"),
    ("children", "'ab'", "ab", 'is the text "ab"; expected a list of children'),
    ("children", "{}", "{}", "is a mapping; expected a list of children"),
]
REMOTE_KEYS = [
    ("place", "{'a': 1}", "{a: 1}", "is a mapping; expected a mapping of labels to texts"),
    ("lease", "nan", ".nan", "is nan; expected a number of at least 0.5 and at most 600"),
    ("orphan", "'kep'", "kep", 'is the text "kep"; expected keep or stop; did you mean keep?'),
]
NAMES = [
    (
        "''",
        "''",
        'is the text ""; expected 1 to 200 letters, digits, underscores, dots and hyphens',
    ),
    ("'  '", "'  '", 'is the text "  "; expected 1 to 200 letters'),
    ("'a/b'", "a/b", 'is the text "a/b"; expected 1 to 200 letters'),
    ("'a\\x1bb'", '"a\\eb"', 'is the text "a\\x1bb"; expected 1 to 200 letters'),
    ("'kv\u0435'", "kv\u0435", 'is the text "kv\u0435"; expected 1 to 200 letters'),
    (f"'{'x' * 201}'", "x" * 201, f'is the text "{"x" * 60}…"; expected 1 to'),
    ("7", "7", "is 7; expected 1 to 200 letters"),
    ("None", "null", "is nothing; expected 1 to 200 letters"),
]
POOL = "simple_one_for_one"
TWINS = "[Worker('d', kv_store), Worker('d', kv_store)]"
YAML_TWINS = f"[{{worker: d, {KV}}}, {{worker: d, {KV}}}]"
WRONG: list[tuple[str, str, str]] = [
    *(
        (f"Worker('w', kv_store, {k}={p})", f"{{worker: w, {KV}, {k}: {y}}}", f"w.{k}: {said}")
        for k, p, y, said in WORKER_KEYS
    ),
    *(
        (f"Supervisor('s', {k}={p})", f"{{supervisor: s, {k}: {y}}}", said)
        for k, p, y, said in SUPERVISOR_KEYS
    ),
    *(
        (f"Remote('r', 't.yaml', {k}={p})", f"{{remote: r, tree: t, {k}: {y}}}", f"r.{k}: {said}")
        for k, p, y, said in REMOTE_KEYS
    ),
    *(
        (f"Worker({p}, kv_store)", f"{{worker: {y}, {KV}}}", f".worker: {said}")
        for p, y, said in NAMES
    ),
    (
        "Worker('w', kv_store, backoff=Backoff(initial_ms=nan))",
        f"{{worker: w, {KV}, backoff: {{initial: .nan}}}}",
        "w.backoff.initial: is nan; expected a number greater than 0",
    ),
    (
        "Worker('w', kv_store, backoff=Backoff(initial_ms=60000))",
        f"{{worker: w, {KV}, backoff: {{initial: 60000}}}}",
        "w.backoff.max: is 30000, less than initial; expected at least 60000",
    ),
    (
        f"Supervisor('s', '{POOL}')",
        f"{{supervisor: s, strategy: {POOL}}}",
        f"s.children: has no children under {POOL}; expected exactly one, the template",
    ),
    (
        f"Supervisor('s', children={TWINS})",
        f"{{supervisor: s, children: {YAML_TWINS}}}",
        "s/d.worker: has the name of ",
    ),
    (
        "Remote('r.x', 't.yaml')",
        "{remote: r.x, tree: t.yaml}",
        "r.x.remote: has a dot; expected a name without one: its workers are called as r-x.WORKER",
    ),
    (
        "Remote('r', 7)",
        "{remote: r, tree: 7}",
        "r.tree: is 7; expected a tree file, or package.module:attribute",
    ),
]


def doors_that_differ(complaint: str, said: dict[str, str]) -> dict[str, str]:
    """What the doors say that do not make the complaint."""
    return {door: text for door, text in said.items() if complaint not in text}


@pytest.mark.parametrize(("python", "yaml", "complaint"), WRONG)
def test_every_door_makes_the_same_complaint(
    tmp_path: Path, python: str, yaml: str, complaint: str
) -> None:
    child = built(python)
    doors = {
        "YAML file": yaml_file(tmp_path, yaml),
        "Python file": python_file(tmp_path, python),
        "Node": started(child),
        "start_child": added(child),
    }
    assert not doors_that_differ(complaint, doors)


@pytest.mark.parametrize(("python", "yaml", "complaint"), WRONG[::5])
def test_the_prompt_and_the_client_of_http_make_it_too(
    python: str, yaml: str, complaint: str
) -> None:
    end = complaint.partition(": ")[2]  # a line of the prompt has columns, no paths
    if "auto_shutdown" not in complaint:  # which is the supervisor's, and judged by its node
        assert end in said_by(lambda: child_spec_of(yaml))
        assert end in said_by(lambda: text_of_spec(built(python)))


def machine(**fields: object) -> StateMachine:
    return StateMachine(**any_value({"step": lambda message, state: (state, message)} | fields))


class Calls(GenServer):
    def handle_calls(self, message: Any, caller: Any, state: Any) -> Any:
        return None


class Camel(GenServer):
    def handleCast(self, message: Any, state: Any) -> Any:  # noqa: N802 - the point of the test
        return None


class Hande(GenServer):
    def hande_cast(self, message: Any, state: Any) -> Any:
        return None


class Int(GenServer):
    def int(self, name: Any, args: Any) -> Any:
        return None


class Terminated(Calls):
    def terminated(self, reason: Any, state: Any) -> Any:
        return None


class Static(GenServer):
    @staticmethod
    def handle_inf(message: Any, state: Any) -> Any:
        return message, state


class Needy(GenServer):
    def __init__(self, pump: object) -> None:
        self.pump = pump


class Number(GenServer):
    handle_call = any_value(5)


async def waiting_call(self: object, message: Any, caller: Any, state: Any) -> Any:
    return None


class Later(GenServer):
    handle_call: Any = any_value(waiting_call)


class Coded(GenServer):
    codec = "yaml"  # type: ignore[assignment]  # that is what is wrong


class Half:
    def decode(self, data: bytes) -> object:
        return data


async def waiting_step(message: Any, state: Any) -> Any:
    return state, message


class Fewer(GenServer):
    handle_call: Any = lambda self, message, state: None
    handle_cast: Any = staticmethod(lambda message: None)
    terminate: Any = classmethod(lambda cls, reason: None)


class Timed(Statem):
    handle_event: Any = lambda self, event, state: None


class StateOfItsOwn(Statem):
    def state(self, event: Any, data: Any) -> Any: ...


T = TypeVar("T")


class Hostile:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("look away")

    def __call__(self, message: Any, state: Any) -> Any: ...


class StaticCall:
    @staticmethod
    def __call__(message: Any) -> Any: ...


class Made:
    def __init__(self, message: Any) -> None: ...


class Kept(GenServer[Any, T, Any]): ...


class OneWay:
    def decode(self) -> object: ...

    def encode(self, value: object, *, width: int) -> None: ...


class Hears(EventHandler):
    handle_event: Any = lambda self, event: None


def print_one(event: Any) -> None: ...


def dict_of() -> None: ...


class Manages(Event):
    handlers: ClassVar[Any] = {
        "h": Hears,
        "p": PureHandler(any_value(print_one), init=any_value(dict_of)),
    }


def pure(**options: Any) -> PureStatem:
    return PureStatem(**{"step": print, "init": print, **options})


def yields(value: Any) -> Any:
    yield value


def yields_two(event: Any, state: Any) -> Any:
    yield state


def waiting_args(message: Any, state: Any) -> Any: ...


async def waiting_redact(value: Any) -> Any: ...


class Awaited:
    async def __call__(self, message: Any, state: Any) -> Any: ...


class LaterHandler(EventHandler):
    handle_event: Any = any_value(waiting_step)


class NeedyHandler(EventHandler):
    def __init__(self, path: str) -> None:
        self.path = path


class NoHandler(EventHandler):
    handle_event: Any = None


def managing(handler: object) -> type[Event]:
    class Manager(Event):
        handlers: ClassVar[Any] = {"odd": handler}

    return Manager


CODE: list[tuple[object, str]] = [
    (machine(step=lambda m: m), "has the step(m); expected step(message, state)"),
    (machine(step=lambda m, s, x: m), "has the step(m, s, x); expected step(message, state)"),
    (machine(step=partial(lambda m, s: m, 1)), "has the step(s); expected step(message, state)"),
    (machine(step=lambda m, s, *, k: m), "has the step(m, s, k by name); expected step("),
    (machine(init=lambda: 0), "has the init(); expected init(name, args)"),
    (
        machine(terminate=lambda n: 0),
        "has the terminate(n); expected terminate(name, state, reason)",
    ),
    (machine(redact=lambda: 0), "has the redact(); expected redact(value)"),
    (machine(migrate=lambda s: 0), "has the migrate(s); expected migrate(old_version, state)"),
    (machine(restore=lambda n, a: 0), "has the restore(n, a); expected restore(name, args, saved)"),
    (
        machine(code_change=lambda v, s: 0),
        "has the code_change(v, s); expected code_change(old_ver",
    ),
    (machine(codec=OneWay()), "has a codec that has the decode(); expected decode(data)"),
    (machine(codec=OneWay()), "codec that has the encode(value, width by name); expected encode(v"),
    (pure(step=lambda m, s: m), "has the step(m, s); expected step(event, state, data)"),
    (pure(terminate=lambda r: 0), "has the terminate(r); expected terminate(reason, state, data)"),
    (
        Fewer,
        "has the handle_call(self, message, state); expected handle_call(self, message, caller",
    ),
    (Fewer, "has the handle_cast(message); expected handle_cast(message, state)"),
    (Fewer, "has the terminate(cls, reason); expected terminate(self, reason, state)"),
    (
        Timed,
        "has the handle_event(self, event, state); expected handle_event(self, event, state, d",
    ),
    (Manages, "has the handler h, which has the handle_event(self, event); expected handle_event("),
    (Manages, "has the handler p, which has the step(event); expected step(event, state)"),
    (Manages, "has the handler p, which has the init(); expected init(args)"),
    *(
        (machine(outputs=odd), f"has the outputs {said}; expected classes of its outputs, as Ok")
        for odd, said in ((5, "5"), ("Ok", 'the text "Ok"'), (len, "the function len"))
    ),
    (machine(outputs=[int]), "; expected classes of its outputs, as Ok | Result"),
    (42, "is 42; expected a StateMachine or a subclass of GenServer"),
    (kv_store.step, "is the function step; expected a StateMachine"),
    (
        GenServer(),
        "is a GenServer; expected a StateMachine or a subclass of GenServer, Statem or Event",
    ),
    (StateOfItsOwn, "has the state the function state; expected the type of its state"),
    (
        type("Numbered", (Event,), {"handlers": {5: EventHandler}}),
        "has a handler that is named 5; expected text",
    ),
    (machine(step=Hostile()), "has a step that cannot be looked at, look away; expected a functi"),
    (machine(step=StaticCall()), "has the step(message); expected step(message, state)"),
    (machine(step=Made), "has the step(message); expected step(message, state)"),
    (
        machine(step=partial(any_value(waiting_args), 1, 2, 3)),
        "has a step with more bound than it takes; expected step(message, state)",
    ),
    (Kept[int], "is the class Kept with its types; expected a StateMachine or a subclass of Gen"),
    (machine(step=5), "has the step 5; expected a function step(message, state)"),
    (machine(init=5), "has the init 5; expected a function, or None"),
    (machine(terminate="x"), 'has the terminate the text "x"; expected a function, or None'),
    (machine(redact=True), "has the redact true; expected a function, or None"),
    (
        machine(migrate=1, restore=2),
        "has the migrate 1; expected a function, or None; and it has the",
    ),
    (machine(step=waiting_step), "has an async step; expected a plain function"),
    (machine(step=partial(waiting_step)), "has an async step; expected a plain function"),
    (machine(step=Awaited()), "has an async step; expected a plain function"),
    (machine(redact=yields), "has a redact that yields; expected a plain function that returns"),
    (pure(redact=waiting_redact), "has an async format_status; expected a plain function"),
    (pure(trap_exit="no"), 'has the trap_exit the text "no"; expected true or false'),
    *(
        (managing(handler), f"has the handler odd, which {said}")
        for handler, said in (
            (PureHandler(waiting_step), "has an async step; expected a plain function"),
            (PureHandler(yields_two), "has a step that yields; expected a plain function"),
            (PureHandler(any_value(None)), "has the step nothing; expected a function"),
            (PureHandler(print, init=any_value(5)), "has the init 5; expected a function"),
            (LaterHandler, "has an async handle_event; expected a plain function"),
            (NeedyHandler, "needs arguments to be made; expected a class that can be made"),
            (NoHandler, "has the handle_event nothing; expected a method"),
        )
    ),
    (
        machine(codec="jsn"),
        'has a codec that is the text "jsn"; expected text, json or msgpack; did',
    ),
    *(
        (machine(inputs=odd), f"has a codec that cannot read its inputs: {said}")
        for odd, said in (
            (5, "5 is no constructor"),
            (int, "int is no constructor"),
            ("Add", "Add is no constructor"),
            (OnCrash.INIT, "OnCrash.INIT is no constructor"),
        )
    ),
    (
        machine(codec=Half()),
        "has a codec that is a Half; expected text, json or msgpack, or an object",
    ),
    (
        machine(codec=Half),
        "has a codec that is the class Half; expected text, json or msgpack, or an",
    ),
    (machine(version=1), "has the version 1; expected text"),
    (
        Calls,
        "defines handle_calls, which is no callback and which nothing in it names; expected a ",
    ),
    (Calls, "did you mean handle_call?"),
    (Camel, "did you mean handle_cast?"),
    (Hande, "did you mean handle_cast?"),
    (Int, "did you mean init?"),
    (Terminated, "did you mean terminate?"),
    (Static, "did you mean handle_info?"),
    (Needy, "needs arguments to be made; expected a class that can be made without arguments"),
    (Number, "has the handle_call 5; expected a method"),
    (Later, "has an async handle_call; expected a plain function"),
    (Coded, 'has a codec that is the text "yaml"; expected text, json or msgpack'),
]


@pytest.mark.parametrize(("start", "complaint"), CODE)
def test_code_is_judged_at_every_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: object, complaint: str
) -> None:
    monkeypatch.setattr("ssm_cli.machines.kv.kv_store", start)
    spec = WorkerSpec("w", start)
    doors = {
        "YAML file": yaml_file(tmp_path, f"{{worker: w, {KV}}}"),
        "Python file": python_file(tmp_path, "Worker('w', kv_store)"),
        "Node": started(spec),
        "start_child": added(spec),
        "template": started(Supervisor("pool", "simple_one_for_one", [spec])),
        "prompt": said_by(lambda: child_spec_of(f"{{worker: w, {KV}}}")),
    }
    assert not doors_that_differ(complaint, doors)


def odd_signature(*given: Any, **more: Any) -> Any: ...


odd_signature.__wrapped__ = lambda m: m  # type: ignore[attr-defined]  # as of a decorator that adds


class Whatever(GenServer):
    """Takes what it gets, each method in its own way."""

    def handle_call(self, *given: Any) -> Any: ...

    def handle_cast(self, message: Any, state: Any, more: Any = None, *, key: int = 0) -> Any: ...

    handle_info: Any = staticmethod(lambda message, state: None)
    handle_continue: Any = partialmethod(lambda self, one, message, state: None, 1)
    terminate: Any = classmethod(lambda cls, reason, state: None)
    format_status: Any = print


@pytest.mark.parametrize(
    "start",
    [
        Whatever,
        *(
            machine(step=step)
            for step in (
                *(print, max, operator.neg, dict, odd_signature, partial(print, 1)),
                *(
                    lambda m, s=1: m,
                    lambda *a: a,
                    lambda m, s, x=1, *, k=2: m,
                    Whatever().terminate,
                ),
            )
        ),
        machine(outputs=int | None | list[int]),
        pure(step=lambda *given: given, init=dict),
    ],
)
def test_code_that_takes_what_it_gets_or_does_not_say_what_it_takes_is_sound(start: object) -> None:
    assert start_fault(start) is None


class Bank(GenServer):
    """Honest helpers: named in the class, or unlike, or with other arguments, or private."""

    def handle_call(self, message: Any, caller: Any, state: Any) -> Any:
        return self.handle_cash(message, state)

    def handle_cash(self, message: Any, state: Any) -> Any:
        return getattr(self, "handle_infos")(message, state)  # noqa: B009 - the point of the test

    def handle_infos(self, message: Any, state: Any) -> Any:
        return None

    def handle_transfer(self, message: Any, state: Any) -> Any:
        return None

    def handle_calls(self, many: Any, caller: Any, state: Any) -> Any:
        """Like a callback that the class does define."""

    def handle_cast_all(self) -> Any:
        return None

    def _hande_cast(self, message: Any, state: Any) -> Any:
        return None

    initial = 5


def test_honest_helpers_are_no_misspelt_callbacks() -> None:
    with quiet(Worker("bank", Bank)) as node:
        assert node.names("worker") == ["bank"]


class Leaky(GenServer):
    """Would hide parts of its state if it were a pure machine."""

    def redact(self, value: Any) -> Any:
        return "***"


class Tight(Leaky):
    """Hides them, by a helper of its own."""

    def format_status(self, value: Any) -> Any:
        return self.redact(value)


class LeakyManager(Event):
    redact = staticmethod(str)


@pytest.mark.parametrize("start", [Leaky, LeakyManager, type("Sub", (Leaky,), {})])
def test_what_another_behaviour_calls_redact_is_named(start: type) -> None:
    assert "defines redact" in (wrong := str(start_fault(start)))
    assert "did you mean format_status?" in wrong


def test_a_helper_of_that_name_is_sound() -> None:
    assert start_fault(Tight) is None


@pytest.mark.parametrize(
    "label", ["", " ", "a b", "a/b", "..", ".", "a\x1b[31m", "a\nb", "x" * 201, "\u0435"]
)
def test_a_label_is_a_name(label: str) -> None:
    with quiet(Supervisor("pool", "simple_one_for_one", [Worker("t", kv_store)])) as node:
        before = len(node.reports())
        said = said_by(lambda: node.start_child("pool", label))
        assert "root/pool/(child).label: is the text" in said
        assert "\x1b" not in said
        assert len(node.reports()) == before
        assert node.start_child("pool", "x" * 200) == "x" * 200


def test_a_label_of_a_remote_template_has_no_dot() -> None:
    with quiet(Supervisor("pool", "simple_one_for_one", [Remote("t", "t.yaml")])) as node:
        assert "has a dot; expected a name" in said_by(lambda: node.start_child("pool", "a.b"))


def deep(levels: int, inside: object = None) -> SupervisorSpec:
    tree = SupervisorSpec(f"s{levels}", children=() if inside is None else any_value((inside,)))
    for level in range(levels - 1, 0, -1):
        tree = SupervisorSpec(f"s{level}", children=(tree,))
    return tree


def test_depth_counts_from_the_root_wherever_a_child_is_added() -> None:
    wrong = "is more than 100 supervisors deep; expected at most 100 levels of supervisors"
    assert wrong in said_by(lambda: Node(deep(MAX_DEPTH + 1)))
    with Node(deep(MAX_DEPTH)) as node:
        before = len(node.reports())
        below = Supervisor("below", children=[Worker("w", kv_store)])
        assert wrong in said_by(lambda: node.start_child(f"s{MAX_DEPTH}", below))
        assert wrong in said_by(
            lambda: node.start_child(f"s{MAX_DEPTH - 1}", Supervisor("t", children=[below]))
        )
        assert len(node.reports()) == before
        assert node.start_child(f"s{MAX_DEPTH}", Worker("w", kv_store)) == "w"


def test_a_tree_that_holds_itself_is_refused() -> None:
    children: list[Any] = []
    loop = SupervisorSpec("s", children=any_value(children))
    children.append(loop)
    said = said_by(lambda: Node(loop))
    assert "s/s.supervisor: has the name of another node, s; expected names unique" in said
    assert "s.children: is a list; expected a tuple" in said
    assert "has the name of another node" in added(loop)


def test_a_name_that_is_taken_below_a_new_child_is_found_before_anything_starts() -> None:
    below = Supervisor("t", children=[Worker("x", kv_store), Worker("kept", kv_store)])
    new = Supervisor("s", children=[Worker("y", kv_store), below])
    assert "root/s/t/kept.worker: has the name of another node, root/kept" in added(new)


def test_every_complaint_is_made_and_not_the_first_alone() -> None:
    wrong = [
        Worker("a", kv_store, backoff=any_value(100)),
        Worker("a b", any_value(7), args=any_value(5)),
    ]
    with pytest.raises(SpecError) as caught:
        quiet(*wrong, intensity=-1)
    assert [complaint.partition(":")[0] for complaint in caught.value.complaints] == [
        "root.intensity", "root/a.backoff", "root/child#2.worker", "root/child#2.start",
        "root/child#2.args",
    ]  # fmt: skip
    assert issubclass(TreeFileError, SpecError)


def test_what_otp_judges_comes_in_its_terms_with_the_complaints() -> None:
    wrong = Worker("a", kv_store, restart="sometimes")  # type: ignore[arg-type]  # that is what is wrong
    with pytest.raises(StartFailed) as failed:
        quiet(wrong).start()
    assert failed.value.term == {"start_spec": {"invalid_restart_type": "sometimes"}}
    with quiet() as node, pytest.raises(SupervisorError) as refused:
        node.start_child("root", wrong)
    assert refused.value.term == {"invalid_restart_type": "sometimes"}
    assert failed.value.complaints == refused.value.complaints != ()


@pytest.mark.parametrize("child", [42, None, [], {"id": "w"}, kv_store, Worker, object()])
def test_something_that_is_no_child_spec_is_otps_error(child: object) -> None:
    with quiet() as node, pytest.raises(SupervisorError) as refused:
        node.start_child("root", any_value(child))
    assert refused.value.term == {"invalid_child_spec": child}


@pytest.mark.parametrize("answer", [0, False, "ok", Ignore, ("ok", []), {}])
def test_a_supervisor_whose_init_answers_anything_else_has_a_bad_return(answer: object) -> None:
    with pytest.raises(StartFailed) as failed:
        quiet(init=lambda _name: answer).start()
    assert failed.value.term == {"bad_return": ["root", "init", answer]}


def test_a_shutdown_of_0_is_taken_as_otp_takes_it(tmp_path: Path) -> None:
    file = tmp_path / "tree.yaml"
    file.write_text(f"supervisor: root\nchildren: [{{worker: w, {KV}, shutdown: 0}}]\n")
    node = Node(load_tree(file), clock=(clock := ManualClock()))
    ended: list[str] = []

    def slow(name: str, state: object, reason: object) -> None:
        clock.sleep_s(0.001)
        ended.append(name)

    with node:
        node.start_child("root", Worker("slow", machine(terminate=slow), shutdown=0))
        assert node.get_childspec("root", "w").shutdown == 0
    assert [r.id for r in node.reports() if r.event == "killed"] == ["slow"]
    assert not ended


def test_only_a_nodes_own_path_reaches_it() -> None:
    def step(message: Any, state: Any) -> Any:
        return (
            ([*state, message], None, [Cast(to, 1) for to in message])
            if isinstance(message, list)
            else ([*state, message], None)
        )

    actor = StateMachine(step=step, init=lambda name, args: [])
    pool = Supervisor(
        "pool", "simple_one_for_one", [Supervisor("t", children=[Worker("w", actor)])]
    )
    with quiet(Worker("a", actor), Worker("kv", actor), pool) as node:
        node.start_child("pool", "d")
        node.call("a", ["wrong/kv", "/kv", "kv/", "root/a/kv", "root/kv", "kv", "root/pool/d/d/w"])
        node.run()
        assert node.get_state("kv") == [1, 1]
        assert node.get_state("root/pool/d/d/w") == [1]
        for wrong in ("wrong/kv", "/kv", "root/pool/kv", "root/root/kv"):
            for act in (
                node.terminate_child,
                node.restart_child,
                node.delete_child,
                node.get_childspec,
            ):
                with pytest.raises(SupervisorError) as refused:
                    act("root", wrong)
                assert refused.value.term == "not_found"
        node.terminate_child("root", "root/kv")
        assert node.whereis("kv") is None


# -- a property: no door raises anything else, and none starts a part -----------------------------

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=2),
    st.sampled_from([10**400, math.nan, "permanent", "infinity", kv_store, Calls, Backoff()]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.integers(), st.text(), max_size=1),
)
WORKER_FIELDS = [
    "args", "restart", "shutdown", "significant", "step_timeout", "init_timeout", "backoff",
    "persist", "on_crash", "codec", "label", "save_inputs", "save_seconds", "quarantine",
]  # fmt: skip
SUPERVISOR_FIELDS = [
    "intensity", "period", "auto_shutdown", "max_children", "restart", "shutdown", "significant",
    "backoff",
]  # fmt: skip


@st.composite
def specs(draw: st.DrawFn, levels: int = 2) -> Any:
    kind = draw(st.sampled_from(["worker", "worker", "supervisor", "remote", "nothing"]))
    name = draw(st.one_of(st.sampled_from("abcd"), VALUES))
    if kind == "nothing":
        return draw(VALUES)
    if kind == "remote":
        return Remote(name, draw(VALUES), place=draw(VALUES))
    if kind == "worker" or levels == 0:
        fields = draw(st.dictionaries(st.sampled_from(WORKER_FIELDS), VALUES, max_size=2))
        return Worker(name, draw(st.one_of(st.just(kv_store), VALUES)), **fields)
    fields = draw(st.dictionaries(st.sampled_from(SUPERVISOR_FIELDS), VALUES, max_size=2))
    children = draw(st.one_of(st.lists(specs(levels - 1), max_size=3), VALUES))
    strategy: Any = draw(st.one_of(st.sampled_from(["one_for_one", "simple_one_for_one"]), VALUES))
    return Supervisor(name, strategy, children, **fields)


def outcome(act: Callable[[], object]) -> SsmError | None:
    """The error that it raises, which must be one of ours."""
    try:
        act()
    except SsmError as error:
        return error
    return None


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(child=specs())
def test_no_door_raises_anything_else_or_starts_a_part(child: Any) -> None:
    sound = not check_spec(SupervisorSpec("root", children=(child,)))
    error = outcome(lambda: quiet(child).start())
    unlinked = "noconnection" in str(error)  # a remote child has no links here
    assert (error is None) == (sound and not unlinked)
    with quiet(Worker("kept", kv_store)) as node:
        before = (node.names(), len(node.reports()))
        error = outcome(lambda: node.start_child("root", child))
        if not sound:
            assert error is not None
            assert (node.names(), len(node.reports())) == before
    outcome(lambda: text_of_spec(child))


def test_specs_are_judged_one_by_one_as_they_are_together() -> None:
    """Siblings that are alike are judged at once; what is wrong is found all the same."""
    for wrong in ["", "a b", ".", "..", "w3", "root", 7, None, "x" * 201, "\u0435"]:
        names = [f"w{n}" for n in range(9)]
        names[5] = any_value(wrong)
        alike = [Worker(name, kv_store) for name in names]
        (problem,) = check_spec(Supervisor("root", children=alike))
        place = f"root/{wrong}" if wrong in ("w3", "root") else "root/child#6"
        assert problem.path == f"{place}.worker"


def test_a_child_may_have_any_name_at_the_prompt() -> None:
    spec = child_spec_of(f"{{worker: start-child, {KV}}}")
    assert isinstance(spec, WorkerSpec)
    assert spec.id == "start-child"
    with pytest.raises(CommandError):
        child_spec_of(f"{{worker: a, {KV}}}, {{worker: b, {KV}}}")


async def waiting_init(name: str) -> None: ...


@pytest.mark.parametrize(
    ("init", "said"),
    [
        (lambda: None, "has the init(); expected init(name)"),
        (lambda name, args: None, "has the init(name, args); expected init(name)"),
        (waiting_init, "has an async init; expected a plain function"),
        (yields, "has an init that yields"),
        (lambda name: None, ""),
        (None, ""),
    ],
)
def test_what_a_supervisor_asks_at_its_start_is_judged_before_it(init: Any, said: str) -> None:
    found = check_spec(Supervisor("root", children=[Supervisor("below", init=init)]))
    told = [(one.path, said in one.message) for one in found]
    assert told == ([("root/below", True)] if said else [])
