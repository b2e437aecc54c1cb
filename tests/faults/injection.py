"""An exception from outside at every line of the engine: how it is thrown in, and what must hold.

Theory of operation. A `Scenario` is a tree and some acts with it. A first run records which lines
of the engine's rooms the acts execute, and how often. Then the scenario runs once for each
`Point` that is chosen: each line once a run, the first time that it is reached, and in a thorough
run at a later time, too. What watches the lines strikes there, in one of the ways of `Method`. The
acts that are left are not carried out; instead `examine` looks whether the exception came out of
the act that ran, once, and whether the tree is whole.

A run that does not end is cut by the clock of processor time (SIGVTALRM): the guard owns SIGALRM.
"""

from __future__ import annotations

import gc
import linecache
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import CodeType, FrameType

import ssm_cli
from ssm_cli import SsmError
from ssm_cli.runtime.engine import ticker
from ssm_cli.runtime.engine.guard import ALARM
from tests.faults.stage import UNSEEN, Hung, Scenario, Stage, Struck
from tests.faults.watching import as_engine, unwatch, watch_all, watch_code
from tests.faults.whole import examine
from tests.thorough import THOROUGH

PACKAGE = Path(ssm_cli.__file__).parent
ROOMS = str(PACKAGE / "runtime") + "/"
OURS = (f"{PACKAGE}/", f"{Path(__file__).parent}/")  # not a finalizer of somebody's library
NO_ENGINE = {
    "api.py": "the shape of what can be asked of a tree",
    "calling/refs.py": "the shape of what can be asked of a worker",
    "recording/": "what is done to trees of the past, which nobody else has",
    "runs/child.py": "goes on in other processes, which `tests/runtime/test_runs.py` kills",
    "runs/processes.py": "begins those, by a fork of the process in which this test runs",
    "views.py": "shapes of what is shown",
}
"""What of the engine's rooms is left out, and why."""
RUN_CPU_S = 1.0  # of one run; it takes some milliseconds, and a machine under load some more
AGAIN_CPU_S = 0.004  # soon, as the engine may take the first ones for crashes of steps
LATER_TOO = THOROUGH  # strike at a later time of each line, too: twice as long
MOST_HUNG = 2  # runs of a scenario that do not end, before the sweep is given up

Line = tuple[CodeType, int, str]  # its file, too: code of the same lines elsewhere is equal


class Terminate(BaseException):
    """What a handler of SIGTERM may raise: no `Exception`, as `SystemExit`."""


class Failure(Exception):
    """What a handler of SIGTERM may raise, if it knows no better."""


KINDS: tuple[type[BaseException], ...] = (KeyboardInterrupt, Terminate, Failure)


class Method(Enum):
    """How the exception gets there: raised by what watches the lines itself, or by a signal."""

    RAISED = "raised"
    SIGNAL = "signal"


@dataclass(frozen=True)
class Point:
    """Where to strike: the `time`-th time (from 1) that an act (from 1) reaches a line."""

    code: CodeType
    line: int
    act: int
    time: int
    ends: bool = False  # whether that act begins or ends with a tree that is down

    @property
    def place(self) -> str:
        """The file, below the rooms of the engine, and the function."""
        return f"{self.code.co_filename.removeprefix(ROOMS)}:{self.code.co_name}"

    def __str__(self) -> str:
        return f"{self.place}, line {self.line}, act {self.act}, time {self.time}"


_engine: dict[str, bool] = {}


def is_engine(code: CodeType) -> bool:
    """Whether code belongs to the engine's rooms."""
    name = code.co_filename
    if name not in _engine:
        below = name.removeprefix(ROOMS)
        _engine[name] = below != name and not below.startswith((*NO_ENGINE,))
    return _engine[name]


def is_function(code: CodeType) -> bool:
    """Whether code is that of a function: the bodies of modules and classes run by import."""
    return bool(code.co_flags & CO_OPTIMIZED)


