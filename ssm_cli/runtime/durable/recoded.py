"""Another code of a durable worker, while it runs: its journal says from where on.

What was recorded before is in a saved state, so that no start ever steps it on the new code; behind
it stands a record with the state of the new code, and the digest of that code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssm_cli.behaviour.dispatch import Behaviour
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.reading import classes_of
from ssm_cli.codec.port import Codec
from ssm_cli.codec.renames import Renames
from ssm_cli.errors import StorageError
from ssm_cli.runtime.durable.checkpoints import attempt_all
from ssm_cli.runtime.durable.keeper import Keeper, last_record, write_through
from ssm_cli.runtime.durable.kept import Kept
from ssm_cli.runtime.durable.lives import save
from ssm_cli.runtime.durable.records import Change
from ssm_cli.runtime.durable.stored import renamed_in
from ssm_cli.runtime.durable.values import Values
from ssm_cli.runtime.engine.cell import CellStatus, WorkerCell
from ssm_cli.runtime.looking.show import codec_of

OF_CODE = ("behaviour", "codec", "last", "plain", "reads", "values")
"""What is known of a worker by its code."""


def values_for(keeper: Keeper, kept: Kept, behaviour: Behaviour, codec: Codec) -> Values:
    """Return what would write the values of a worker under another code.

    Raises:
        StorageError: the type of its states holds what cannot be kept.
    """
    renames = Renames(renamed_in(keeper.store, kept.worker).made)
    place = kept.values.code.place
    return Values(kept.worker, behaviour, codec, renames, place=place)


def record_code(
    keeper: Keeper, cell: WorkerCell, kept: Kept, there: WorkerCell, state: Any
) -> None:
    """Have a durable worker go on with other code, and with `state`, which is of that code.

    `there` is a cell of that code.

    Raises:
        StorageError: it cannot be written, or is being written; nothing has changed.
    """
    behaviour, codec = there.behaviour, codec_of(there)
    values = values_for(keeper, kept, behaviour, codec)
    runs = cell.status is CellStatus.RUNNING
    data = values.dump(state) if runs or kept.has else b""
    error = write_through(keeper)
    if error is None and (keeper.has_work() or keeper.is_writing()):
        raise StorageError(f"{kept.worker}: an entry is being written; reload again after it")
    if error is None and kept.journals:
        error = attempt_all(keeper)
    if error is not None:
        raise error
    was = {name: getattr(kept, name) for name in OF_CODE}
    kept.behaviour, kept.codec, kept.values = behaviour, codec, values
    kept.plain = kept.journals and type(behaviour) is StateMachine
    kept.reads, kept.recorded, kept.resync = classes_of(behaviour.reads), b"", False
    if kept.has:
        kept.last = state
    if runs and kept.journals:
        keeper.remember(cell, cell.ensure_extra().timeout_after)
    if runs:
        cell.state = state
    if kept.journals:
        tell_code(keeper, kept, data, was)
    elif runs:
        save(keeper, cell, kept)


def tell_code(keeper: Keeper, kept: Kept, data: bytes, was: Mapping[str, Any]) -> None:
    """Record the code that a worker goes on with, and its state.

    Raises:
        StorageError: that cannot be written; the worker has what it `was` again.
    """
    kept.dirty = True
    if not data:
        return
    told = kept.values.code, last_record(keeper), "", keeper.world.outside.asker
    keeper.add(Change(kept.worker, keeper.at_s(), data, *told), len(data))
    error = write_through(keeper)
    if error is not None:
        for name, before in was.items():
            setattr(kept, name, before)
        kept.recorded = b""
        raise error
