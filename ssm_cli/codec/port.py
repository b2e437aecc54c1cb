"""What a codec is, and how the constructors of a worker's inputs are described."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec


class Codec(Protocol):
    """Bytes to inputs and outputs to bytes; one is compiled for each worker type."""

    def decode(self, data: bytes) -> Any:
        """The input that `data` stands for; raises `DecodeError`, and touches nothing."""
        ...

    def encode(self, value: Any) -> bytes:
        """The bytes that an output (or a state) is shown as."""
        ...


class Field(msgspec.Struct, frozen=True):
    """One field of a constructor: its name, its type in words, and whether it may be left out."""

    name: str
    type: str
    required: bool = True
    choices: tuple[str, ...] = ()


class Constructor(msgspec.Struct, frozen=True):
    """One constructor of a worker's inputs, for help, completion and error messages."""

    name: str
    fields: tuple[Field, ...] = ()
    doc: str = ""
