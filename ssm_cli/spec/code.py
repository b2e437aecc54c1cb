"""What can be wrong with the code of a worker: callbacks, codec, version, and misspelt names.

Theory of operation: a `StateMachine` is judged by its fields. A class of callbacks may have any
methods of its own beside the callbacks, so a method counts as a misspelt callback only if all
of these hold: its name is much like that of a callback (`LIKE`), or that of the same thing in
another behaviour (`ELSEWHERE`), the class does not define that
callback itself, nothing in the class names the method, it takes as many arguments as the callback,
and it does not begin with an underscore. A helper is called by somebody: by its own class as a
rule. One that is not can be given an underscore.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import SequenceMatcher
from enum import EnumType
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from ssm_cli.behaviour.callbacks import Callbacks
from ssm_cli.behaviour.event import Event
from ssm_cli.behaviour.gen_server import GenServer
from ssm_cli.behaviour.handlers import EventHandler, PureHandler
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.reading import classes_of
from ssm_cli.behaviour.state_loop import MODES
from ssm_cli.behaviour.statem import PureStatem, Statem
from ssm_cli.codec.build import codec_for
from ssm_cli.errors import a_or_an, message_of
from ssm_cli.spec.arguments import (
    OF_A_CODEC,
    OF_A_MACHINE,
    OF_A_PURE_HANDLER,
    OF_A_PURE_STATEM,
    OF_A_SUPERVISOR,
    argument_faults,
    method_faults,
)
from ssm_cli.spec.keys import WORKER, expected, nearest, sentence, shown

LIKE = 0.8  # of `SequenceMatcher.ratio`, without case and underscores: `handle_cal`, `handleCall`
ELSEWHERE = {"redact": "format_status"}  # what functions and pure classes call it
CERTAIN = (type, EnumType, type(msgspec.Struct))  # of others a class may stand for any value
VAGUE = (object, type, int, float, complex, tuple)  # an int is a float, and tuples have names
FUNCTIONS = ("init", "terminate", "redact", "code_change", "migrate", "restore")
BASES = (Callbacks, EventHandler, PureHandler)
KINDS: tuple[type[Callbacks], ...] = (GenServer, Statem, Event)
HANDLING = {n: v for n, v in vars(EventHandler).items() if isinstance(v, FunctionType)}
WANTED = "a StateMachine or a subclass of GenServer, Statem or Event"


def start_fault(start: object) -> str | None:
    """Return what is wrong with the code of a worker; None for a sound one.

    Sound is a `StateMachine`, a `PureStatem`, or a subclass of `GenServer`, `Statem` or `Event`
    whose callbacks can be called. Several faults are joined by "; and it ".

    >>> start_fault(print)
    'is the function print; expected a StateMachine or a subclass of GenServer, Statem or Event'
    """
    if isinstance(start, StateMachine):
        found = [*_machine_faults(start)]
    elif isinstance(start, PureStatem):
        found = [*_pure_faults(start)]
    elif isinstance(start, type) and issubclass(start, KINDS):
        found = [*_server_faults(start)]
    elif isinstance(origin := get_origin(start), type) and issubclass(origin, KINDS):
        wrong = f"is the class {origin.__name__} with its types"
        found = [sentence(wrong, WANTED, "the class alone")]
    else:
        meant = type(start).__name__ if isinstance(start, Callbacks) else ""
        meant = meant and f"the class {meant} itself"
        found = [sentence(f"is {shown(start)}", WANTED, meant)]
    return "; and it ".join(found) or None


def is_worker(value: object) -> bool:
    """Whether this is meant to be the code of a worker, sound or not."""
    return isinstance(value, StateMachine | PureStatem) or (
        isinstance(value, type) and issubclass(value, KINDS) and value not in (*KINDS, PureStatem)
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
    yield from argument_faults(machine, OF_A_MACHINE)
    yield from _shared_faults(machine)
    yield from _contradictions(machine)


def _contradictions(machine: StateMachine) -> Iterator[str]:
    """What its fields say against the annotations of its step, where both name classes alone.

    Of the `reads` each is to be one that the step takes, or a kind of it; of the others any.
    """
    message, output = _annotated(machine.step)
    if not isinstance(machine.codec, str):
        message = frozenset()  # it is given what that decodes
    if type(None) in output:
        output = frozenset()  # it answers later
    for name, said in (("inputs", message), ("reads", message), ("outputs", output)):
        kinds = _named(getattr(machine, name))
        odd = [kind for kind in sorted(kinds, key=repr) if not _may_be(kind, said)]
        if said and odd and (name == "reads" or len(odd) == len(kinds)):
            yield sentence(f"has the {name} {shown(odd[0])}", _as_annotated(said))


def _as_annotated(kinds: frozenset[type]) -> str:
    return f"{' | '.join(sorted(kind.__name__ for kind in kinds))}, as its step is annotated"


def _annotated(step: object) -> tuple[frozenset[type], frozenset[type]]:
    """Return the classes of a step's input and output; none where they are not certain."""
    nothing = frozenset[type]()
    if not isinstance(step, FunctionType) or hasattr(step, "__wrapped__"):
        return nothing, nothing
    try:
        hints = get_type_hints(step)
    except Exception:  # noqa: BLE001 - names that are not there yet, or whatever the user's raise
        return nothing, nothing
    first = (*step.__code__.co_varnames[: step.__code__.co_argcount], "")[0]
    answer = hints.get("return")
    outputs = (
        get_args(answer)[1] if get_origin(answer) is tuple and len(get_args(answer)) > 1 else None
    )
    return _named(hints.get(first)), _named(outputs)


