"""From a name and a worker's inputs to its codec, compiled once for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, cast

from ssm_cli.codec.json import JsonCodec
from ssm_cli.codec.msgpack import MsgpackCodec
from ssm_cli.codec.port import Codec, Constructor
from ssm_cli.codec.schema import compile_inputs
from ssm_cli.codec.text import TextCodec
from ssm_cli.codec.words import suggestion

MAX_CACHED_CODECS = 1024

CODECS: Mapping[str, Callable[[Any], Codec]] = {
    "text": TextCodec,
    "json": JsonCodec,
    "msgpack": MsgpackCodec,
}


def codec_for(codec: str | object, inputs: object, outputs: object) -> Codec:
    """The codec of a worker; workers with the same codec and inputs share one.

    Args:
        codec: `text`, `json`, `msgpack`, or an object with `decode` and `encode`.
        inputs: the union of its input constructors, one class, or None for free inputs.
        outputs: the same for its outputs. They are encoded by the class they have, so this is
            for documentation only.

    Raises:
        ValueError: no codec has that name, or two inputs share a name.
        TypeError: the object is no codec, or an input is no constructor.

    >>> codec_for("text", None, None).decode(b"a line")
    'a line'
    """
    del outputs
    if isinstance(codec, str):
        if codec not in CODECS:
            known = ", ".join(CODECS)
            raise ValueError(f"no codec `{codec}`: expected {known}{suggestion(codec, CODECS)}")
        return _compiled(codec, inputs)
    if callable(getattr(codec, "decode", None)) and callable(getattr(codec, "encode", None)):
        return cast("Codec", codec)
    raise TypeError(
        f"{type(codec).__name__} is no codec: expected {', '.join(CODECS)}, "
        f"or an object with decode(bytes) and encode(value)"
    )


@lru_cache(maxsize=MAX_CACHED_CODECS)
def _compiled(codec: str, inputs: Any) -> Codec:
    return CODECS[codec](inputs)


@lru_cache(maxsize=MAX_CACHED_CODECS)
def _described(inputs: Any) -> tuple[Constructor, ...]:
    return tuple(shape.constructor for shape in compile_inputs(inputs).values())


def constructors_of(inputs: object) -> tuple[Constructor, ...]:
    """The constructors of a worker's inputs, in order; empty where inputs are free.

    Raises as `codec_for` does.

    >>> from typing import Literal
    >>> [constructor.name for constructor in constructors_of(Literal["inc", "get"])]
    ['inc', 'get']
    """
    return _described(inputs)
