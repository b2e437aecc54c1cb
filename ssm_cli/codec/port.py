"""What a codec is, and how the constructors of a worker's inputs are described."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import msgspec

CodecName = Literal["text", "json", "msgpack"]


class Codec(Protocol):
    """Bytes to inputs and outputs to bytes; one is compiled for each worker type."""

    def decode(self, data: bytes) -> Any:
        """The input that `data` stands for; raises `DecodeError`, and touches nothing."""
        ...

    def encode(self, value: Any) -> bytes:
        """The bytes that an output (or a state) is shown as."""
        ...


class Field(msgspec.Struct, frozen=True):
    """One field of a constructor: its name, its type in words, and whether it may be left out.

    `choices` are the words to complete with; `accepts` those that are taken as well (an enum
    member is offered by its name and also taken by its value). `default` is what it is without a
    word, as it is written; None where that is not known, or is no plain value.
    """

    name: str
    type: str
    required: bool = True
    choices: tuple[str, ...] = ()
    accepts: tuple[str, ...] = ()
    default: str | None = None

    @property
    def signature(self) -> str:
        """The field as help and errors show it.

        >>> Field("value", "int").signature, Field("value", "int", required=False).signature
        ('value:int', '[value:int]')
        """
        plain = f"{self.name}:{self.type}"
        return plain if self.required else f"[{plain}]"


class Constructor(msgspec.Struct, frozen=True):
    """One constructor of a worker's inputs, for help, completion and error messages."""

    name: str
    fields: tuple[Field, ...] = ()
    doc: str = ""

    @property
    def signature(self) -> str:
        """The constructor as help and errors show it.

        >>> Constructor("Store", (Field("key", "str"), Field("value", "int"))).signature
        'Store key:str value:int'
        """
        return " ".join((self.name, *(field.signature for field in self.fields)))
