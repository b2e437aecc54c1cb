"""Stored states whose worker the tree no longer has, and new workers that may be those, renamed.

A worker that has another name in the tree's file is one that the folder has never seen, and would
begin by `init` beside the state that it had. So a new worker is not started while there is a state
that may be its own, of the same code or at the same place, until somebody says what it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import msgspec

from ssm_cli.errors import Unrecovered
from ssm_cli.runtime.durable.ports import Store
from ssm_cli.runtime.durable.records import Change, Code, Exit, Input, Record, Repair, Start
from ssm_cli.runtime.durable.remedies import for_rename
from ssm_cli.runtime.durable.snapshots import Saved
from ssm_cli.spec.model import Strategy, SupervisorSpec, WorkerSpec

DYNAMIC = "-"  # the place of a child that was started while the tree ran
MOST_NAMED = 3  # workers in a message


def places_in(spec: SupervisorSpec, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each worker that a tree starts by itself, and its place: its supervisor and number.

    >>> from ssm_cli import Supervisor, Worker
    >>> list(places_in(Supervisor("root", children=[Worker("kv1", None)])))
    [('kv1', 'root/0')]
    """
    here = f"{path}/{spec.id}" if path else spec.id
    if spec.strategy is Strategy.SIMPLE_ONE_FOR_ONE:
        return
    for number, child in enumerate(spec.children):
        if isinstance(child, SupervisorSpec):
            yield from places_in(child, here)
        elif isinstance(child, WorkerSpec):
            yield child.id, f"{here}/{number}"


def stands(saved: Saved | None, records: Collection[tuple[int, Record]]) -> tuple[bool, Code]:
    """Return whether a state is stored of a worker, and whose it is."""
    has, code = (False, Code()) if saved is None else (saved.has, saved.code())
    for _, record in records:
        match record:
            case Start():
                has, code = True, record.code
            case Change():
                has = True
            case Repair():
                has = record.state is not None
            case Exit() | Input(outcome="crashed"):
                has = has and record.kept
    return has, code


def code_of(saved: Saved | None, records: Collection[tuple[int, Record]]) -> Code | None:
    """Return whose state is stored of a worker; None where there is none, or it was dynamic."""
    has, code = stands(saved, records)
    return code if has and code.place != DYNAMIC else None


def claim(
    worker: str, code: Code, unclaimed: Mapping[str, Code], store: Store
) -> Unrecovered | None:
    """Return why a new worker of that code is not started; None where no state may be its own."""
    found = [
        name
        for name, other in unclaimed.items()
        if code.machine == other.machine or code.place == other.place
    ]
    if not found:
        return None
    known = ", ".join(found[:MOST_NAMED]) + (", ..." if len(found) > MOST_NAMED else "")
    old = found[0]
    return Unrecovered(
        f"{worker} does not start (renamed): nothing is stored of it in {store.where()}, and "
        f"there is a state of {known}, which the tree no longer has. "
        f"{for_rename(store, old, worker)}",
        worker=worker, reason="renamed",
    )  # fmt: skip


def placed(code: Code, place: str) -> Code:
    """Return the code of a worker at a place of the tree."""
    return msgspec.structs.replace(code, place=place) if place else code