def is_bare_try(frame: FrameType) -> bool:
    """Whether the line is a `try:`. Nothing but a trace function can raise there.

    Of a `try:` within another one, Python 3.11 leaves an instruction that does nothing, and that
    no handler covers.
    """
    text = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    return text.lstrip().startswith("try:")


def is_counted(code: CodeType) -> bool:
    """Whether lines of this code are counted."""
    return is_engine(code) and is_function(code)


class Reached:
    """A line that acts reach; the hash of its code, which takes long, is left for the end.

    Attributes:
        first, last: the acts that reach it; `times`: how often the last one does.
        is_bare: whether it is a `try:`, which cannot be struck.
    """

    __slots__ = ("code", "first", "is_bare", "last", "number", "times")

    def __init__(self, code: CodeType, number: int, act: int, *, is_bare: bool) -> None:
        self.code, self.number, self.is_bare = code, number, is_bare
        self.first, self.last, self.times = act, act, 0


class Recorder:
    """Counts the lines of the engine that acts reach.

    Attributes:
        times: of each line, the first act and the last that reach it, and how often that one does.
        costs: about what it costs to come to the end of each act: lines.
        down: the acts that begin or end with a tree that is down.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage: Stage | None = stage
        self.down = stage.down
        self.times: dict[Line, tuple[int, int, int]] = {}
        self.costs: dict[int, int] = {}
        self._lines = 0
        self._reached: dict[tuple[int, int], Reached] = {}

    def watch(self) -> None:
        """Begin to count."""
        watch_all(is_counted, self._count)

    def _count(self, frame: FrameType) -> None:
        code, number = frame.f_code, frame.f_lineno
        if self._stage is None:
            return
        act = self._stage.number
        reached = self._reached.get((id(code), number))
        if reached is None:
            reached = Reached(code, number, act, is_bare=is_bare_try(frame))
            self._reached[id(code), number] = reached
        if not reached.is_bare:
            if reached.last != act:
                reached.last, reached.times = act, 0
            reached.times += 1
            self._lines += 1
            self.costs[act] = self._lines

    def end(self) -> None:
        """Let go of what was recorded, a node and all in it; code that is equal counts as one."""
        self._stage = None
        for one in self._reached.values():
            if one.is_bare:
                continue
            line = one.code, one.number, one.code.co_filename
            first, last, times = self.times.get(line, (one.first, one.last, 0))
            if one.last > last:
                times = 0
            times += one.times if one.last >= last else 0
            self.times[line] = min(first, one.first), max(last, one.last), times
        self._reached.clear()

    def points(self, line: Line) -> list[Point]:
        """The first and the last time that a line is reached."""
        first, last, times = self.times[line]
        return [
            Point(*line[:2], act, time, act in self.down)
            for act, time in sorted({(first, 1), (last, times)})
        ]


class Striker:
    """Strikes at one point, once. It costs little before, nothing after."""

    def __init__(self, point: Point, strike: Callable[[FrameType], None], stage: Stage) -> None:
        self._point, self._strike, self._stage = point, strike, stage
        self._left = point.time

    def watch(self) -> None:
        """Begin to look for the point."""
        watch_code(self._point.code, partial(as_engine(Striker._look), self))

    def _look(self, frame: FrameType) -> None:
        if frame.f_lineno == self._point.line:
            self._left -= 1
            if self._left == 0:
                self._stage.fired = True
                unwatch()
                self._strike(frame)


def send(number: int, frame: FrameType) -> None:
    """Send a real signal, whose handler runs at this very line.

    Python hands a handler the frame that was interrupted; called from here by a signal it would
    get that of what watches. So the handler that is installed is called, as Python would; a
    signal that is masked or has none is really raised, and comes when the mask is taken away.
    """
    handler = signal.getsignal(number)
    if callable(handler) and number not in signal.pthread_sigmask(signal.SIG_BLOCK, ()):
        handler(number, frame)
    else:
        signal.raise_signal(number)


def striking(method: Method, kind: type[BaseException]) -> Callable[[FrameType], None]:
    """What happens at the point."""
    number = signal.SIGINT if kind is KeyboardInterrupt else signal.SIGTERM

    def strike(frame: FrameType) -> None:
        if method is Method.SIGNAL:
            send(number, frame)
        else:
            (_ for _ in ()).throw(kind("from outside"))  # as Ctrl-C comes: by no `raise`

    return as_engine(strike)  # type: ignore[no-any-return]  # what it was given


@contextmanager
def handlers(kind: type[BaseException]) -> Iterator[None]:
    """SIGINT and SIGTERM raise as a user's handlers do; SIGVTALRM ends a run that does not end."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt("from outside")

    def terminate(_number: int, _frame: object) -> None:
        raise kind("from outside")

    def hung(_number: int, frame: FrameType | None) -> None:
        if frame is not None and frame.f_code.co_filename.startswith(OURS):
            raise Hung("the run does not end")

    wanted = {signal.SIGINT: interrupt, signal.SIGTERM: terminate, signal.SIGVTALRM: hung}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def play(scenario: Scenario, stage: Stage) -> list[str]:
    """Carry out a scenario up to the point, and look at what is left; what is wrong.

    Where a trace function raises as an exception is being let go, Python goes on to take that one
    for handled at the moment, and keeps it. It does so for one generator here, and not for all that
    comes after.
    """
    return next(_played(scenario, stage) for _ in range(1))


