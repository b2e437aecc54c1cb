"""Scratch trees: forks of what is remembered, to try in them what might have been."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain, islice
from typing import Any

from ssm_cli.behaviour.dispatch import callback_of
from ssm_cli.behaviour.visible import Taken
from ssm_cli.codec.build import codec_for
from ssm_cli.errors import CommandError, Forgotten, is_number, message_of
from ssm_cli.history.agreed import Signs
from ssm_cli.history.changes import change_record
from ssm_cli.history.changes import changes as changes_between
from ssm_cli.history.other_code import Replaced, code_of, other_code
from ssm_cli.history.places import MOST_FORKS, Fork, Places, record_said
from ssm_cli.history.records import Served, latest_of, served_in
from ssm_cli.history.rerun import base_of, rerun
from ssm_cli.history.saved.code import GONE, GONE_MACHINE, GoneServer
from ssm_cli.history.telling import Data, Teller
from ssm_cli.history.timeline import Timeline
from ssm_cli.history.turns import AGAIN_S, GO_ON_S, Clock, Quota, Turns, all_turns, bounded
from ssm_cli.runtime.durable.code import lasting_name
from ssm_cli.runtime.engine.cell import Cell, WorkerCell
from ssm_cli.runtime.node import Node, with_own_states
from ssm_cli.runtime.outside import is_raised_by_code
from ssm_cli.spec.model import ChildSpec, WorkerSpec, walk

MOST_ADVANCE_S = 10 * 365 * 86_400.0
MOST_LEFT_OUT = 1000  # records at once
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
BROUGHT = ("timer", "timeout", "continue", "run")  # how records come that others bring
MOST_COPIED = 1000  # workers whose states are copied for a fork
MOST_HELD = 10  # workers that are told to be held
MOST_TOLD = 100  # records that time has brought
FORK_RECORDS = 10_000  # that a fork remembers of itself
TOO_MUCH = "too much happens in a fork, it took {:g} s of the processor"
NO_WORKER = "no worker of this tree"
SLOW = "to copy its states takes more than {:g} s of the processor"


class Scratch:
    """What can be tried at a place of a timeline; nothing of it leaves the process or is kept."""

    def __init__(
        self,
        timeline: Timeline,
        clock: Clock = time.perf_counter,
        processor: Clock = time.process_time,
    ) -> None:
        self._timeline = timeline
        self._clock, self._processor = clock, processor
        self._signs = Signs()
        self._places: Places = timeline.places

    def fork(
        self, record: str | None = None, code: str | None = None, place: str = ""
    ) -> Turns[Data]:
        """Make a scratch tree of the place, or of a record, and return where it stands.

        With `code`, a file, the workers of a file of that name are stepped by it from there on; a
        fork of such a fork is as well.
        """
        _, recorder, here = self._places.remembered(place)
        at = here if record is None else self._places.record_at(record, place)
        source = self._places.fork_of(place).node if is_fork(place) else self._places.node
        module = self._places.fork_of(place).code if is_fork(place) else None
        if at < source.first_record() and is_fork(place):
            raise Forgotten(f"record {at} is before {place}; `now` leaves it, then `fork {at}`")
        quota = Quota(self._clock, self._processor, AGAIN_S, lambda: True)
        made = made_at(source, at, code, module, is_now=at == recorder.last())
        node, module = yield from bounded(quota, made, f"no fork is made: {SLOW.format(AGAIN_S)}")
        fork = self._places.add(node, at, place, base_of(node))
        fork.code = module
        told: Data = {"place": fork.name, "number": at, "waiting": waiting_in(node)}
        if runs := sum(len(under_way_of(node, name)["runs"]) for name in node.names("worker")):
            told["runs"] = runs
        if held := [*islice(held_below(node), MOST_HELD)]:
            told["held"] = held
        return told | ({} if module is None else {"code": module.__file__})

    def forks(self, place: str = "") -> Data:
        """Return the forks that there are, the oldest first, and that of the place."""
        told = [
            {"fork": fork.name, "record": fork.record, "number": fork.node.record,
             "waiting": waiting_in(fork.node), "instead": sorted(fork.instead)}
            for fork in self._places.forks.values()
        ]  # fmt: skip
        return {"here": place, "forks": told, "most": MOST_FORKS}

    def drop(self, place: str = "") -> Data:
        """Forget the fork of the place; return to the record that it was made at."""
        if not is_fork(place):
            raise CommandError("this is no fork; `fork` makes one")
        fork = self._places.drop(place)
        if fork.above in self._places.forks:
            return {"place": fork.above, "number": self._places.tree(fork.above).record}
        live = self._places.node
        if fork.above or fork.record == live.record:
            return {"place": "", "number": live.record}
        return {"place": str(fork.record), "number": fork.record}

    def without(self, records: str, place: str = "") -> Turns[Data]:
        """Step all again without some records; return what differs in the fork now.

        `records` are their numbers, with spaces between them.
        """
        numbers = records.replace(",", " ").split()
        if not numbers or len(numbers) > MOST_LEFT_OUT:
            raise CommandError(
                f"without what? expected the numbers of 1 to {MOST_LEFT_OUT} records"
            )
        return (yield from self._again(place, dict.fromkeys(map(self._number, numbers))))

    def edit(self, record: str, given: str, place: str = "") -> Turns[Data]:
        """Step all again with another input in a record's place; return what differs now.

        `given` is decoded by the codec of the record's worker.
        """
        number = self._number(record)
        one = self._record(self._fork(place), number)
        if not one.is_input:
            raise Forgotten(f"record {number} is no input that is remembered")
        said = typed_input(one.cell, given.encode("utf-8", "surrogateescape"))
        return (yield from self._again(place, {number: said}))

    def advance(self, span: str, place: str = "") -> Turns[Data]:
        """Let time pass in a fork (`90s`, `5m`, `2h`, `1d`), and return what that brought.

        Of the records the first `MOST_TOLD` are told; there are `more` of them. `stopped` says
        why not all of the time has passed, "" if it has.
        """
        fork, seconds = self._fork(place), seconds_of(span)
        need_steps(fork)
        if not 0 < seconds <= MOST_ADVANCE_S:
            expected = "expected more than 0 s and at most 10 years"
            raise CommandError(f"cannot advance {seconds:g} s; {expected}")
        node, begun_s = fork.node, fork.node.now_s()
        before, seq = node.record, node.last_seq
        over = yield from self._going_on(fork, seconds)
        passed_s, why = node.now_s() - begun_s if over else seconds, TOO_MUCH.format(GO_ON_S)
        return {
            "place": place,
            "number": node.record,
            "passed": passed_s,
            "wanted": seconds,
            "stopped": f"stopped after {passed_s:g} s of it: {why}" if over else "",
            "reports": [report.seq for report in node.reports(seq)],
            "records": self._since(node, before),
            "more": max(0, node.record - before - MOST_TOLD),
        }

    def settle(self, place: str = "") -> Turns[str]:
        """Serve what waits in a fork; return why not all was served, "" if it was."""
        over = yield from self._going_on(self._fork(place), 0.0)
        return f"stopped: {TOO_MUCH.format(GO_ON_S)}" if over else ""

    def _going_on(self, fork: Fork, seconds: float) -> Turns[bool]:
        """Let a fork go on; return whether it was stopped, as too much happens in it."""
        quota = self._ration(fork, GO_ON_S)
        with fork.stepped():
            yield from quota.cut(fork.node.turns(seconds))
        return quota.is_over

    def _ration(self, fork: Fork, most_s: float) -> Quota:
        """Return the time to step a fork, which may be dropped meanwhile."""

        def is_wanted() -> bool:
            return self._places.forks.get(fork.name) is fork

        return Quota(self._clock, self._processor, most_s, is_wanted)

    def adopt(
        self, worker: str, why: str = "", sure: str = "", plan: str = "", place: str = ""
    ) -> Data:
        """Put the state of a worker of the fork in the live worker's place, as a record.

        Unless `sure` is `yes` nothing is done: the answer says what would change, and its `plan`.
        With that nothing else is done: where one of both states is another by now, what would
        change is told anew (`stale`).

        Raises:
            CommandError: no reason is given, the place is no fork, or the live worker of that name
                is another one.
        """
        fork, live = self._fork(place), self._places.node
        cells = [node._world.names.get(worker) for node in (fork.node, live)]  # noqa: SLF001 - the states themselves, not as they are shown
        there, here = cells
        if type(there) is not WorkerCell or fork.node.whereis(worker) is None:
            raise Forgotten(f"no worker `{worker}` runs in {place}")
        if here is not None:
            refuse_another(here, there, place)
        if not why.strip():
            raise CommandError("adopt for what reason? expected `--why TEXT`")
        state = there.state
        told = all_turns(self._timeline.differing(live, fork.node, [worker]))
        known = worker, getattr(here, "state", None), state
        is_stale = self._signs.is_stale(plan, known)
        if sure != "yes" or is_stale:
            sign = self._signs.sign(known)
            return {"worker": worker, "changes": told, "adopted": False, "stale": is_stale,
                    "plan": sign}  # fmt: skip
        with live.asked_by(why.strip()[:200]):
            live.replace_state(worker, Taken(state))
        return {"worker": worker, "changes": told, "adopted": True, "stale": False,
                "number": live.record}  # fmt: skip

    # -- inside --------------------------------------------------------------------------------

    def _fork(self, place: str) -> Fork:
        if not is_fork(place):
            raise CommandError("that goes in a fork alone; `fork` makes one")
        return self._places.fork_of(place)

    def _number(self, word: str) -> int:
        if not is_number(word):
            raise CommandError(f"`{word[:40]}` is no number of a record")
        return record_said(word)

    def _record(self, fork: Fork, number: int) -> Served:
        """Return a record of the tree that a fork was made of, or one of the fork's own."""
        recorder = fork.recorder_of(number)
        one = None if recorder is None else latest_of(recorder, number)
        if one is None:
            first = fork.recorder_of(1)
            known = "" if first is None else f"; those from {first.ring[0][0]} on are"
            if number >= fork.base[0]:
                known = f"; its last one is {fork.node.record}"
            raise Forgotten(f"record {number} is not remembered in {fork.name}{known}")
        return one

    def _again(self, place: str, instead: Mapping[int, Any]) -> Turns[Data]:
        """Step a fork again from before the first of some records, with other inputs."""
        fork = self._fork(place)
        need_steps(fork)
        for number, given in instead.items():
            one = self._record(fork, number)
            if given is not None:
                refuse_inner(one)
        old, begin = fork.node, min(instead) - 1
        of_source = {n: given for n, given in instead.items() if n <= fork.record}
        if of_source:
            of_source = {**fork.instead, **of_source}
            begin = min(begin, *of_source)
        quota, copied_by = self._ration(fork, AGAIN_S), partial(scratch_of, module=fork.code)
        with fork.stepped():
            made = yield from quota.cut(rerun(fork, {**of_source, **instead}, copied_by))
        if made is None:
            raise CommandError(f"{fork.name} stays as it is: {TOO_MUCH.format(AGAIN_S)}")
        node, fork.base = made
        fork.node, fork.instead = node, of_source or fork.instead
        crashes = sum(report.event == "crashed" and report.record > begin
                      for report in node.reports())  # fmt: skip
        changes = yield from self._timeline.differing(old, node)
        changes += under_way_differing(old, node)
        return {"place": place, "number": node.record, "changes": changes, "crashes": crashes}

    def _since(self, node: Node, record: int) -> list[Data]:
        recorder = node.recorder()
        if recorder is None:
            return []
        teller = Teller(recorder)
        ones = (one for one in served_in(recorder, record + 1) if one.numbered)
        return [teller.record(one, self._timeline.instant) for one in islice(ones, MOST_TOLD)]


