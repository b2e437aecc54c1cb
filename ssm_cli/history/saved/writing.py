"""Writing: what a node remembers as the nodes of a file, each object once, values redacted.

Theory of operation. Objects of ours are written by the tables of `forms`, and refer to each other
by number: so what was one object then is one when it is read. A value of a user's (state, input,
output) is redacted as for any reader, then written exactly; one that has no exact form is kept as
the text that stands for it. Nothing here changes the node, and nothing of a user's can raise.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import partial
from types import FunctionType, MappingProxyType
from typing import Any

import msgspec
from msgspec.msgpack import Ext

from ssm_cli.behaviour.callbacks import Callbacks
from ssm_cli.behaviour.dispatch import behaviour_of
from ssm_cli.behaviour.effects import Cast, Info
from ssm_cli.behaviour.reasons import Crash
from ssm_cli.behaviour.runs import Run
from ssm_cli.behaviour.visible import does_hide
from ssm_cli.codec import exact
from ssm_cli.codec.classes import PLAIN, Classes, Inexact
from ssm_cli.codec.json import unshowable
from ssm_cli.errors import SsmError
from ssm_cli.history.saved import forms
from ssm_cli.history.saved.forms import CONSTANTS, FIELDS, NUMBERS, OBJECTS, OF_USERS
from ssm_cli.runtime.durable.code import facts_of, lasting_name
from ssm_cli.runtime.engine.cell import Cell, Extra, WorkerCell
from ssm_cli.runtime.engine.contained import contained
from ssm_cli.runtime.engine.crashes import CrashNote, CrashNotes, KeptCrash, stack_of
from ssm_cli.runtime.engine.events import EventLog
from ssm_cli.runtime.engine.groups import Member, Membership
from ssm_cli.runtime.engine.publishing import Publishing
from ssm_cli.runtime.engine.recalled import PastError, frameless
from ssm_cli.runtime.engine.recorder import Acted, Entry
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.looking.show import behaviour_in, codec_of, redact, write_redacted
from ssm_cli.runtime.performer.recoding import recode, recode_pool
from ssm_cli.runtime.performer.system import put_state
from ssm_cli.runtime.reports import ReportStream, fields
from ssm_cli.spec.model import Labelled, RemoteSpec, SupervisorSpec, WorkerOptions, WorkerSpec

SPOKEN = ("message", "reply", "output")  # fields whose values are inputs and outputs
NOBODYS = frozenset({WorkerSpec, SupervisorSpec, RemoteSpec, WorkerOptions, *forms.ENUMS})
"""What holds nothing of a worker's, and is one object for all."""
NODE_BYTES = 8  # of a node beside its values


class DoesNotFit(SsmError):
    """What is to be saved is more than a file takes, or than there is time for."""


