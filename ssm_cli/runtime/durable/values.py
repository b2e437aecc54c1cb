"""How the states of one kind of worker are written and read back: MessagePack, by their type."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Behaviour
from ssm_cli.behaviour.equality import same
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.errors import StorageError

MAX_STATE_BYTES = 64 * 1024 * 1024
DIGEST_BYTES = 8
SHORT_BYTES = 64  # of an output whose digest is remembered
FROM_FILE = re.compile(r"^ssm_file_[0-9a-f]{16}_")  # how `spec.modules` names what is no package's

_plain = msgspec.msgpack.Decoder().decode
_written = msgspec.msgpack.Encoder().encode
_sorted = msgspec.msgpack.Encoder(order="deterministic").encode


def digest(data: bytes) -> bytes:
    """A short hash of bytes, to compare with. Source: BLAKE2 (RFC 7693).

    >>> len(digest(b"Ok"))
    8
    """
    return blake2b(data, digest_size=DIGEST_BYTES).digest()


def digest_of_output(data: bytes) -> bytes:
    """The digest of an output; none of an empty one. Short outputs come again and again."""
    if not data:
        return b""
    return _remembered(data) if len(data) <= SHORT_BYTES else digest(data)


_remembered = lru_cache(maxsize=1024)(digest)


class Values:
    """Writes and reads the states of one behaviour.

    Attributes:
        machine: the name of the code that the states belong to, `module:step` or `module:Class`.
        version: its version.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        code: Any = behaviour.step if isinstance(behaviour, StateMachine) else type(behaviour)
        self.machine = f"{lasting(code.__module__)}:{getattr(code, '__qualname__', code)}"
        self.version = behaviour.version
        self._behaviour = behaviour
        self._decode = self._decoder(state_type(behaviour))

    def _decoder(self, wanted: Any) -> Callable[[bytes], Any]:
        if wanted is Any:
            return _plain
        try:
            return msgspec.msgpack.Decoder(wanted).decode
        except TypeError as error:
            raise StorageError(
                f"the state of {self.machine} cannot be told apart once it is written: {error}; "
                f"give its type as `state=`, with tagged msgspec.Struct types in a union"
            ) from error

    def dump(self, state: Any) -> bytes:
        """The bytes of a state; raises `StorageError` where it would not come back the same."""
        try:
            data = _written(state)
        except (TypeError, OverflowError, ValueError, RecursionError) as error:
            raise StorageError(
                f"the state of {self.machine} cannot be written: {error}; a state that outlives "
                f"the process is made of plain data, dataclasses and msgspec.Struct types"
            ) from error
        if len(data) > MAX_STATE_BYTES:
            raise StorageError(
                f"the state of {self.machine} takes {len(data)} bytes; at most "
                f"{MAX_STATE_BYTES} can be saved"
            )
        if not same(self.load(data), state):
            raise StorageError(
                f"the state of {self.machine} would not come back as it is (a tuple as a list, a "
                f"class as a mapping?); give its type as `state=`, or annotate `step`"
            )
        return data

    def load(self, data: bytes) -> Any:
        """The state that bytes stand for; raises `StorageError`."""
        try:
            return self._decode(data)
        except msgspec.MsgspecError as error:
            raise StorageError(
                f"what is saved is no state of {self.machine} version {self.version}: {error}"
            ) from error

    def revive(self, data: bytes, machine: str, version: str) -> Any:
        """The state from bytes that a machine of some version has saved.

        Raises:
            StorageError: another machine has saved it, or it cannot be read.
        """
        if machine == self.machine and version == self.version:
            return self.load(data)
        behaviour = self._behaviour
        if version != self.version and behaviour.migrate is not None:
            return behaviour.migrate(version, _plain(data))
        raise StorageError(
            f"the state was saved by {machine} version {version}, and this is {self.machine} "
            f"version {self.version}; give it a migrate(old_version, state)"
        )

    def hash(self, state: Any) -> tuple[bytes, int]:
        """The digest of a state, and how many bytes it was taken of.

        It does not depend on the order in which a dict or a set was filled.
        """
        try:
            data = _sorted(state)
        except (TypeError, OverflowError, ValueError, RecursionError) as error:
            raise StorageError(f"the state of {self.machine} cannot be written: {error}") from error
        return digest(data), len(data)


def lasting(module: str) -> str:
    """The name of a module without what depends on the folder that a file of it lies in.

    A state is not to be lost because a tree was moved, or is started by its own file.

    >>> lasting("ssm_file_0123456789abcdef_bank"), lasting("shop.bank")
    ('bank', 'shop.bank')
    """
    return FROM_FILE.sub("", module)


def state_type(behaviour: Behaviour) -> Any:
    """The type of a behaviour's states: given, or that of the second parameter of `step`."""
    if behaviour.state is not None:
        return behaviour.state
    if not isinstance(behaviour, StateMachine):
        return Any
    try:
        names = list(inspect.signature(behaviour.step).parameters)
        return typing.get_type_hints(behaviour.step).get(names[1], Any)
    except (TypeError, ValueError, NameError, IndexError):
        return Any  # no Python function, or its annotations name what is not there
