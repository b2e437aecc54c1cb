"""The code of a durable worker, as its records name it: by a lasting name, and by a digest."""

from __future__ import annotations

import inspect
import sys
import typing
from functools import lru_cache, partial
from hashlib import blake2b
from types import CodeType
from typing import Any

from ssm_cli.behaviour.dispatch import Behaviour, callback_of
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.statem import PureStatem
from ssm_cli.codec.classes import Classes
from ssm_cli.codec.declared import Declared
from ssm_cli.codec.kinds import found_code, name_of
from ssm_cli.errors import StorageError, a_or_an
from ssm_cli.runtime.durable.records import Code
from ssm_cli.spec.afresh import DIGEST_BYTES, source_digest


class Facts:
    """What is known of a behaviour once, for all workers that have it.

    Attributes:
        code: how its records name it.
        said: the type of its states, Any where nothing says it.
        declared: what that type says.
        home: the module of its code.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        self.said = state_type(behaviour)
        self.declared = Declared(self.said)
        inputs = Declared(behaviour.inputs)
        self.classes = self.declared.classes | inputs.classes
        self.tagged = self.declared.tagged | inputs.tagged
        form = self.declared.digest()
        code = callback_of(behaviour)
        self.home = str(getattr(code, "__module__", ""))
        self.code = Code(lasting_name(code), behaviour.version, form, digest_of(code))

    def classes_for(self, worker: str) -> Classes:
        """The classes that values of a worker may hold.

        Raises:
            StorageError: the type of its states holds what cannot be kept, whatever its value.
        """
        for path, name in self.declared.refused:
            raise StorageError(
                f"the state of {worker} cannot outlive the process: state{path} is "
                f"{a_or_an(name)}; keep plain data, dataclasses or msgspec.Struct types there, "
                f"and make {a_or_an(name)} in `restore`, outside the state"
            )
        return Classes(self.classes, self.tagged, self.home)


def facts_of(behaviour: Behaviour) -> Facts:
    """What is known of a behaviour."""
    made = isinstance(behaviour, StateMachine | PureStatem)
    start: Any = behaviour if made else type(behaviour)
    facts: Facts = _facts(start)
    return facts


@lru_cache(maxsize=1024)
def _facts(start: Any) -> Facts:
    return Facts(start)


def lasting_name(code: Any) -> str:
    """The name of code that the next process gives it, too: `module:step`, `module:Class`.

    A partial has the name of its function, a method that of its class and itself, and an object
    that is called the name of its class; none holds an address.

    >>> lasting_name(partial(lasting_name, 1)), lasting_name(Facts)
    ('ssm_cli.runtime.durable.code:lasting_name', 'ssm_cli.runtime.durable.code:Facts')
    """
    while isinstance(code, partial):
        code = code.func
    if not hasattr(code, "__qualname__"):
        code = type(code)
    return name_of(code)


def code_named(name: str, home: str) -> Any:
    """Return the code of a lasting name; where it is not there any more, what says so if called.

    `home` is the module of the worker that has named it. Nothing is imported.

    >>> code_named("ssm_cli.runtime.durable.code:Facts", __name__) is Facts
    True
    """
    found = found_code(name, home)
    return found if callable(found) else Gone(name)


class Gone:
    """Stands for an async function that a later version of its module has not."""

    def __init__(self, name: str) -> None:
        self.__module__, _, self.__qualname__ = name.partition(":")

    async def __call__(self, *_: object) -> None:
        """Say so."""
        raise LookupError(f"{self.__module__}:{self.__qualname__} is not there any more")


def digest_of(code: Any) -> str:
    """A digest of the module that code is written in; of the code itself where it has no file."""
    while isinstance(code, partial):
        code = code.func
    if not hasattr(code, "__qualname__"):
        code = type(code)
    try:
        return source_digest(namespace_of(code))
    except (OSError, TypeError, KeyError, AttributeError, SyntaxError, ValueError):
        made = getattr(code, "__code__", None)
        text = _compiled(made) if isinstance(made, CodeType) else lasting_name(code).encode()
        return blake2b(text, digest_size=DIGEST_BYTES).hexdigest()


def namespace_of(code: Any) -> dict[str, Any]:
    """Return the names of the module that code is written in: of the load that it belongs to."""
    inside = getattr(code, "__globals__", None)
    for function in vars(code).values() if isinstance(code, type) else ():
        inside = inside or getattr(inspect.unwrap(function), "__globals__", None)
    return vars(sys.modules[code.__module__]) if inside is None else inside


def _compiled(code: CodeType) -> bytes:
    inside = b"".join(_compiled(c) for c in code.co_consts if isinstance(c, CodeType))
    plain = [c for c in code.co_consts if isinstance(c, int | float | str | bytes)]
    return code.co_code + repr((plain, code.co_names)).encode() + inside


def state_type(behaviour: Any) -> Any:
    """The type of a behaviour's states: given, or that of the second parameter of `step`."""
    if behaviour.state is not None:
        return behaviour.state
    if not isinstance(behaviour, StateMachine):
        return Any
    step: Any = behaviour.step
    while isinstance(step, partial):
        step = step.func
    if not inspect.isroutine(step) and not isinstance(step, type):
        step = type(step).__call__.__get__(step)
    try:
        names = list(inspect.signature(behaviour.step).parameters)
        return typing.get_type_hints(step).get(names[1], Any)
    except (TypeError, ValueError, NameError, IndexError, AttributeError):
        return Any  # no Python function, or its annotations name what is not there