def _played(scenario: Scenario, stage: Stage) -> list[str]:
    complaints: list[str] = []
    parts = ticker.parts
    if "clock" not in scenario.options:  # a tick on a slow machine executes lines that are no plan
        ticker.parts = never
    signal.setitimer(signal.ITIMER_VIRTUAL, RUN_CPU_S, AGAIN_CPU_S)
    try:
        try:
            scenario.acts(stage)
        except Struck:
            complaints += examine(stage) if stage.fired else []
    except Hung:
        complaints.append("hung")
    except Exception as error:  # noqa: BLE001 - whatever an engine that is torn raises
        complaints.append(f"{stage.doing}, then {type(error).__name__}: {error}")
    except BaseException as error:  # noqa: BLE001 - a late exception, out of another act
        complaints.append(f"{type(error).__name__} came late, out of what followed")
    finally:
        unwatch()
        gc.enable()  # for what follows, if it was left out
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        ticker.parts = parts
        stage.leave()
        for _ in range(2):  # behind the ticks that did not come: the second one finds no work
            if ALARM.is_set() and "clock" not in scenario.options:
                signal.raise_signal(ALARM.number)
    return complaints


def never(seconds: float) -> tuple[int, int]:
    """The time of a ticker as far away as is as good as never: an hour, where it is to tick."""
    return 3600 if seconds else 0, 0


def take(scenario: Scenario, recorder: Recorder) -> None:
    """Know what a scenario executes."""
    recorder.end()
    _recorded[scenario.name] = recorder


_recorded: dict[str, Recorder] = {}


def record(scenario: Scenario) -> Recorder:
    """The lines that a scenario executes; the first run warms up what is made once."""
    if scenario.name not in _recorded:
        with handlers(Terminate):
            for act in (UNSEEN, 0):
                stage = Stage(scenario, act)
                recorder = Recorder(stage)
                stage.watch = recorder.watch
                complaints = play(scenario, stage)
                if complaints:
                    raise SsmError(f"{scenario.name} does not play: {complaints}")
        take(scenario, recorder)
    return _recorded[scenario.name]


@dataclass
class Sweep:
    """What a sweep over a scenario found: how many points, how many of them missed, what failed."""

    points: int = 0
    missed: int = 0
    failed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join(
            [f"{len(self.failed)} of {self.points} points, for example", *self.failed[:12]]
        )