class PastWriter:
    """Makes nodes of objects.

    Args:
        world: the live one: whose guard cuts user code, and whose cells are written as `cells`.
        cells: what stands for a live cell, by its `id()`.
        receivers: whose the messages are that effects send, by name.
        most_bytes: of all nodes.
        is_late: whether the time is over.

    Attributes:
        nodes: what has been written.
        texts: how many values are kept as text.
    """

    def __init__(
        self,
        world: World,
        cells: Mapping[int, Cell],
        receivers: Mapping[str, Cell],
        most_bytes: int,
        is_late: Callable[[], bool],
    ) -> None:
        self._world = world
        self._cells = cells
        self._receivers = receivers
        self._left = most_bytes
        self._is_late = is_late
        self._known: dict[object, int] = {}
        self._alive: list[Any] = []  # an `id()` is one object's as long as that is there
        self._told: dict[int, list[Any]] = {}
        self._blank: deque[tuple[int, Any, Cell | None]] = deque()
        self.nodes: list[Any] = []
        self.texts = 0

    def entry(self, entry: Entry) -> Any:
        """Write an entry of a ring."""
        number, cell, kind, message, before, what = entry
        if kind is None:
            return self.add([forms.TUPLE, number, self.of(cell), None, None, None,
                              self.of(what, cell)])  # fmt: skip
        if type(what) is tuple:
            state, output = self.user(what[0], cell), self.user(what[1], cell, spoken=True)
            came = self.add([forms.TUPLE, state, output])
        else:
            came = self.of(what, cell)
        made = [forms.TUPLE, number, self.of(cell), self.of(kind),
                self.user(message, cell, spoken=True), self.user(before, cell),
                came]  # fmt: skip
        return self.add(made)

    def finish(self) -> None:
        """Write what the objects hold that were met."""
        while self._blank:
            index, value, cell = self._blank.popleft()
            kind = type(value) if not isinstance(value, PastError) else PastError
            self._put(index, [NUMBERS[kind], *self._fields(kind, value, cell)])

    def of(self, value: Any, cell: Cell | None = None) -> Any:
        """Write an object of ours; a user's value in it belongs to `cell`."""
        kind = type(value)
        if kind in (type(None), bool, float) or (kind is int and -(2**63) <= value < 2**63):
            return value
        if kind is str and value.isascii():
            return value
        value = self._cells.get(id(value), value)
        if kind in NOBODYS:
            cell = None
        for key in (id(value), ("whose", id(value), owner_of(cell))):
            if key in self._known:
                return ref(self._known[key])
        return self._new(value, cell)

    def _new(self, value: Any, cell: Cell | None) -> Any:
        kind = PastError if isinstance(value, PastError) else type(value)
        if kind in OBJECTS:
            index = self._reserve(value)
            here = value if isinstance(value, WorkerCell) else getattr(value, "cell", cell)
            self._blank.append((index, value, here))
            return ref(index)
        made = self._made(kind, value, cell)
        if made is None:
            return self.user(value, cell)
        self._alive.append(value)
        made_ref = self.add(made)
        self._known["whose", id(value), owner_of(cell)] = len(self.nodes) - 1
        return made_ref

    def _made(self, kind: Any, value: Any, cell: Cell | None) -> list[Any] | None:
        """Return the node of a value of ours; None where it is none."""
        if kind in FIELDS:
            here = getattr(value, "cell", None)
            owner = here if isinstance(here, Cell) else cell
            if kind in (Cast, Info) and value.to is not None:
                owner = self._receivers.get(value.to, cell)
            return [NUMBERS[kind], *self._fields(kind, value, owner)]
        if isinstance(value, Enum) and kind in NUMBERS:
            return [NUMBERS[kind], value.name]
        if kind in (tuple, list, deque):
            mark = {tuple: forms.TUPLE, list: forms.LIST, deque: forms.DEQUE}[kind]
            return [mark, *(self.of(part, cell) for part in value)]
        if kind in (dict, MappingProxyType):
            return [forms.DICT, *(self.of(p, cell) for pair in value.items() for p in pair)]
        if kind is FunctionType:
            return [forms.FUNCTION, value.__name__]
        return None

    def _fields(self, kind: type, value: Any, cell: Cell | None) -> Iterable[Any]:
        special = SPECIAL.get(kind)
        given = {} if special is None else special(self, value, cell)
        for name in FIELDS[kind]:
            if name in given:
                yield given[name]
            elif (kind, name) in OF_USERS:
                part = getattr(value, name)
                if name == "message":
                    yield self.input(part, cell, spoken=name in SPOKEN)
                else:
                    yield self.user(part, cell, spoken=name in SPOKEN)
            else:
                yield self.of(getattr(value, name, None), cell)

    # -- values of users -----------------------------------------------------------------------

    def user(self, value: Any, cell: Cell | None, *, spoken: bool = False) -> Any:
        """Write a value of a worker; of one that is `spoken` the text is kept as well."""
        kind = type(value)
        if kind in NUMBERS:
            return self.of(value, cell)
        for number, constant in enumerate(CONSTANTS):
            if value is constant:
                return self.add([forms.CONSTANT, number])
        owner = owner_of(cell)
        key = (id(value), owner)
        if key not in self._known:
            self._known[key] = len(self.nodes)
            self._alive.append(value)
            self.nodes.append(None)
            self._put(self._known[key], self._written(value, cell, owner, spoken=spoken))
        return ref(self._known[key])

    def input(self, message: Any, cell: Cell | None, *, spoken: bool = False) -> Any:
        """Write an input; one that waits as bytes is decoded where its worker hides parts of it.

        Of bytes that are no input their number is written.
        """
        if type(message) is bytes and type(cell) is WorkerCell and does_hide(behaviour_in(cell)):
            instead = f"<{len(message):,} bytes>".encode()
            message = contained(
                self._world, cell, lambda _: instead, lambda: codec_of(cell).decode(message)
            )
        return self.user(message, cell, spoken=spoken)

    def _written(self, value: Any, cell: Any, owner: str, *, spoken: bool) -> list[Any]:
        world = self._world
        if not owner:
            cell = world.root
        made = contained(
            world,
            cell,
            partial(not_written, value),
            exactly,
            value,
            cell if owner else None,
            spoken,
        )
        if made[0] == forms.TEXT:
            self.texts += 1
            return made  # type: ignore[no-any-return]  # as `exactly` says
        return [*made, owner]

    def members(self, members: Mapping[str, Member]) -> Any:
        """Write the members of a group; the value of each belongs to that worker."""
        key = ("members", id(members))
        if key not in self._known:
            self._alive.append(members)
            parts = [
                part
                for name, member in members.items()
                for part in (self.of(name), self.of(member, self._receivers.get(name)))
            ]
            self.add([forms.DICT, *parts])
            self._known[key] = len(self.nodes) - 1
        return ref(self._known[key])

    def published(self, entry: Publishing) -> Any:
        """Write the message of a publish that is under way, redacted as by the next to get it."""
        return self.user(entry.message, self._receivers.get(entry.order[-1]), spoken=True)

    # -- what is told later --------------------------------------------------------------------

    def reports(self, one: Any) -> list[Any]:
        """Write an entry of a report stream: several, where it stands for several."""
        if id(one) not in self._told:
            self._alive.append(one)
            alone = isinstance(one, tuple)
            each = [one] if alone else one.entries(0, one.count)
            self._told[id(one)] = [self._report(*report) for report in each]
        return self._told[id(one)]

    def _report(self, at_s: float, event: str, subject: Any, detail: Any) -> Any:
        told = fields(detail) if callable(detail) else detail
        return self.add([forms.TUPLE, at_s, event, self.of(subject), self.of(told)])

    def note(self, kept: KeptCrash) -> CrashNote:
        """Return a crash note, the same one each time."""
        if id(kept) not in self._told:
            self._alive.append(kept)
            self._told[id(kept)] = [kept.note()]
        note: CrashNote = self._told[id(kept)][0]
        return note

    # -- nodes ---------------------------------------------------------------------------------

    def _reserve(self, value: Any) -> int:
        self._known[id(value)] = index = len(self.nodes)
        self._alive.append(value)
        self.nodes.append(None)
        return index

    def add(self, node: list[Any]) -> Any:
        """Write a node; return what stands for it in others."""
        self.nodes.append(None)
        self._put(index := len(self.nodes) - 1, node)
        return ref(index)

    def _put(self, index: int, node: list[Any]) -> None:
        self.nodes[index] = node
        self._left -= NODE_BYTES + sum(
            len(part) if isinstance(part, str | bytes) else 6 for part in node
        )
        if self._left < 0 or (not index & 255 and self._is_late()):
            raise DoesNotFit("there is no room, or no time, for more")