def _named(annotation: Any) -> frozenset[type]:
    """Return the classes of one, or of a union; none where something else is among them."""
    try:
        kinds = classes_of(annotation)
    except TypeError:  # what cannot be hashed
        return frozenset()
    certain = all(type(kind) in CERTAIN and kind not in VAGUE for kind in kinds)
    return kinds if certain else frozenset()


def _may_be(kind: type, others: frozenset[type]) -> bool:
    """Return whether a value of a class may be one of others, or the other way round."""
    return any(issubclass(kind, one) or issubclass(one, kind) for one in others)


def callbacks_of(server: type[Callbacks]) -> dict[str, FunctionType]:
    """Return the callbacks that a class of its kind may have, by name.

    >>> "handle_event" in callbacks_of(Statem), "handle_event" in callbacks_of(GenServer)
    (True, False)
    """
    kind = next(kind for kind in KINDS if issubclass(server, kind))
    both = {**vars(Callbacks), **vars(kind)}
    return {name: value for name, value in both.items() if isinstance(value, FunctionType)}


def _pure_faults(machine: PureStatem) -> Iterator[str]:
    for name in OF_A_PURE_STATEM:
        value = getattr(machine, name)
        if not callable(value):
            said = "redact" if name == "format_status" else name
            yield sentence(f"has the {said} {shown(value)}", "a function")
    yield from _waiting_faults(machine, OF_A_PURE_STATEM)
    yield from argument_faults(machine, OF_A_PURE_STATEM)
    yield from _shared_faults(machine)
    yield from _trapping_faults(machine)
    yield from _mode_faults(machine)


def _handler_faults(manager: type[Event]) -> Iterator[str]:
    """What is wrong with the handlers that an `Event` manager knows by name."""
    handlers = manager.handlers
    if not isinstance(handlers, Mapping):
        yield sentence(f"has the handlers {shown(handlers)}", "a dict from names to handlers")
        return
    for name, code in handlers.items():
        if not isinstance(name, str):
            yield sentence(f"has a handler that is named {shown(name)}", "text")
        kind = code if isinstance(code, type) else type(code)
        if not issubclass(kind, EventHandler):
            wanted = "a subclass of EventHandler, or a PureHandler"
            yield sentence(f"has the handler {name}, which is {shown(code)}", wanted)
            continue
        for wrong in _pure_handler_faults(code) if isinstance(code, PureHandler) else ():
            yield f"has the handler {name}, which {wrong}"
        found = [*_class_faults(kind, HANDLING, made=isinstance(code, type))]
        for wrong in (*found, *_misspelt(kind, HANDLING)):
            yield f"has the handler {name}, which {wrong}"


def _pure_handler_faults(handler: PureHandler) -> Iterator[str]:
    for name in OF_A_PURE_HANDLER:
        value = getattr(handler, name)
        if not callable(value) and (value is not None or name == "_step"):
            yield sentence(f"has the {name.removeprefix('_')} {shown(value)}", "a function")
    yield from _waiting_faults(handler, OF_A_PURE_HANDLER)
    yield from argument_faults(handler, OF_A_PURE_HANDLER)


def _mode_faults(machine: Any) -> Iterator[str]:
    """What is wrong with the mode of a `Statem`; one that is computed is looked at when it runs."""
    mode, enter = machine.callback_mode, machine.state_enter
    if not isinstance(mode, property) and mode not in MODES:
        nearest_mode = nearest(mode, MODES) if isinstance(mode, str) else ""
        yield sentence(f"has the callback_mode {shown(mode)}", " or ".join(MODES), nearest_mode)
    handles = _attribute(machine, "handle_event") is not Statem.handle_event
    if mode == MODES[1] and isinstance(machine, type) and not handles:
        yield sentence(
            f"has the callback_mode {mode}", "a handle_event(event, state, data) with it"
        )
    if not isinstance(enter, bool | property):
        yield sentence(f"has the state_enter {shown(enter)}", "true or false")


def _server_faults(server: type[Callbacks]) -> Iterator[str]:
    yield from _class_faults(server, callbacks_of(server), made=True)
    yield from _shared_faults(server)
    yield from _trapping_faults(server)
    if issubclass(server, Statem):
        yield from _mode_faults(server)
    if issubclass(server, Event):
        yield from _handler_faults(server)
    yield from _misspelt(server, callbacks_of(server))