def plan(scenarios: Sequence[Scenario], method: Method) -> dict[str, list[Point]]:
    """Which points each scenario strikes by a method: neighbouring lines are of different ones.

    Of each line that is the first time that the scenario reaches it which takes the least to come
    there, by one method, and in a thorough run by the other one of the other times, of whatever
    scenario. On the machine's clock, after a first exception and where a scenario is torn, it is
    struck once, and only where no other scenario comes to it.
    """
    everywhere: dict[Line, list[tuple[bool, int, str]]] = defaultdict(list)
    chosen: dict[str, list[Point]] = {scenario.name: [] for scenario in scenarios}
    for number, scenario in enumerate(scenarios):
        recorded = record(scenario)
        last = bool("clock" in scenario.options or scenario.first or scenario.torn)
        for line, (act, _, _) in recorded.times.items():
            cost = number if last else recorded.costs[act]
            everywhere[line].append((last, cost, scenario.name))
    for number, (line, places) in enumerate(everywhere.items()):
        cheapest = min(places)[-1]
        if (number % 2 == 0) == (method is Method.RAISED):
            chosen[cheapest].append(_recorded[cheapest].points(line)[0])
        elif LATER_TOO:
            others = [
                (name, point)
                for last, _, name in places
                if not last
                for point in _recorded[name].points(line)[name == cheapest :]
            ]
            if others:
                name, point = others[number % len(others)]
                chosen[name].append(point)
    return chosen


def sweep(scenario: Scenario, method: Method, points: Sequence[Point]) -> Sweep:
    """Strike at some points of a scenario, by turns with each kind of exception."""
    found = Sweep(len(points))
    with collected_later():
        strike_at(scenario, method, points, found)
    return found


@contextmanager
def collected_later() -> Iterator[None]:
    """Have cycles collected behind all runs: what is finalized in between is no plan."""
    before = gc.get_threshold()
    gc.set_threshold(0)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.collect(1)  # what is new


def strike_at(scenario: Scenario, method: Method, points: Sequence[Point], found: Sweep) -> None:
    """Strike at points, and note what is found."""
    hung = 0
    for index, point in enumerate(points):
        kinds = scenario.kinds or KINDS
        kind = kinds[index % len(kinds)]
        with handlers(kind):
            stage = Stage(scenario, point.act, may_end=point.ends)
            stage.watch = Striker(point, striking(method, kind), stage).watch
            complaints = play(scenario, stage)
        found.missed += not stage.fired
        if complaints:
            found.failed.append(f"{point}: {kind.__name__} in {stage.doing}: {complaints[0]}")
        hung += "hung" in complaints
        if hung >= MOST_HUNG:
            found.failed.append("given up: too many runs do not end")
            break


def executed(scenarios: Sequence[Scenario]) -> dict[str, set[int]]:
    """The lines of the engine that the scenarios execute, by file."""
    found: dict[str, set[int]] = defaultdict(set)
    for scenario in scenarios:
        for _, line, file in record(scenario).times:
            found[file].add(line)
    return found


def functions(code: CodeType) -> Iterator[CodeType]:
    """The code of each function in a module's code, at any depth."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from functions(constant)


def engine_lines() -> dict[str, set[int]]:
    """The lines of the functions of the engine, by file; not those that are executed by import."""
    found: dict[str, set[int]] = {}
    for path in sorted(Path(ROOMS).rglob("*.py")):
        if str(path).removeprefix(ROOMS).startswith((*NO_ENGINE,)):
            continue
        module = compile(path.read_text(encoding="utf-8"), str(path), "exec")
        bodies = filter(is_function, functions(module))
        found[str(path)] = {
            line
            for code in bodies
            for _, _, line in code.co_lines()
            if line is not None and line > code.co_firstlineno
            if not linecache.getline(str(path), line).strip().startswith(("try:", "..."))
        }
    return found
