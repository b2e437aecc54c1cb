"""What can be asked of a tree's possible futures, as effects of verbs, and of a tree in a file."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ssm_cli.errors import CommandError, Forgotten, is_number, whole_number
from ssm_cli.history.past import FORK, with_past
from ssm_cli.history.places import record_said
from ssm_cli.history.scratch import need_code, seconds_of
from ssm_cli.runtime.engine.recorder import Recorder
from ssm_cli.runtime.node import Node
from ssm_cli.simulation.beside import Tell, WorkBeside, untold
from ssm_cli.simulation.chaos import (
    GAP_S,
    MOST_FOR_S,
    MOST_SEED,
    MOST_STEPS,
    STEPS,
    ChaosPlan,
    ChaosRun,
    chaos,
)
from ssm_cli.simulation.faults import FaultKind, weights_of, weights_text
from ssm_cli.simulation.fuzz import MOST_STEPS as MOST_INPUTS
from ssm_cli.simulation.fuzz import STEPS as INPUTS
from ssm_cli.simulation.fuzz import Fuzzing, fuzz
from ssm_cli.simulation.load import Load
from ssm_cli.simulation.pace import Pace
from ssm_cli.simulation.paged import page_of
from ssm_cli.simulation.policy import FAULTS, check_policy, faults_of
from ssm_cli.simulation.simulated import Simulated
from ssm_cli.simulation.stand_ins import Stand, world_of
from ssm_cli.simulation.starting import check_skipped, close, simulated, simulated_tree
from ssm_cli.simulation.told import Data
from ssm_cli.spec.model import SupervisorSpec

LIVE_S = 10.0  # that a fork of a tree which runs is tried for; shrinking may take as long again
FILE_S = 120.0  # that a tree of a file is simulated for
MOST_SKIPPED = 1_000
SEED = 1  # where none is given
Instant = Callable[[float], str]
Clock = Callable[[], float]


class Futures:
    """What can be asked of the possible futures of one node, which is never touched.

    Attributes:
        effects: by name; each takes the place where one stands as `at`, as a person writes it.
            `beside` does one of the others, by its name, in a process of its own, while the tree
            goes on, and `soon` one that only reads where the answer takes long; `futures` tells
            which are under way there.
    """

    def __init__(self, node: Node, instant: Instant, clock: Clock = time.perf_counter) -> None:
        self._node, self._instant, self._clock = node, instant, clock
        self._asked: dict[str, Callable[..., Data]] = {
            "chaos": self._chaos,
            "check_policy": self._check_policy,
            "fuzz": self._fuzz,
        }
        self._beside = WorkBeside()
        self.effects: dict[str, Callable[..., Any]] = {
            **self._asked,
            "beside": self._do_beside,
            "soon": self._do_soon,
            "futures": self._futures,
        }

    async def _do_beside(
        self,
        effect: str,
        note: Callable[[str], None] | None = None,
        work: Callable[[], Any] | None = None,
        **given: str | None,
    ) -> Any:
        """Do an effect in a process beside the tree, which goes on; see `WorkBeside.do`.

        `work` is done in the place of an effect of that name.
        """
        if work is not None:
            return await self._beside.do(effect, lambda _: work(), note)
        asked = self._asked.get(effect)
        if asked is None:  # one of the past, which tells nobody how far it is
            past = partial(self._node.effects[effect], **given)
            found: Data = await self._beside.do(effect, lambda _: past(), note)
        else:
            future = partial(asked, **given)
            found = await self._beside.do(effect, lambda tell: future(tell=tell), note)
        return found

    async def _do_soon(self, effect: str, **given: Any) -> Data:
        """Do an effect that only reads: at once, or beside the tree where that takes too long."""
        found: Data | None = self._node.effects["at_once"](effect, **given)
        if found is None:
            found = await self._do_beside(effect, **given)
        return found

    def _futures(self, at: str = "") -> Data:
        """Return what is under way beside the tree, whatever the place."""
        del at
        return self._beside.told()

    def _chaos(self, at: str = "", tell: Tell = untold, **given: str | None) -> Data:
        node, place = self._standing(at)
        wanted = Wanted(given, node)
        start = simulated(node, wanted.skip)
        load = Load(world_of(start.node), *self._known(at))
        try:
            told = wanted.tell(start, load, Pace(LIVE_S, self._clock, tell), self._instant)
        finally:
            close(world_of(start.node).guard)
        return told | {"replay": f"chaos {wanted.text()}{place}"}

    def _check_policy(self, at: str = "", faults: str | None = None, tell: Tell = untold) -> Data:
        node, place = self._standing(at, steps=False)
        wanted = faults_of(FAULTS if faults is None else faults)
        told = check_policy(Stand.of_live(node), wanted, Pace(LIVE_S, self._clock, tell))
        return told | {"replay": f"check-policy --faults {wanted}{place}"}

    def _fuzz(
        self, at: str = "", begin: str | None = None, tell: Tell = untold, **given: str | None
    ) -> Data:
        begin = None if begin == "now" else begin
        if begin is not None and not FORK.fullmatch(at):
            at, begin = str(begin), None
        node, where = self._standing(at, record=begin)
        asked = fuzzing_of(given)
        told = fuzz(node, asked, Pace(LIVE_S, self._clock, tell), self._known(at, begin))
        rule = f" --invariant {shlex.quote(asked.invariant)}" if asked.invariant else ""
        again = f"fuzz {asked.worker} --seed {asked.seed} --steps {asked.steps}{rule}{where}"
        return told | {"replay": again}

    def _standing(
        self, at: str, *, steps: bool = True, record: str | None = None
    ) -> tuple[Node, str]:
        """Return the tree at a place, and how to stand there again.

        `steps`: its code is run. `record`: where that is a fork, as it was there.
        """
        node: Node = self._node.perform("standing", at, reading=True, record=record)
        if not node.running:
            raise Forgotten(f"{node.name} does not run there; name another record by `--at`")
        if steps:
            need_code(node)
        own = self._node.recorder()
        if at in ("", "now"):
            at = str(own.last()) if own is not None and own.last() else ""
        again = f" --from {record}" if record else ""
        return node, f"{again} --at {at}" if at else ""

    def _known(self, at: str, record: str | None = None) -> tuple[Recorder | None, int | None]:
        """Return what remembers the inputs up to a place, and the record that it is."""
        own, where = self._node.recorder(), record or at
        number = record_said(where) if is_number(where) else None
        if FORK.fullmatch(at):
            fork: Node = self._node.perform("standing", at, reading=True)
            if number is None or number >= fork.first_record():
                own = fork.recorder()
        return own, number


class Wanted:
    """What is wanted of a `chaos`: the words of its options, checked.

    Raises:
        CommandError: an option takes something else.
    """

    def __init__(self, given: dict[str, str | None], node: Node) -> None:
        known = {kind.value: given.pop(kind.value, None) for kind in FaultKind}
        self.skip = skipped(given.get("skip"))
        check_skipped(node, self.skip)
        self._workers = [name for name in node.names("worker") if name not in self.skip]
        steps = number_given("--steps", given.get("steps"), STEPS, 1, MOST_STEPS)
        seed = number_given("--seed", given.get("seed"), SEED, 0, MOST_SEED)
        for_s = span_of(given.get("span"), steps)
        self._plan = ChaosPlan(seed, steps, for_s, tuple(weights_of(known, self._workers)))
        self._page = given.get("page") == "yes"

    def text(self) -> str:
        """Return the options that ask for the same again."""
        plan = self._plan
        words = [f"--seed {plan.seed} --steps {plan.steps} --for {plan.for_s:.10g}s"]
        words += [weights_text(plan.weights)]
        words += [f"--skip {','.join(self.skip)}" if self.skip else ""]
        return " ".join(filter(None, words))

    def tell(self, start: Simulated, load: Load, pace: Pace, instant: Instant) -> Data:
        """Carry it out on a tree, with inputs from a load."""
        run = ChaosRun(start.fork(checks=True), self._plan, load, self._workers)
        told, fewest = chaos(start, run, pace)
        if self._page:
            told["page"] = page_of(start, fewest or run.given, instant)
        return told


def chaos_in(
    spec: SupervisorSpec, name: str, given: dict[str, str | None], instant: Instant,
    clock: Clock = time.perf_counter, *, tell: Tell = untold,
) -> Data:  # fmt: skip
    """Carry out `chaos` on a tree that is started for it, without a store; as `Futures`.

    Raises:
        StartFailed: it does not start.
    """
    skip = skipped(given.get("skip"))
    with simulated_tree(spec, name, skip) as start:
        wanted = Wanted(given, start.node)
        load = Load(world_of(start.node), None)
        told = wanted.tell(start, load, Pace(FILE_S, clock, tell), instant)
    return told | {"replay": wanted.text()}


def check_policy_in(
    spec: SupervisorSpec, name: str, faults: str | int | None,
    clock: Clock = time.perf_counter, *, tell: Tell = untold,
) -> Data:  # fmt: skip
    """Carry out `check-policy` on a tree without running any code of it."""
    wanted = faults_of(FAULTS if faults is None else faults)
    told = check_policy(Stand.of_spec(spec), wanted, Pace(FILE_S, clock, tell))
    return told | {"tree": name, "replay": f"--faults {wanted}"}


def fuzzing_of(given: dict[str, str | None]) -> Fuzzing:
    """Return what is asked of a `fuzz`."""
    seed = number_given("--seed", given.get("seed"), SEED, 0, MOST_SEED)
    steps = number_given("--steps", given.get("steps"), INPUTS, 1, MOST_INPUTS)
    beside, rule = given.get("beside"), given.get("invariant")
    return Fuzzing(str(given.get("worker")), seed, steps, rule or "", beside)


def number_given(option: str, word: str | None, otherwise: int, least: int, most: int) -> int:
    """Return the number that an option says.

    Raises:
        CommandError: it is none, or too small or too large.

    >>> number_given("--steps", "50", 1000, 1, 100)
    50
    """
    if word is None:
        return otherwise
    text = str(word)
    number = whole_number(text, least, most) if text.isascii() else None
    if number is not None:
        return number
    expected = f"a whole number from {least} to {most:,}"
    raise CommandError(f"{option} takes {expected}, not `{text[:40]}`")


def span_of(word: str | None, steps: int) -> float:
    """Return how long a run is, in seconds.

    Raises:
        CommandError: it is no span of time, or too long.
    """
    if word is None:
        return steps * GAP_S
    seconds = seconds_of(word)
    if not 0 < seconds <= MOST_FOR_S:
        raise CommandError(f"--for takes more than 0 s and at most 10 years, not `{word[:40]}`")
    return seconds


def skipped(word: str | None) -> list[str]:
    """Return the workers that are to be left out.

    Raises:
        CommandError: they are too many.
    """
    names = [name.strip() for name in (word or "").split(",") if name.strip()]
    if len(names) > MOST_SKIPPED:
        raise CommandError(f"--skip takes at most {MOST_SKIPPED:,} names")
    return list(dict.fromkeys(names))


def with_futures(node: Node, instant: Instant) -> Node:
    """Return the node, of whose past and futures can be asked by `perform`; once is enough."""
    if "chaos" not in node.effects:
        node.effects |= Futures(with_past(node, instant), instant).effects
    return node