def owner_of(cell: Cell | None) -> str:
    """Return the worker whose values are written; "" where it is no worker's."""
    return str(cell.spec.id) if type(cell) is WorkerCell else ""


def ref(index: int) -> Ext:
    """Return what stands for a node in another."""
    return Ext(1, index.to_bytes(4, "big"))


def exactly(value: Any, cell: WorkerCell | None, spoken: bool) -> list[Any]:
    """Return the node of a value, redacted: exact, or as text. User code: see `contained`."""
    if cell is None:
        visible, classes = value, Classes()
    else:
        visible = redact(cell, value)
        facts = facts_of(behaviour_in(cell))
        classes = Classes(facts.classes, facts.tagged, facts.home)
    text = write_redacted(cell, value) if spoken and cell and type(visible) not in PLAIN else None
    try:
        return [forms.VALUE, exact.write(visible, classes), text]
    except (Inexact, RecursionError, ValueError, TypeError):
        if text is not None:
            return [forms.TEXT, text]
        return [forms.TEXT, str(visible)[:1000] if cell is None else write_redacted(cell, value)]


def not_written(value: Any, error: BaseException) -> list[Any]:
    """Return the node of a value whose own code has failed."""
    return [forms.TEXT, unshowable(value, error)]


def of_world(writer: PastWriter, world: World, _: Cell | None) -> dict[str, Any]:
    """Return the fields of a world that are not as they are."""
    queue = [
        writer.add([
            forms.TUPLE, writer.of(cell), writer.of(kind), writer.input(message, cell),
            writer.of(waiter),
        ])
        for cell, kind, message, waiter in world.queue
    ]  # fmt: skip
    return {
        "clock": writer.add([forms.TUPLE, world.clock.now_s(), world.clock.wall_s()]),
        "queue": writer.add([forms.DEQUE, *queue]),
        "random": writer.of(world.random.getstate()),
    }


