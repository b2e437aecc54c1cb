"""Inputs of durable workers: may they be stepped, and what their record says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Kind, Outcome
from ssm_cli.behaviour.effects import Cast, Defer, Info, StartTimer
from ssm_cli.behaviour.reasons import BadReturnError, Crash, ExitReason, plain
from ssm_cli.behaviour.results import NOTHING, Continue, TimeoutAfter
from ssm_cli.behaviour.runs import Run
from ssm_cli.errors import DecodeError, Denied, StorageError, message_of
from ssm_cli.runtime.durable.fits import unfit
from ssm_cli.runtime.durable.keeper import Accepted, Keeper, last_record, next_record
from ssm_cli.runtime.durable.kept import Kept
from ssm_cli.runtime.durable.records import Change, How, Input, Sending, check_record
from ssm_cli.runtime.durable.remedies import for_input
from ssm_cli.runtime.durable.snapshots import INPUT, Refused, number_key, pack
from ssm_cli.runtime.durable.timeouts import message_written
from ssm_cli.runtime.durable.values import digest, digest_of_output, text_of
from ssm_cli.runtime.engine.cell import WorkerCell, replan
from ssm_cli.runtime.engine.entries import Caused, ContinueDue, RunEnded, TimeoutDue, TimerDue
from ssm_cli.runtime.engine.pending import Pending
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.outside import is_from_outside
from ssm_cli.runtime.reports import crash_text, error_detail

HOW: dict[Kind, How] = {
    Kind.CALL: "call",
    Kind.CAST: "cast",
    Kind.INFO: "info",
    Kind.CONTINUE: "continue",
}
FROM_OTHERS = frozenset({"call", "cast", "info"})
MOST_CRASHES = 1000  # inputs a worker whose crashes are counted; the oldest go
MOST_REFUSED = 10_000  # inputs in quarantine; what comes then is taken again


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
    kept: Kept = cell.ensure_extra().kept
    try:
        accepted = read(kept, kind, message, came, pending)
        accepted = msgspec.structs.replace(accepted, timeout=cell.ensure_extra().timeout_after)
    except StorageError as error:
        refuse_input(keeper, cell, pending, DecodeError(str(error), worker=cell.spec.id))
        return False
    if kept.refused and accepted.how in FROM_OTHERS and kept.options.quarantine != "never":
        refused = kept.refused.get(digest(accepted.data))
        if refused is not None and not is_tried_again(kept, refused, cell.state):
            refuse_input(keeper, cell, pending, in_quarantine(keeper, cell, refused.number))
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
        return Accepted(HOW[kind], kept.values.came(came), request=request)
    match came:
        case TimeoutDue():
            return Accepted("timeout", message_written(message, kept.values.written))
        case TimerDue(key=key, cause=cause):
            return Accepted("timer", kept.values.written(message), key=key, cause=cause)
        case RunEnded(key=key, cause=cause):
            return Accepted("run", kept.values.written(message), key=key, cause=cause)
        case ContinueDue(cause=cause) | Caused(cause=cause):
            return Accepted(HOW[kind], kept.values.written(message), cause=cause)
    request = "" if pending is None else pending.request
    return Accepted(HOW[kind], kept.values.written(message), request=request)


def refuse_input(
    keeper: Keeper, cell: WorkerCell, pending: Pending | None, error: DecodeError | Denied
) -> None:
    """Answer a call with an error; without a caller a report says it."""
    if pending is not None:
        pending.fail(error)
    else:
        keeper.world.report("refused", cell, {"error": error_detail(error)})


def is_tried_again(kept: Kept, refused: Refused, state: Any) -> bool:
    """Whether an input in quarantine has crashed in another state alone, which may be at fault."""
    return bool(refused.state) and state_hash(kept, state) != refused.state


def state_hash(kept: Kept, state: Any) -> bytes:
    """The hash of a state; empty where it has none."""
    try:
        return kept.values.hash(state)[0]
    except StorageError:
        return b""


def in_quarantine(keeper: Keeper, cell: WorkerCell, number: int) -> Denied:
    """The error for an input that has crashed its worker too often."""
    return Denied(
        f"this input has crashed {cell.spec.id} {cell.spec.options.quarantine} times and is in "
        f"quarantine as {number}; {for_input(keeper.store, cell.spec.id, number)}",
        worker=cell.spec.id,
        reason="quarantined",
    )


def accept(keeper: Keeper, cell: WorkerCell, kept: Kept, outcome: Outcome) -> int:
    """Record an input that was stepped; the number of its record, 0 where states alone are kept.

    Raises:
        StorageError: the new state, or what it sends, cannot be written; nothing is recorded.
        BadReturnError: likewise, a timer or a time-out that it asks for.
    """
    wrong = unfit(outcome) if kept.journals else ""
    if wrong:
        raise BadReturnError(wrong)
    state_hash = kept.hash(outcome.state)
    if not kept.journals:
        kept.recorded = state_hash
        return 0
    now = keeper.now
    assert now is not None, "an input is admitted before it is stepped"
    sent = None if not outcome.effects else tuple(sendings_of(keeper.world, cell, outcome))
    for message, what in to_be_written(outcome):
        kept.values.written(message, what)
    replied = now.how == "call" and answers(outcome)
    output = encoded_output(kept, outcome, must=bool(now.request)) if replied else b""
    if kept.resync:
        tell_state(keeper, cell, kept)
    keeper.now = None
    record = Input(
        kept.worker, keeper.at_s(), now.how, now.data,
        "stopped" if outcome.stop is not None else "replied" if replied else "silent",
        digest_of_output(output), state_hash, kept.values.version, now.request,
        output if now.request else b"", now.key, now.cause,
        effects_hash=kept.values.hash_of_effects(outcome), number=next_record(keeper), sent=sent,
    )  # fmt: skip
    check_record(record)
    size = len(now.data) + len(record.output) + sum(len(data) for *_, data in sent or ())
    seq = keeper.add_input(cell, record, size, now.timeout)
    kept.succeeded(now.data, state_hash)
    let_out(keeper, kept, now.data)
    if now.request:
        keeper.sessions.learn(seq, record, kept.values.repeated(outcome.reply) if replied else None)
    return seq


def tell_state(keeper: Keeper, cell: WorkerCell, kept: Kept) -> None:
    """Record the state that a worker has, as what is in the journal is another one."""
    state = kept.values.dump(cell.state)
    number = last_record(keeper)
    keeper.add(Change(kept.worker, keeper.at_s(), state, kept.values.code, number), len(state))
    kept.resync = False
    replan(cell)


def to_be_written(outcome: Outcome) -> Iterator[tuple[object, str]]:
    """What an outcome asks of its own worker and a recovery must know, and what it is."""
    if isinstance(outcome.then, Continue | TimeoutAfter):
        yield outcome.then.message, "an input"
    for effect in outcome.effects:
        if isinstance(effect, StartTimer):
            yield effect.message, "an input"
        elif isinstance(effect, Run):
            yield effect.args, f"the arguments of Run {plain(effect.key, repr)}"


def sendings_of(world: World, cell: WorkerCell, outcome: Outcome) -> Iterator[Sending]:
    """What an outcome sends to journalled workers, as it is recorded; raises `StorageError`."""
    for index, effect in enumerate(outcome.effects):
        if isinstance(effect, Cast | Info):
            target = receiver(world, cell, effect.to)
            if target is not None:
                how: How = "cast" if isinstance(effect, Cast) else "info"
                yield index, target.worker, how, target.values.written(effect.message)


def answers(outcome: Outcome) -> bool:
    """Whether an outcome answers its call, rather than later or never."""
    deferred = any(type(effect) is Defer for effect in outcome.effects)
    return outcome.reply is not NOTHING and not deferred


def encoded_output(kept: Kept, outcome: Outcome, *, must: bool) -> bytes:
    """The encoded output of a call; empty where its codec cannot write it.

    Raises:
        StorageError: it cannot, and `must`: a retry would not get the same answer.
    """
    try:
        return kept.codec.encode(outcome.reply)
    except BaseException as error:
        if is_from_outside(None, error):
            raise
        if must:
            text = f"{kept.worker}: its codec cannot write its output, to be answered again: "
            raise StorageError(f"{text}{message_of(error)}") from error
        return b""  # whoever asked in bytes is told so


def caused(world: World, seq: int, outcome: Outcome, cell: WorkerCell) -> Outcome:
    """The outcome with its timers, and its sends to durable workers, marked by their cause."""
    if not outcome.effects:
        return outcome
    effects: list[Any] = []
    for index, effect in enumerate(outcome.effects):
        if isinstance(effect, StartTimer):
            timer = Caused((seq, index), effect.message)
            ms, absolute = effect.after_ms, effect.absolute
            effects.append(StartTimer(effect.key, ms, timer, absolute))
        elif isinstance(effect, Run):
            effects.append(Caused((seq, index), effect))
        elif isinstance(effect, Cast | Info) and receiver(world, cell, effect.to) is not None:
            marked = Caused((seq, index), effect.message)
            effects.append(type(effect)(effect.to, marked))
        else:
            effects.append(effect)
    return msgspec.structs.replace(outcome, effects=effects)


def receiver(world: World, cell: WorkerCell, to: str | None) -> Kept | None:
    """Who gets what is sent to that name, if it is recorded there."""
    target = cell if to is None else world.reach(str.__str__(to))
    extra = None if target is None else target.extra
    kept: Kept | None = None if extra is None else extra.kept
    return kept if kept is not None and kept.journals else None


def record_crash(keeper: Keeper, cell: WorkerCell, message: Any, reason: ExitReason) -> None:
    """Record an input that crashed its worker, and count it; too often, and it is quarantined."""
    kept: Kept = cell.ensure_extra().kept
    now, keeper.now = keeper.now, None
    if now is None:
        now = Accepted("call", _bytes_of(kept, message))
    text = str(reason)
    if isinstance(reason, Crash):
        text = f"{type(reason.error).__name__}: {crash_text(reason)}"
    if kept.journals:
        said = f"{cell.spec.id} crashed: {text}".encode() if now.request else b""
        record = Input(
            kept.worker, keeper.at_s(), now.how, now.data, "crashed", b"", b"",
            kept.values.version, now.request, said, now.key or text, now.cause,
            kept.stays(reason), number=last_record(keeper),
        )  # fmt: skip
        seq = keeper.add(record, len(now.data))
        if now.request:
            keeper.sessions.learn(seq, record)
    if now.how not in FROM_OTHERS:
        kept.failures += 1
    elif isinstance(reason, Crash) and type(message) not in kept.reads:
        count(keeper, cell, kept, now, text)


def record_drop(keeper: Keeper, cell: WorkerCell, kind: Kind, came: Any, message: Any) -> None:
    """Record that an input which the tree itself has brought was dropped: it does not come again.

    Raises:
        StorageError: it cannot be recorded.
    """
    kept: Kept = cell.ensure_extra().kept
    now = read(kept, kind, message, came, None)
    record = Input(
        kept.worker, keeper.at_s(), now.how, now.data, "dropped", b"", b"", kept.values.version,
        key=now.key, cause=now.cause, number=last_record(keeper),
    )  # fmt: skip
    keeper.add(record, len(now.data))
    keeper.commit()


def _bytes_of(kept: Kept, message: Any) -> bytes:
    if type(message) is bytes:
        return kept.values.came(message)
    try:
        return kept.values.written(message)
    except StorageError:
        return b""


def let_out(keeper: Keeper, kept: Kept, data: bytes) -> None:
    """An input was served: if it was in quarantine, it is not any more."""
    refused = kept.refused.pop(digest(data), None) if kept.refused else None
    if refused is not None:
        keeper.change(number_key(INPUT, refused.number), None)


def count(keeper: Keeper, cell: WorkerCell, kept: Kept, now: Accepted, error: str) -> None:
    """Count a crash of an input; put it in quarantine when it is one too many."""
    limit, data = kept.options.quarantine, now.data
    if limit == "never" or not data:
        return
    key = digest(data)
    crashes = kept.crashes.pop(key, 0) + 1
    kept.crashes[key] = crashes
    if len(kept.crashes) > MOST_CRASHES:
        del kept.crashes[next(iter(kept.crashes))]
    before = kept.refused.get(key)
    if crashes < limit or (before is None and len(kept.refused) >= MOST_REFUSED):
        return
    number = keeper.next_number() if before is None else before.number
    state = state_hash(kept, cell.state) if before is None else b""  # else it was another one
    refused = Refused(number, kept.worker, keeper.at_s(), data, crashes, error, state)
    kept.refused[key] = refused
    keeper.change(number_key(INPUT, number), pack(refused))
    what = {"input": text_of(data)[:1000], "crashes": crashes, "number": number}
    keeper.world.report("quarantined", cell, what)