def refuse_another(live: Cell, there: WorkerCell, place: str) -> None:
    """Raise `CommandError` unless both are one worker: states of other code are no states of it."""
    codes = [lasting_name(callback_of(code_of(there))), NO_WORKER]
    if type(live) is WorkerCell:
        codes[1] = lasting_name(callback_of(code_of(live)))
    if codes[0] != codes[1]:
        name = live.spec.id
        raise CommandError(
            f"the live {name} is another one than that of {place}: {codes[1]}, not {codes[0]}"
        )


def need_steps(fork: Fork) -> None:
    """Raise `Forgotten` for a fork that cannot go on, as code that it needs is not here."""
    try:
        need_code(fork.node)
    except CommandError as error:
        raise Forgotten(str(error)) from None


def need_code(node: Node) -> None:
    """Raise `CommandError` where the code of a worker, or of one to come, is not here."""
    world = node._world  # noqa: SLF001 - its own room
    templates = (walk(child) for pool in world.pools.values() for child in pool.spec.children)
    for _, spec in chain(*templates):
        need_code_of(spec)
    for name in node.names("worker"):
        need_code_of(world.names[name].spec)


def need_code_of(spec: ChildSpec) -> None:
    """Raise `CommandError` where the code of one worker is not here to step it."""
    start = spec.start if isinstance(spec, WorkerSpec) else None
    if start is GONE_MACHINE or start is GoneServer:
        raise CommandError(f"{spec.id} cannot be stepped: {GONE}")


