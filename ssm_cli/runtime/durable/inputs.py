"""Inputs of durable workers: may they be stepped, and what their record says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ssm_cli.behaviour.dispatch import Kind, Outcome
from ssm_cli.behaviour.effects import Cast, Defer, Effect, Info
from ssm_cli.behaviour.reasons import Crash, ExitReason
from ssm_cli.behaviour.results import NOTHING
from ssm_cli.errors import DecodeError, Denied, StorageError
from ssm_cli.runtime.durable.format.records import Cause, Change, How, Input
from ssm_cli.runtime.durable.format.snapshots import INPUT, Refused, number_key, pack
from ssm_cli.runtime.durable.format.values import digest
from ssm_cli.runtime.durable.kept import Kept
from ssm_cli.runtime.engine.cell import WorkerCell
from ssm_cli.runtime.engine.commit import ContinueToken, SentToken, TimeoutToken, TimerToken
from ssm_cli.runtime.engine.core import Core
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.reports import error_detail, error_text

if TYPE_CHECKING:
    from ssm_cli.runtime.durable.keeper import Keeper

HOW: dict[Kind, How] = {
    Kind.CALL: "call",
    Kind.CAST: "cast",
    Kind.INFO: "info",
    Kind.CONTINUE: "continue",
}
FROM_OTHERS = frozenset({"call", "cast", "info"})
MOST_CRASHES = 1000  # inputs a worker whose crashes are counted; the oldest go
MOST_REFUSED = 10_000  # inputs in quarantine; what comes then is taken again


class Accepted(msgspec.Struct, frozen=True):
    """An input that is about to be stepped, as its record will say."""

    how: How
    data: bytes
    key: str = ""
    cause: Cause | None = None
    request: str = ""


def admit(
    keeper: Keeper, cell: WorkerCell, kind: Kind, came: Any, message: Any, *, call: Pending | None
) -> bool:
    """Whether an input may be stepped; else it has its outcome, or will have it.

    Args:
        keeper: the node's.
        cell: the worker.
        kind: how it came.
        came: what was in the queue: bytes, a token, or the value itself.
        message: the input as a value.
        call: who waits for the outcome, if somebody does.
    """
    pending = call
    kept: Kept = cell.more().kept
    try:
        accepted = read(kept, kind, message, came, pending)
    except StorageError as error:
        refuse(keeper, cell, pending, DecodeError(str(error), worker=cell.spec.id))
        return False
    if kept.refused and accepted.how in FROM_OTHERS:
        number = kept.refused.get(digest(accepted.data))
        if number is not None:
            refuse(keeper, cell, pending, in_quarantine(cell, number))
            return False
    if accepted.request and pending is not None and kept.journals:
        sessions = keeper.sessions
        if not sessions.begin(cell, accepted.data, pending, keeper.hold):
            return False
    keeper.now = accepted
    return True


def read(kept: Kept, kind: Kind, message: Any, came: Any, pending: Pending | None) -> Accepted:
    """What the record of an input will say; raises `StorageError` if it cannot be recorded."""
    if type(came) is bytes:
        request = "" if pending is None else pending.request
        return Accepted(HOW[kind], came, request=request)
    match came:
        case TimeoutToken():
            return Accepted("timeout", b"")
        case TimerToken(key=key):
            return Accepted("timer", kept.written(message), key=key)
        case ContinueToken(cause=cause) | SentToken(cause=cause):
            return Accepted(HOW[kind], kept.written(message), cause=cause)
    request = "" if pending is None else pending.request
    return Accepted(HOW[kind], kept.written(message), request=request)


def refuse(
    keeper: Keeper, cell: WorkerCell, pending: Pending | None, error: DecodeError | Denied
) -> None:
    """Answer a call with an error; without a caller a report says it."""
    if pending is not None:
        pending.fail(error)
    else:
        keeper.core.report("refused", cell, {"error": error_detail(error)})


def in_quarantine(cell: WorkerCell, number: int) -> Denied:
    """The error for an input that has crashed its worker too often."""
    return Denied(
        f"this input has crashed {cell.spec.id} {cell.spec.options.quarantine} times and is in "
        f"quarantine as {number}; `ssm data quarantine` shows why, and lets it in again with "
        f"`--retry {number}`",
        worker=cell.spec.id,
        reason="quarantined",
    )


def accept(keeper: Keeper, cell: WorkerCell, kept: Kept, outcome: Outcome) -> int:
    """Record an input that was stepped; the number of its record.

    Raises:
        StorageError: the new state cannot be written; nothing is recorded.
    """
    now = keeper.now
    assert now is not None, "an input is admitted before it is stepped"
    state_hash = kept.hash(outcome.state)
    if kept.resync:
        keeper.add(Change(kept.worker, keeper.at_s(), kept.values.dump(cell.state)))
        kept.resync = False
    keeper.now = None
    keeper.remember(cell)
    output = output_of(kept, outcome) if now.how == "call" else b""
    replied = bool(output) or (outcome.reply is not NOTHING and now.how == "call")
    record = Input(
        kept.worker,
        keeper.at_s(),
        now.how,
        now.data,
        "stopped" if outcome.stop is not None else "replied" if replied else "silent",
        digest(output) if output else b"",
        state_hash,
        kept.values.version,
        now.request,
        output if now.request else b"",
        now.key,
        now.cause,
    )
    kept.dirty, kept.fresh, kept.failures = True, False, 0
    seq = keeper.add(record, len(now.data))
    if now.request:
        keeper.sessions.learn(seq, record)
    return seq


def output_of(kept: Kept, outcome: Outcome) -> bytes:
    """The encoded output of a call; empty where there is none, or it comes later."""
    if outcome.reply is NOTHING or any(type(effect) is Defer for effect in outcome.effects):
        return b""
    try:
        return kept.codec.encode(outcome.reply)
    except Exception:  # noqa: BLE001 - a user's codec; whoever asked in bytes is told so
        return b""


def caused(core: Core, seq: int, outcome: Outcome, cell: WorkerCell) -> Outcome:
    """The outcome with its sends marked by their cause, where a durable worker will get them."""
    if not outcome.effects:
        return outcome
    effects: list[Effect] = []
    for index, effect in enumerate(outcome.effects):
        if isinstance(effect, Cast | Info) and goes_to_durable(core, cell, effect.to):
            marked = SentToken((seq, index), effect.message)
            effects.append(type(effect)(effect.to, marked))
        else:
            effects.append(effect)
    return msgspec.structs.replace(outcome, effects=effects)


def goes_to_durable(core: Core, cell: WorkerCell, to: str | None) -> bool:
    """Whether what is sent to that name is recorded there."""
    target = cell if to is None else core.names.get(to.rpartition("/")[2])
    extra = None if target is None else target.extra
    return extra is not None and extra.kept is not None and extra.kept.journals


def crashed(keeper: Keeper, cell: WorkerCell, message: Any, reason: ExitReason) -> None:
    """Record an input that crashed its worker, and count it; too often, and it is quarantined."""
    kept: Kept = cell.more().kept
    now, keeper.now = keeper.now, None
    if now is None:
        now = Accepted("call", _bytes_of(kept, message))
    error = reason.error if isinstance(reason, Crash) else None
    text = str(reason) if error is None else f"{type(error).__name__}: {error_text(error)}"
    if kept.journals:
        said = f"{cell.spec.id} crashed: {text}".encode() if now.request else b""
        record = Input(
            kept.worker, keeper.at_s(), now.how, now.data, "crashed", b"", b"",
            kept.values.version, now.request, said, now.key or text, now.cause,
            kept.stays(reason),
        )  # fmt: skip
        seq = keeper.add(record, len(now.data))
        if now.request:
            keeper.sessions.learn(seq, record)
    if now.how not in FROM_OTHERS:
        kept.failures += 1
    elif isinstance(reason, Crash):
        count(keeper, cell, kept, now.data, text)


def _bytes_of(kept: Kept, message: Any) -> bytes:
    if type(message) is bytes:
        return message
    try:
        return kept.written(message)
    except StorageError:
        return b""


def count(keeper: Keeper, cell: WorkerCell, kept: Kept, data: bytes, error: str) -> None:
    """Count a crash of an input; put it in quarantine when it is one too many."""
    limit = kept.options.quarantine
    if limit == "never" or not data:
        return
    key = digest(data)
    crashes = kept.crashes.pop(key, 0) + 1
    kept.crashes[key] = crashes
    if len(kept.crashes) > MOST_CRASHES:
        del kept.crashes[next(iter(kept.crashes))]
    if crashes >= limit and key not in kept.refused and len(kept.refused) < MOST_REFUSED:
        number = keeper.next_number()
        refused = Refused(number, kept.worker, keeper.at_s(), data, crashes, error)
        kept.refused[key] = number
        keeper.change(number_key(INPUT, number), pack(refused))
        shown = str(data, "utf-8", "replace")[:1000]
        what = {"input": shown, "crashes": crashes, "number": number}
        keeper.core.report("quarantined", cell, what)
