"""The past of a node: to the bytes of a file, and from there to a node that was never started."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from ssm_cli.errors import Forgotten, StorageDamaged, StorageError, message_of
from ssm_cli.history.saved import file, forms
from ssm_cli.history.saved.checking import ROOT, check_ring, check_root, is_instant
from ssm_cli.history.saved.code import Codes
from ssm_cli.history.saved.reading import PastReader, nodes_in
from ssm_cli.history.saved.writing import DoesNotFit, PastWriter
from ssm_cli.runtime.engine.fork import fork
from ssm_cli.runtime.engine.guard import NoGuard
from ssm_cli.runtime.engine.recorder import Entry, Frozen, Moment, Recorder
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.performer.intake import forbid_reentry
from ssm_cli.spec.model import SupervisorSpec

FAULTS = (
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    RecursionError,
    ArithmeticError,
    AssertionError,
)
"""What comes of nodes that do not fit together."""


class Facts(msgspec.Struct, frozen=True):
    """What a file says of itself.

    Attributes:
        ssm: the version that made it.
        name: of the tree.
        at_s: when, in seconds since 1970.
        first: the first record whose input is saved.
        last: the last record.
        forgotten: how many older records that were remembered found no room.
        texts: how many values are kept as text, as they have no exact form.
        layout: of its nodes; see `forms.layout`.
    """

    ssm: str
    name: str
    at_s: float
    first: int
    last: int
    forgotten: int
    texts: int
    layout: str


class OpenedPast(msgspec.Struct, frozen=True):
    """A past that was opened.

    Attributes:
        node: as it was when it was saved, with what it remembered; not to be started.
        facts: what the file says of itself.
        missing: the workers whose code is not here: they can be looked at, and not stepped.
        changed: those whose code is another than it was.
        reloaded: those of which that is so before a reload alone.
        inexact: those of whose values some are shown without their classes.
    """

    node: Node
    facts: Facts
    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    reloaded: tuple[str, ...] = ()
    inexact: tuple[str, ...] = ()


def bytes_of_past(node: Node, most_s: float = math.inf) -> tuple[bytes, Facts]:
    """Return what a node remembers as the bytes of a file, and what that says of itself.

    Values are redacted. Where there is too much, the oldest records stay behind.

    Args:
        node: it is not changed.
        most_s: how long it may take, in seconds of the node's clock.

    Raises:
        Forgotten: it remembers nothing.
        StorageError: not even the last records find room, or there is no time for them.
    """
    recorder = node.recorder()
    if recorder is None:
        raise Forgotten(f"{node.name} remembers nothing; start it with `--history N`")
    world = recorder.world
    forbid_reentry(world)
    frozen = Frozen(world.clock.now_s(), world.clock.wall_s())
    now = fork(world, frozen, NoGuard(frozen))
    end_s = node.now_s() + most_s
    ring = list(recorder.ring)
    while True:
        try:
            return file_with(node, recorder, now, ring, lambda: node.now_s() > end_s)
        except DoesNotFit as error:
            later = [n for n, entry in enumerate(ring) if n and type(entry[5]) is Moment]
            if not later or node.now_s() > end_s:
                raise StorageError(
                    f"cannot save the past of {node.name}: its last records take more than "
                    f"{file.MOST_BYTES >> 20} MiB, or {most_s:g} s are over"
                ) from error
            ring = ring[later[len(later) // 2] :]


def file_with(
    node: Node, recorder: Recorder, now: Any, ring: list[Entry], is_late: Callable[[], bool]
) -> tuple[bytes, Facts]:
    """Return the bytes of a file with these entries, and what it says of itself."""
    world = recorder.world
    cells = {id(cell): now.names[name] for name, cell in world.names.items() if name in now.names}
    receivers = {entry[1].spec.id: entry[1] for entry in ring if entry[1] is not None}
    writer = PastWriter(world, cells, receivers | world.names, file.MOST_BYTES, is_late)
    last, first = recorder.last(), ring[0][0] if ring else recorder.last()
    if not any(type(entry[5]) is Moment for entry in ring):
        ring = [*ring, (last, None, None, None, None, Moment(now))]
    root = {
        "now": writer.of(now),
        "ring": [writer.entry(entry) for entry in reversed(ring)][::-1],
        "causes": {n: cause for n, cause in recorder.causes.items() if n >= first},
        "askers": {n: who for n, who in recorder.askers.items() if n >= first},
        "instants": writer.of(recorder.instants),
        "marks": writer.of(recorder.marks),
        "impure": dict(recorder.impure.found),
    }
    writer.finish()
    facts = Facts(
        installed(), node.name, world.clock.wall_s(), first, last,
        max(0, first - recorder.ring[0][0]) if recorder.ring else 0, writer.texts, forms.layout(),
    )  # fmt: skip
    body = {"facts": msgspec.to_builtins(facts), "root": root, "nodes": writer.nodes}
    return file.sealed_body(msgspec.msgpack.encode(body)), facts


def past_in(data: bytes, where: str, tree: SupervisorSpec | None = None) -> OpenedPast:
    """Return the past in the bytes of a file.

    Args:
        data: of the file.
        where: the file, for messages.
        tree: with the code that is here; without it all can be looked at, and nothing stepped.

    Raises:
        StorageDamaged: they are not what was written.
        StorageError: they are of another version.
    """
    try:
        body = msgspec.msgpack.decode(file.body_of(data, where))
        facts = msgspec.convert(body["facts"], Facts)
        if not is_instant(facts.at_s):
            raise ValueError("it was made at no time")
    except (msgspec.MsgspecError, zlib.error, *FAULTS) as error:
        raise does_not_fit(where, error) from error
    if facts.layout != forms.layout():
        raise StorageError(
            f"{where} was saved by ssm {facts.ssm}, whose records are laid out in another way "
            f"({facts.layout}) than those of this ssm {installed()} ({forms.layout()}); open it "
            f"with the version that made it"
        )
    codes = Codes(tree)
    reader = PastReader(nodes_in(body, where), codes)
    try:
        reader.read()
        node = remembering(reader, body["root"], facts)
        node.tree()  # so that what does not fit together is found now
    except (msgspec.MsgspecError, *FAULTS) as error:
        raise does_not_fit(where, error, f" at node {reader.at}") from error
    now = {id(cell.spec) for cell in node._world.names.values()}  # noqa: SLF001 - the specs themselves
    changed = {spec.id for spec in codes.changed if id(spec) in now}
    reloaded = {spec.id for spec in codes.changed} - changed
    workers = codes.missing, changed, reloaded, reader.inexact
    return OpenedPast(node, facts, *map(by_name, workers))


def by_name(names: set[str]) -> tuple[str, ...]:
    """Return names in order."""
    return tuple(sorted(names))


def does_not_fit(file: str, error: Exception, place: str = "") -> StorageDamaged:
    """Return the error for what does not fit together in a file.

    >>> does_not_fit("x.past", KeyError("kv"), " at node 7")
    StorageDamaged("x.past is damaged at node 7: it does not fit together (KeyError: 'kv')")
    """
    said = message_of(error)
    if type(error) is not ValueError:
        said = f"it does not fit together ({type(error).__name__}: {said})"
    return StorageDamaged(f"{file} is damaged{place}: {said}")


def remembering(reader: PastReader, root: dict[str, Any], facts: Facts) -> Node:
    """Return the node that was saved, with what it remembered."""
    found = {name: reader.of(root[name]) for name in ROOT}
    check_root(found)
    world, ring = found["now"], [reader.of(entry) for entry in root["ring"]]
    check_ring(ring, facts.last)
    recorder = Recorder(world, max(16, len(ring)), number=facts.last)
    recorder.ring.extend(ring)
    recorder.causes.update(found["causes"])
    recorder.askers.update(found["askers"])
    recorder.instants.take_over(found["instants"])
    recorder.marks = found["marks"]
    recorder.impure.found.update(found["impure"])
    world.remember(recorder)
    world.reports.record_of = recorder.marks.record_of
    return Node.of_world(world.root.spec, facts.name, world)


def installed() -> str:
    """Return the version of the installed package."""
    try:
        return version("supervised-state-machines")
    except PackageNotFoundError:
        return "unknown"