def under_way_differing(one: Node, other: Node) -> list[Data]:
    """Return what is under way for workers in one of two trees alone: runs, and timers.

    Each is a change of `runs` or `timers`, whose path is the key.
    """
    found: list[Data] = []
    for name in dict.fromkeys([*one.names("worker"), *other.names("worker")]):
        before, after = under_way_of(one, name), under_way_of(other, name)
        for of, was in before.items():
            told = changes_between(was, after[of])
            found += [{"worker": name, "of": of, **change_record(change)} for change in told]
    return found


def under_way_of(node: Node, worker: str) -> dict[str, dict[str, str]]:
    """Return the runs and the timers of a worker, by key: what they do, as a text."""
    cell = node._world.names.get(worker)  # noqa: SLF001 - of a fork that nobody else has
    extra = None if cell is None else cell.extra
    if extra is None:
        return {"runs": {}, "timers": {}}
    runs = {str(key): told_of(due.run.function) for key, due in extra.runs.items()}
    return {"runs": runs, "timers": dict.fromkeys(map(str, extra.timers), "under way")}


def told_of(function: Any) -> str:
    """Return the name of the function of a run; of a saved past it is that already."""
    return function if isinstance(function, str) else lasting_name(function)


def held_below(node: Node) -> Iterator[str]:
    """Yield the workers and supervisors of a fork that serve nothing until they are resumed."""
    for name, cell in node._world.names.items():  # noqa: SLF001 - of a fork that nobody else has
        if cell.extra is not None and cell.extra.suspended:
            yield name


