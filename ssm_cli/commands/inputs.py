"""What a worker takes: its inputs with their types, and what their docstrings say."""

from __future__ import annotations

import msgspec

from ssm_cli.codec.port import Constructor
from ssm_cli.commands.text import brief


def input_lines(worker: str, constructors: tuple[Constructor, ...]) -> tuple[str, ...]:
    r"""Return the inputs of a worker, each with its docstring below it.

    >>> from ssm_cli.codec.port import Field
    >>> store = Constructor("Store", (Field("key", "str"),), "Keep it.")
    >>> print("\n".join(input_lines("kv1", (store,))))
    kv1 takes:
    kv1 Store key:str
        Keep it.
    """
    if not constructors:
        return (f"{brief(worker)} does not declare its inputs; `call {brief(worker)} INPUT`",)
    lines = [f"{brief(worker)} takes:"]
    for one in constructors:
        lines.append(f"{brief(worker)} {brief(one.signature)}")
        lines += [f"    {brief(one.doc)}"] if one.doc else []
    return tuple(lines)


def input_records(worker: str, constructors: tuple[Constructor, ...]) -> list[object]:
    """Return the same as JSON-ready records, one an input."""
    return [{"worker": worker, **msgspec.to_builtins(one)} for one in constructors]