def _class_faults(kind: type, callbacks: dict[str, FunctionType], *, made: bool) -> Iterator[str]:
    """What is wrong with the methods of a class of callbacks; `made` by the node, if it is."""
    for name in callbacks:
        if not callable(_attribute(kind, name)):
            yield sentence(f"has the {name} {shown(_attribute(kind, name))}", "a method")
    if made and (wrong := _making_fault(kind)):
        yield wrong
    yield from _waiting_faults(kind, callbacks)
    yield from method_faults(kind, callbacks)


def _trapping_faults(code: Any) -> Iterator[str]:
    if not isinstance(code.trap_exit, bool):
        yield sentence(f"has the trap_exit {shown(code.trap_exit)}", "true or false")


def asked_faults(spec: object) -> Iterator[str]:
    """Yield what is wrong with the `init` of a supervisor, which is a function if it has one."""
    yield from _waiting_faults(spec, OF_A_SUPERVISOR)
    yield from argument_faults(spec, OF_A_SUPERVISOR)


def _waiting_faults(code: object, names: Iterable[str]) -> Iterator[str]:
    """Callbacks that Python answers with an object to be run later: nothing would run them."""
    for attribute in names:
        value, name = _attribute(code, attribute), attribute.removeprefix("_")
        if value is None:
            continue
        while isinstance(value, partial):
            value = value.func
        ways = [value, _attribute(type(value), "__call__")]
        try:
            waits = any(map(inspect.iscoroutinefunction, ways))
            waits = waits or any(map(inspect.isasyncgenfunction, ways))
            yields = any(map(inspect.isgeneratorfunction, ways))
        except Exception as error:  # noqa: BLE001 - its attributes are the user's, and raise anything
            wrong = f"has {a_or_an(name)} that cannot be looked at, {message_of(error)}"
            yield sentence(wrong, "a function")
            continue
        if waits:
            yield sentence(f"has an async {name}", "a plain function, which the node runs at once")
        elif yields:
            yield sentence(
                f"has {a_or_an(name)} that yields", "a plain function that returns its answer"
            )


def _shared_faults(code: Any) -> Iterator[str]:
    """What both kinds of code have in common: codec, reads and version."""
    if wrong := codec_fault(code.codec) or _inputs_fault(code):
        yield f"has a codec that {wrong}"
    for wrong in argument_faults(code.codec, OF_A_CODEC) if not isinstance(code.codec, str) else ():
        yield f"has a codec that {wrong}"
    if isinstance(code.state, FunctionType):
        yield sentence(f"has the state {shown(code.state)}", "the type of its state")
    for kind in _odd_outputs(code.outputs):
        yield sentence(f"has the outputs {shown(kind)}", "classes of its outputs, as Ok | Result")
    for kind in _odd_reads(code) if code.reads is not None else ():
        yield sentence(f"has the reads {shown(kind)}", "classes of its inputs, as Get | List")
    if not isinstance(code.version, str):
        yield sentence(f"has the version {shown(code.version)}", "text")


def _inputs_fault(code: Any) -> str | None:
    """Return why the codec cannot read these inputs; it is compiled here for all that follows."""
    try:
        codec_for(code.codec, code.inputs, code.outputs)
    except (TypeError, ValueError) as error:
        return f"cannot read its {message_of(error)}"
    return None


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


def _odd_outputs(outputs: object) -> Iterator[object]:
    """What is in its `outputs` and stands for no type: a number, a text, a function, a list."""
    try:
        kinds = classes_of(outputs)
    except TypeError:  # what cannot be hashed is no class
        kinds = frozenset()
        yield outputs
    plain = (int, float, complex, str, bytes, tuple, frozenset, FunctionType, BuiltinFunctionType)
    yield from sorted((kind for kind in kinds if isinstance(kind, plain)), key=repr)


def _making_fault(server: type[Callbacks]) -> str | None:
    """Whether an instance can be made: without arguments, and with nothing abstract left."""
    wanted = "a class that can be made without arguments"
    if inspect.isabstract(server):
        return sentence("is abstract", wanted)
    return None if _takes(server, 0) else sentence("needs arguments to be made", wanted)


def _misspelt(server: type, callbacks: dict[str, Any]) -> Iterator[str]:
    """Methods that are likely to be misspelt callbacks; see the top of this module."""
    own = [kind for kind in server.__mro__ if kind not in (*KINDS, *BASES, object)]
    methods = {name: value for kind in reversed(own) for name, value in vars(kind).items()}
    missing = [name for name in callbacks if name not in methods]
    named: set[str] = set()
    for value in methods.values():
        named.update(_names_in(getattr(_function(value), "__code__", None)))
    for name, value in methods.items():
        if name.startswith("_") or name in named or name in callbacks:
            continue
        function = _function(value)
        meant = _callback_like(name, missing) if callable(function) else ""
        takes = _arguments(callbacks[meant]) if meant else 0
        if meant and _takes(function, takes - isinstance(value, staticmethod)):
            wrong = f"defines {name}, which is no callback and which nothing in it names"
            yield sentence(wrong, "a callback, or a helper with an underscore", meant)


def _callback_like(name: str, callbacks: list[str]) -> str:
    if name in ELSEWHERE:
        return ELSEWHERE[name] if ELSEWHERE[name] in callbacks else ""
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