def of_group(writer: PastWriter, group: Membership, _: Cell | None) -> dict[str, Any]:
    """Return the fields of a group."""
    return {"members": writer.members(group.members)}


def of_publish(writer: PastWriter, entry: Publishing, _: Cell | None) -> dict[str, Any]:
    """Return the fields of a publish that is under way."""
    return {"members": writer.members(entry.members), "message": writer.published(entry)}


def of_run(writer: PastWriter, run: Run, cell: Cell | None) -> dict[str, Any]:
    """Return the fields of a run that are not as they are.

    Its function is told by its name, and each argument is redacted by itself, as a message is.
    """
    writer.texts += 1
    args = writer.add([forms.TUPLE, *(writer.user(value, cell) for value in run.args)])
    return {"function": writer.add([forms.TEXT, lasting_name(run.function)]), "args": args}


def of_extra(writer: PastWriter, extra: Extra, cell: Cell | None) -> dict[str, Any]:
    """Return the fields of an `Extra`: what a worker has put off is a user's."""
    if type(cell) is not WorkerCell:
        return {"debug": None}
    held = [
        writer.add([forms.TUPLE, writer.of(kind), writer.input(message, cell), writer.of(waiter)])
        for kind, message, waiter in extra.backlog
    ]
    return {"backlog": writer.add([forms.DEQUE, *held]), "debug": debug_of(writer, extra, cell)}


def debug_of(writer: PastWriter, extra: Extra, cell: WorkerCell) -> Any:
    """Write how a worker is looked at: whether it is traced, and the events that are kept."""
    debug = extra.debug
    if debug is None:
        return None
    log: EventLog | None = debug.log
    events = [
        writer.add([forms.TUPLE, one.kind, writer.input(one.value, cell, spoken=True), one.caller])
        for one in log or ()
    ]
    return writer.add([forms.TUPLE, debug.traced, log and log.most, *events])


def of_reports(writer: PastWriter, stream: ReportStream, _: Cell | None) -> dict[str, Any]:
    """Return the fields of a report stream: what is told later is told now."""
    kept = [each for one in stream.ring() for each in writer.reports(one)]
    return {"_ring": writer.add([forms.DEQUE, *kept])}


