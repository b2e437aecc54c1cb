"""What a worker takes: its inputs with their types, and what their docstrings say."""

from __future__ import annotations

import msgspec

from ssm_cli.codec.port import Constructor, Field
from ssm_cli.commands.text import brief

SHOWN_CHOICES = 20  # of a field; of more it is said how many


def input_lines(worker: str, constructors: tuple[Constructor, ...]) -> tuple[str, ...]:
    r"""Return the inputs of a worker, each with its docstring, choices and defaults below it.

    >>> light = Field("light", "Light", False, ("ON", "OFF"), default="OFF")
    >>> print("\n".join(input_lines("hall", (Constructor("Turn", (light,), "Turn it."),))))
    hall takes:
    hall Turn [light:Light]
        Turn it.
        light: ON, OFF; default OFF
    """
    if not constructors:
        return (f"{brief(worker)} does not declare its inputs; `call {brief(worker)} INPUT`",)
    lines = [f"{brief(worker)} takes:"]
    for one in constructors:
        lines.append(f"{brief(worker)} {brief(one.signature)}")
        lines += [f"    {brief(one.doc)}"] if one.doc else []
        lines += [f"    {brief(said)}" for field in one.fields if (said := said_of(field))]
    return tuple(lines)


def said_of(field: Field) -> str:
    """Return what a signature does not say of a field: its choices and its default; or nothing."""
    named = set(field.type.split("|"))
    choices = [choice for choice in field.choices if choice not in named]
    more = len(choices) - SHOWN_CHOICES
    words = ", ".join(choices[:SHOWN_CHOICES]) + (f" and {more:,} more" if more > 0 else "")
    default = "" if field.default is None else f"default {field.default}"
    said = "; ".join(part for part in (words, default) if part)
    return f"{field.name}: {said}" if said else ""


def input_records(worker: str, constructors: tuple[Constructor, ...]) -> list[object]:
    """Return the same as JSON-ready records, one an input."""
    return [{"worker": worker, **msgspec.to_builtins(one)} for one in constructors]
