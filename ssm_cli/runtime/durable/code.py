"""The code of a durable worker, as its records name it: by a lasting name, and by a digest."""

from __future__ import annotations

import inspect
import sys
import typing
from functools import lru_cache, partial
from hashlib import blake2b
from types import CodeType, ModuleType
from typing import Any

from ssm_cli.behaviour.dispatch import Behaviour
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.codec.classes import Classes
from ssm_cli.codec.declared import Declared
from ssm_cli.codec.kinds import name_of
from ssm_cli.errors import StorageError
from ssm_cli.runtime.durable.records import Code

DIGEST_BYTES = 6


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
                f"the state of {worker} cannot outlive the process: state{path} is a {name}; keep "
                f"plain data, dataclasses or msgspec.Struct types there, and make a {name} in "
                f"`restore`, outside the state"
            )
        return Classes(self.classes, self.tagged, self.home)


def facts_of(behaviour: Behaviour) -> Facts:
    """What is known of a behaviour."""
    start: Any = behaviour if isinstance(behaviour, StateMachine) else type(behaviour)
    facts: Facts = _facts(start)
    return facts


@lru_cache(maxsize=1024)
def _facts(start: Any) -> Facts:
    return Facts(start)


def callback_of(behaviour: Any) -> Any:
    """What its steps are made by: the function of a step, or the class of callbacks."""
    if isinstance(behaviour, StateMachine):
        return behaviour.step
    return behaviour if isinstance(behaviour, type) else type(behaviour)


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


def digest_of(code: Any) -> str:
    """A digest of the module that code is written in; of the code itself where it has no file."""
    while isinstance(code, partial):
        code = code.func
    if not hasattr(code, "__qualname__"):
        code = type(code)
    try:
        return _source_digest(sys.modules[code.__module__])
    except (OSError, TypeError, KeyError, AttributeError, SyntaxError):
        made = getattr(code, "__code__", None)
        text = _compiled(made) if isinstance(made, CodeType) else lasting_name(code).encode()
        return blake2b(text, digest_size=DIGEST_BYTES).hexdigest()


@lru_cache(maxsize=1024)
def _source_digest(module: ModuleType) -> str:
    source = inspect.getsource(module).encode()
    return blake2b(source, digest_size=DIGEST_BYTES).hexdigest()


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
