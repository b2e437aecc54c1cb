"""Values that are none of a worker's inputs: only Python can send them; what is said of them."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from ssm_cli.codec.schema import compile_inputs, members
from ssm_cli.errors import a_or_an

FREE = (None, Any, object)


def is_stranger(inputs: Any, value: object) -> bool:
    """Return whether a value is none of the inputs of a worker; of free ones none is.

    >>> is_stranger(Literal["on"] | None, "on"), is_stranger(Literal["on"] | None, "off")
    (False, True)
    >>> is_stranger(None, "on"), is_stranger(str, 5)
    (False, True)
    """
    return inputs not in FREE and not any(is_of(member, value) for member in members(inputs))


def is_of(member: Any, value: object) -> bool:
    """Return whether a value is one of a class, of a generic one, or of a `Literal`."""
    kind = type(value)  # and no `isinstance`: the `__class__` of a user's object may lie
    if get_origin(member) is Literal:
        return any(type(one) is kind and one == value for one in get_args(member))
    known = get_origin(member) or member
    return known in (Any, object) or any(known is one for one in kind.__mro__)


def expected_of(inputs: Any) -> str:
    """Return what a worker takes, as help and errors show it.

    >>> expected_of(Literal["on", "off"]), expected_of(str)
    ('on, off', 'text')
    """
    shapes = compile_inputs(inputs).values()
    return ", ".join(shape.constructor.signature for shape in shapes) or "text"


def stranger_text(inputs: Any, value: object) -> str:
    """Return what is to be said of a crash by a value that is none of the inputs; else "".

    >>> stranger_text(Literal["on", "off"], 5)
    'an int is none of its inputs: send one of on, off, or name its class in `inputs`'
    """
    try:
        if not is_stranger(inputs, value):
            return ""
        name, expected = type(value).__name__, expected_of(inputs)
    except (TypeError, ValueError):  # of inputs that no codec can be made for
        return ""
    said = f"{a_or_an(name)} is none of its inputs"
    return f"{said}: send one of {expected}, or name its class in `inputs`"