def waiting_in(node: Node) -> int:
    """Return how many inputs wait in a fork, in its queue and behind workers that are held."""
    world = node._world  # noqa: SLF001 - of a fork that nobody else has
    extras = (cell.extra for cell in world.names.values())
    return len(world.queue) + sum(len(extra.backlog) for extra in extras if extra is not None)


def seconds_of(span: str) -> float:
    """Return a span of time in seconds.

    Raises:
        CommandError: it is none.

    >>> seconds_of("90s"), seconds_of("5m"), seconds_of("1.5")
    (90.0, 300.0, 1.5)
    """
    try:
        return float(span[:-1]) * UNITS[span[-1:]] if span[-1:] in UNITS else float(span)
    except ValueError:
        wrong = f"`{span[:40]}` is no span of time; expected one like 90s, 5m, 2h"
        raise CommandError(wrong) from None


def refuse_inner(one: Served) -> None:
    """Raise `CommandError` for a record that another one has brought: the fork brings its own."""
    if one.cause is None and one.how not in BROUGHT:
        return
    by = f"by record {one.cause}" if one.cause else "from within"
    raise CommandError(
        f"record {one.record} was brought {by}; name one that came from outside: "
        f"`why {one.record}` tells which it follows from"
    )


def is_fork(place: str) -> bool:
    """Return whether a place is that of a fork."""
    return bool(place) and not is_number(place)


def made_at(
    source: Node, record: int, code: str | None, module: Any, *, is_now: bool
) -> Turns[tuple[Node, Any]]:
    """Return a scratch tree of a node at a record, and the module that steps it; None for none.

    What is forked now is taken before anybody gets in.

    Args:
        source: the live tree, or a fork.
        record: behind which.
        code: a file of other code; None for that of `module`, or their own.
        module: what steps the source.
        is_now: nothing is served there since.

    Raises:
        CommandError: the code cannot be loaded, or the tree be copied.
        Forgotten: the record is not remembered.
    """
    if code is not None:
        module = other_code(code, source._world)  # noqa: SLF001 - its own room
    tree = source if is_now else (yield from source.turns_to(record))
    return (yield from scratch_of(tree, record, module)), module


def scratch_of(tree: Node, record: int, module: Any = None) -> Turns[Node]:
    """Return a fork that remembers, behind a record, and that is cut where it runs away.

    Raises:
        CommandError: it cannot be copied, or stepped by the code of `module`.
    """
    node = yield from copied(tree)
    node.remember(FORK_RECORDS, record)
    if module is not None:
        Replaced(node._world, module)  # noqa: SLF001 - of a fork that nobody else has
    return node


def copied(tree: Node) -> Turns[Node]:
    """Return a fork whose states are its own: a worker may change them in place.

    It is of the tree as that is now; its states are copied in turns. They are in one piece where a
    worker was seen to change its state in place, as it might do so meanwhile. States that cannot
    be copied, and those of very many workers, are shared, as pure steps allow.

    Raises:
        CommandError: they cannot be copied, and a worker was seen to change its state in place.
    """
    recorder = tree.recorder()
    if recorder is not None:
        recorder.impure.compare()
    impure = recorder is not None and bool(recorder.impure.found)
    try:
        if impure:
            return tree.fork(guard=True, copy="deep")
        shared = tree.fork(guard=True)
        if len(tree.names("worker")) > MOST_COPIED:
            return shared
        return (yield from with_own_states(shared))
    except BaseException as error:
        if not isinstance(error, Exception) and not is_raised_by_code(error):
            raise
        if impure:
            why = (
                f"a worker changes its state in place, which cannot be copied: {message_of(error)}"
            )
            raise CommandError(why) from error
        return shared


def typed_input(cell: Any, data: bytes) -> Any:
    """Return an input of a worker as a value; raises `DecodeError`."""
    behaviour = cell.behaviour
    wanted = cell.spec.options.codec
    codec = codec_for(
        behaviour.codec if wanted is None else wanted, behaviour.inputs, behaviour.outputs
    )
    return codec.decode(data)
