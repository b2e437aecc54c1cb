"""The code of a saved past: that of a tree file which is given, else stand-ins that say so.

A file never says which code is loaded: it may come from anybody. What is found is that of the tree
which the user names, by the worker's name, else by the name of the code itself.
"""

from __future__ import annotations

import copy
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import behaviour_of
from ssm_cli.behaviour.gen_server import GenServer
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.statem import PureStatem
from ssm_cli.codec.classes import Classes
from ssm_cli.errors import Forgotten
from ssm_cli.runtime.durable.code import facts_of
from ssm_cli.spec.model import SupervisorSpec, WorkerSpec, walk

GONE = "its code is not here: open the file with --tree FILE, the tree that it was saved from"


def gone(*_: Any) -> Any:
    """Stand for a callback whose code is not here; raises `Forgotten`, which ends its worker."""
    raise Forgotten(GONE)


class GoneServer(GenServer):
    """Stands for a `GenServer` whose code is not here."""

    init: Any = gone
    handle_call: Any = gone
    handle_cast: Any = gone
    handle_info: Any = gone
    handle_continue: Any = gone


GONE_MACHINE = StateMachine(step=gone, init=gone)


class SavedCode(msgspec.Struct, frozen=True):
    """The code of a worker as it was saved: name, version, digest, and of which kind it is."""

    machine: str
    version: str
    digest: str
    server: bool


class Codes:
    """What stands for the code of the workers of a file.

    Attributes:
        missing: the workers whose code is not here.
        changed: the specs of those whose code is another than it was, then or before a reload.
    """

    def __init__(self, tree: SupervisorSpec | None) -> None:
        self._by_id: dict[str, WorkerSpec] = {}
        self._by_name: dict[str, WorkerSpec] = {}
        self._classes: dict[str, Classes] = {}
        self.missing: set[str] = set()
        self.changed: list[WorkerSpec] = []
        for _, spec in () if tree is None else walk(tree):
            if isinstance(spec, WorkerSpec):
                self._by_id[spec.id] = spec
                name = facts_of(behaviour_of(spec.start)).code.machine
                self._by_name.setdefault(name, spec)

    def spec(self, spec: WorkerSpec) -> WorkerSpec:
        """Return a worker's spec with code in the place of the name of it."""
        saved: SavedCode = spec.start
        found = self._by_id.get(spec.id) or self._by_name.get(saved.machine)
        if found is None:
            self.missing.add(spec.id)
            start = GoneServer if saved.server else GONE_MACHINE
            return msgspec.structs.replace(spec, start=start)
        facts = facts_of(behaviour_of(found.start))
        self._classes[spec.id] = Classes(facts.classes, facts.tagged, facts.home)
        made = msgspec.structs.replace(spec, start=unredacted(found.start), args=found.args)
        if facts.code.digest != saved.digest:
            self.changed.append(made)
        return made

    def classes_of(self, worker: str) -> Classes | None:
        """Return the classes that values of a worker may hold; None where its code is not here."""
        return self._classes.get(worker)


def unredacted(start: Any) -> Any:
    """Return code that hides nothing: what a file holds of its values was redacted before."""
    if isinstance(start, StateMachine):
        return start if start.redact is None else msgspec.structs.replace(start, redact=None)
    if isinstance(start, PureStatem):
        shown = copy.copy(start)
        vars(shown).pop("format_status", None)
        return shown
    bare: Any = start if isinstance(start, type) else type(start)
    if bare.format_status is GenServer.format_status:
        return start
    names = {"format_status": GenServer.format_status, "__module__": bare.__module__}
    return type(bare.__name__, (bare,), names)