def of_crashes(writer: PastWriter, notes: CrashNotes, _: Cell | None) -> dict[str, Any]:
    """Return the fields of crash notes: each is made now."""
    made = [writer.of(writer.note(kept)) for kept in notes.all_kept()]
    return {"_notes": writer.add([forms.DEQUE, *made])}


def of_note(writer: PastWriter, note: CrashNote, _: Cell | None) -> dict[str, Any]:
    """Return the fields of one: the places in its code as text, and no events."""
    stack = writer.add([forms.TUPLE, *stack_of(note.places)])
    children = writer.add([forms.TUPLE, *note.children])
    return {"places": stack, "children": children, "events": writer.add([forms.TUPLE])}


def of_error(writer: PastWriter, error: PastError, _: Cell | None) -> dict[str, Any]:
    """Return the fields of an exception of the past: the name of its type, and what it says."""
    said = writer.add([forms.TUPLE, type(error).__name__, *map(str, error.args[:1])])
    places = writer.add([forms.TUPLE, *stack_of(error.places)])
    return {"args": said, "places": places}


def of_crash(writer: PastWriter, reason: Crash, cell: Cell | None) -> dict[str, Any]:
    """Return the fields of a crash, whose exception holds no frames."""
    if isinstance(reason.error, PastError):
        return {}
    bare: Any = frameless(reason, reason.said or type(reason.error).__name__)
    return {"error": writer.of(bare.error, cell)}


def of_worker_spec(writer: PastWriter, spec: WorkerSpec, _: Cell | None) -> dict[str, Any]:
    """Return the fields of a worker's spec: its code by name, and not what `init` is given."""
    behaviour = behaviour_of(spec.start)
    code = facts_of(behaviour).code
    server = isinstance(behaviour, Callbacks)
    start = [forms.CODE, code.machine, code.version, code.digest, server]
    return {"start": writer.add(start), "args": writer.add([forms.DICT])}


def of_labelled(writer: PastWriter, _: Labelled, __: Cell | None) -> dict[str, Any]:
    """Return the fields of a child of a pool to be: not what its `init` is given."""
    return {"args": writer.add([forms.DICT])}


def of_options(_: PastWriter, options: WorkerOptions, __: Cell | None) -> dict[str, Any]:
    """Return the fields of a worker's options: a codec that has no name is that of its code."""
    return {} if isinstance(options.codec, str) else {"codec": None}


def of_supervisor_spec(_: PastWriter, __: SupervisorSpec, ___: Cell | None) -> dict[str, Any]:
    """Return the fields of a supervisor's spec: not its `init`."""
    return {"init": None}


def of_act(writer: PastWriter, acted: Acted, cell: Cell | None) -> dict[str, Any]:
    """Return the fields of a change by hand, whose arguments may be states.

    Of other code its state is kept.
    """
    if acted.function is recode:
        acted = msgspec.structs.replace(acted, function=put_state, args=(acted.after,))
    elif acted.function is recode_pool:
        acted = msgspec.structs.replace(acted, function=None, args=())
    args = writer.add([forms.TUPLE, *(writer.user(value, cell) for value in acted.args)])
    return {"function": writer.of(acted.function), "args": args}


SPECIAL: dict[type, Callable[[PastWriter, Any, Cell | None], dict[str, Any]]] = {
    World: of_world, Extra: of_extra, ReportStream: of_reports, CrashNotes: of_crashes,
    CrashNote: of_note, PastError: of_error, Crash: of_crash, WorkerSpec: of_worker_spec,
    WorkerOptions: of_options, SupervisorSpec: of_supervisor_spec, Acted: of_act,
    Labelled: of_labelled, Membership: of_group, Publishing: of_publish, Run: of_run,
}  # fmt: skip
