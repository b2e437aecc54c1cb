"""What can be wrong with the code of a worker: callbacks, codec, version, and misspelt names.

Theory of operation: a `StateMachine` is judged by its fields. A subclass of `GenServer` may have
any methods of its own beside the callbacks, so a method counts as a misspelt callback only if all
of these hold: its name is much like that of a callback (`LIKE`), the class does not define that
callback itself, nothing in the class names the method, it takes as many arguments as the callback,
and it does not begin with an underscore. A helper is called by somebody: by its own class as a
rule. One that is not can be given an underscore.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from difflib import SequenceMatcher
from types import CodeType, FunctionType
from typing import Any

from ssm_cli.behaviour.gen_server import GenServer
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.reading import classes_of
from ssm_cli.spec.keys import WORKER, expected, nearest, sentence, shown

LIKE = 0.8  # of `SequenceMatcher.ratio`, without case and underscores: `handle_cal`, `handleCall`
FUNCTIONS = ("init", "terminate", "redact", "code_change", "migrate", "restore")
CALLBACKS = tuple(
    name for name, value in vars(GenServer).items() if isinstance(value, FunctionType)
)


def start_fault(start: object) -> str | None:
    """Return what is wrong with the code of a worker; None for a sound one.

    Sound is a `StateMachine` or a subclass of `GenServer` whose callbacks can be called. Several
    faults are joined by "; and it ".

    >>> start_fault(print)
    'is the function print; expected a StateMachine or a subclass of GenServer'
    """
    if isinstance(start, StateMachine):
        found = [*_machine_faults(start)]
    elif isinstance(start, type) and issubclass(start, GenServer):
        found = [*_server_faults(start)]
    else:
        meant = type(start).__name__ if isinstance(start, GenServer) else ""
        meant = meant and f"the class {meant} itself"
        wanted = "a StateMachine or a subclass of GenServer"
        found = [sentence(f"is {shown(start)}", wanted, meant)]
    return "; and it ".join(found) or None


def is_worker(value: object) -> bool:
    """Whether this is meant to be the code of a worker, sound or not."""
    return isinstance(value, StateMachine) or (
        isinstance(value, type) and issubclass(value, GenServer) and value is not GenServer
    )


def codec_fault(codec: object) -> str | None:
    """Return what is wrong with a codec: a name, or an object with `decode` and `encode`.

    >>> codec_fault("jsn")
    'is the text "jsn"; expected text, json or msgpack; did you mean json?'
    """
    key = WORKER["codec"]
    if isinstance(codec, str):
        good, wanted = codec in key.words, expected(key)
    else:
        good = not isinstance(codec, type) and all(
            callable(_attribute(codec, name)) for name in ("decode", "encode")
        )
        wanted = f"{expected(key)}, or an object with decode(bytes) and encode(value)"
    return None if good else sentence(f"is {shown(codec)}", wanted, nearest(codec, key.words))


def _attribute(value: object, name: str) -> object:
    try:
        return getattr(value, name, None)
    except Exception:  # noqa: BLE001 - a property of the user's may raise anything
        return None


def _machine_faults(machine: StateMachine) -> Iterator[str]:
    if not callable(machine.step):
        yield sentence(f"has the step {shown(machine.step)}", "a function step(message, state)")
    for name in FUNCTIONS:
        value = getattr(machine, name)
        if value is not None and not callable(value):
            yield sentence(f"has the {name} {shown(value)}", "a function, or None")
    yield from _waiting_faults(machine, ("step", *FUNCTIONS))
    yield from _shared_faults(machine)


def _server_faults(server: type[GenServer]) -> Iterator[str]:
    for name in CALLBACKS:
        if not callable(_attribute(server, name)):
            yield sentence(f"has the {name} {shown(_attribute(server, name))}", "a method")
    if wrong := _making_fault(server):
        yield wrong
    yield from _waiting_faults(server, CALLBACKS)
    yield from _shared_faults(server)
    if not isinstance(server.trap_exit, bool):
        yield sentence(f"has the trap_exit {shown(server.trap_exit)}", "true or false")
    yield from _misspelt(server)


def _waiting_faults(code: object, names: tuple[str, ...]) -> Iterator[str]:
    """Callbacks that Python answers with an object to be run later: nothing would run them."""
    for name in names:
        value = _attribute(code, name)
        if inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value):
            yield sentence(f"has an async {name}", "a plain function, which the node runs at once")
        elif inspect.isgeneratorfunction(value):
            yield sentence(f"has a {name} that yields", "a plain function that returns its answer")


def _shared_faults(code: Any) -> Iterator[str]:
    """What both kinds of code have in common: codec, reads and version."""
    if wrong := codec_fault(code.codec):
        yield f"has a codec that {wrong}"
    for kind in _odd_reads(code):
        yield sentence(f"has the reads {shown(kind)}", "classes of its inputs, as Get | List")
    if not isinstance(code.version, str):
        yield sentence(f"has the version {shown(code.version)}", "text")


def _odd_reads(code: Any) -> Iterator[object]:
    """What is in its `reads` and no class, or none of its inputs where those are classes."""
    try:
        reads, inputs = classes_of(code.reads), classes_of(code.inputs)
    except TypeError:  # what cannot be hashed is no class
        yield code.reads
        return
    listed = all(isinstance(kind, type) for kind in inputs) and inputs
    for kind in sorted(reads, key=repr):
        if not isinstance(kind, type) or (listed and kind not in inputs):
            yield kind


def _making_fault(server: type[GenServer]) -> str | None:
    """Whether an instance can be made: without arguments, and with nothing abstract left."""
    wanted = "a class that can be made without arguments"
    if inspect.isabstract(server):
        return sentence("is abstract", wanted)
    return None if _takes(server, 0) else sentence("needs arguments to be made", wanted)


def _misspelt(server: type[GenServer]) -> Iterator[str]:
    """Methods that are likely to be misspelt callbacks; see the top of this module."""
    own = [kind for kind in server.__mro__ if kind not in GenServer.__mro__]
    methods = {name: value for kind in reversed(own) for name, value in vars(kind).items()}
    missing = [name for name in CALLBACKS if name not in methods]
    named: set[str] = set()
    for value in methods.values():
        named.update(_names_in(getattr(_function(value), "__code__", None)))
    for name, value in methods.items():
        if name.startswith("_") or name in named or name in CALLBACKS:
            continue
        function = _function(value)
        meant = _callback_like(name, missing) if callable(function) else ""
        takes = _arguments(getattr(GenServer, meant)) if meant else 0
        if meant and _takes(function, takes - isinstance(value, staticmethod)):
            wrong = f"defines {name}, which is no callback and which nothing in it names"
            yield sentence(wrong, "a callback, or a helper with an underscore", meant)


def _callback_like(name: str, callbacks: list[str]) -> str:
    plain = name.lower().replace("_", "")
    ratios = {
        callback: SequenceMatcher(None, plain, callback.replace("_", "")).ratio()
        for callback in callbacks
    }
    best = max(ratios, key=lambda callback: ratios[callback], default="")
    return best if best and ratios[best] >= LIKE else ""


def _function(value: object) -> Any:
    """The function inside a method of any kind, a property included."""
    inner = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
    return inspect.unwrap(inner) if isinstance(inner, FunctionType) else inner


def _names_in(code: CodeType | None) -> Iterator[str]:
    """All names that some code uses, in functions and text inside it as well."""
    if code is None:
        return
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)
        elif isinstance(constant, str):
            yield constant  # getattr(self, "handle_cash")


def _arguments(function: Callable[..., object]) -> int:
    return len(inspect.signature(function).parameters)


def _takes(function: Callable[..., object], count: int) -> bool:
    """Whether it can be called with so many arguments; one without a signature can."""
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:
        return True
    return True
