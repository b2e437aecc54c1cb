"""Doing again what was done by hand, as a record that says who asked for it then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ssm_cli.errors import SsmError
from ssm_cli.runtime.engine.cell import Cell, SupervisorCell, WorkerCell
from ssm_cli.runtime.engine.entries import Asked
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.recorder import Acted, AskedFor, Entry, Ran, Recorder
from ssm_cli.runtime.engine.runs import end_run, run_of
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.requests import answer_request


def is_record(entry: Entry) -> bool:
    """Return whether an entry is what its number stands for, and not noted behind that."""
    return (
        entry[2] is not None or type(entry[5]) is AskedFor or bool(getattr(entry[5], "change", ""))
    )


def act_again(world: World, name: str, what: Acted | AskedFor | Ran) -> None:
    """Do by hand what was done then, as far as it can be; end a run as it has ended then."""
    here = world.names.get(name)
    if type(what) is Ran:
        asked = run_of(here, what.key)
        if asked is not None:
            end_run(world, asked, what.message)
        return
    if type(what) is AskedFor and isinstance(here, SupervisorCell):
        answer_request(world, Asked(here, here.starts, what.verb, what.args, Pending()))
    elif type(what) is Acted and here is not None:
        message_again(world, here, what)


def message_again(world: World, cell: Cell, what: Acted) -> None:
    """Send a cell a system message once more, and remember it as it was remembered then."""
    worker = cell if isinstance(cell, WorkerCell) else None
    acted = Acted(what.function, what.args, what.change, worker and worker.state)
    if world.history is not None:
        world.history.add(cell, acted, by_hand=bool(what.change))
    if what.function is None:
        return
    try:
        what.function(world, cell, *what.args)
    except SsmError:
        acted.function = None  # it can be refused now
        return
    if worker is not None and what.after is not None:
        acted.after = worker.state


@contextmanager
def noted_again(
    recorder: Recorder, history: Recorder | None, entry: Entry, numbers: dict[int, int]
) -> Iterator[None]:
    """A block in which a fork gets the record of an entry, asked for by who asked for it then.

    Where that has another number, `numbers` learns it.
    """
    if history is None or not is_record(entry):
        yield
        return
    known, number = entry[0], max(entry[0], history.last() + 1)
    yield
    if history.last() < number:
        return
    if number != known:
        numbers[known] = number
    if known in recorder.askers:
        history.askers[number] = recorder.askers[known]


def note_askers(recorder: Recorder, history: Recorder | None, entries: Iterable[Entry]) -> None:
    """Note who has asked for records that a fork has under the same numbers."""
    if history is None or not recorder.askers:
        return
    known = recorder.askers
    history.askers |= {entry[0]: known[entry[0]] for entry in entries if entry[0] in known}
