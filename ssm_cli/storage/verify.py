"""Verifying a store: its structure, its chain, and, with the tree's code, every step again."""

from __future__ import annotations

from ssm_cli.errors import StorageError
from ssm_cli.runtime.durable.rebuild import Recovered
from ssm_cli.runtime.durable.records import Input
from ssm_cli.spec.model import SupervisorSpec
from ssm_cli.storage.contents import contents, history
from ssm_cli.storage.folder import FolderStore


class Verdict:
    """What a verification has looked at, and what it found wrong.

    Attributes:
        records, inputs: how many were read and checked by the chain.
        stepped: how many of them were stepped again, each compared.
        problems: what is wrong, one line each; empty if nothing is.
    """

    def __init__(self) -> None:
        self.records = 0
        self.inputs = 0
        self.stepped = 0
        self.problems: list[str] = []


def verify(store: FolderStore, tree: SupervisorSpec | None = None) -> Verdict:
    """Look at everything that is stored; with a tree, step what is behind the saved states again.

    Nothing is changed.
    """
    verdict = Verdict()
    verdict.problems += store.database.problems()
    for look in (_cells, _chain):
        try:
            look(store, verdict)
        except StorageError as error:
            verdict.problems.append(str(error))
    if tree is not None and not verdict.problems:
        try:
            recovered = Recovered(store, tree, check_every=1, effects=True)
            verdict.stepped = recovered.records
            verdict.problems += map(str, recovered.look().values())
        except StorageError as error:
            verdict.problems.append(str(error))
    return verdict


def _cells(store: FolderStore, _verdict: Verdict) -> None:
    contents(store)


def _chain(store: FolderStore, verdict: Verdict) -> None:
    for _, record in history(store):
        verdict.records += 1
        verdict.inputs += isinstance(record, Input)
