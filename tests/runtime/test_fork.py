"""Forks: equal to what they were taken from, and without any effect on it."""

from __future__ import annotations

import ast
import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

import pytest

from ssm_cli import (
    AddHandler,
    Answer,
    CalledFromStep,
    CalleeStopped,
    CancelRun,
    Cast,
    Continue,
    Defer,
    DeleteHandler,
    Demonitor,
    Done,
    Down,
    Effect,
    Exit,
    GenServer,
    Join,
    Leave,
    Link,
    ManualClock,
    Monitor,
    Node,
    NoReply,
    Ok,
    Publish,
    Reply,
    Report,
    Run,
    SsmError,
    StartFailed,
    StartTimer,
    StateMachine,
    Stop,
    Supervisor,
    SwapHandler,
    TimeoutAfter,
    Unlink,
    Worker,
)
from ssm_cli.runtime.engine.digest import sum_of
from ssm_cli.runtime.engine.runs import end_run
from ssm_cli.spec.model import Backoff, ChildSpec, Strategy, SupervisorSpec
from tests.runtime.behaviours import Bus, Walker
from tests.runtime.outside_work import aforever
from tests.runtime.workers import add, fail, get, running, worker
from tests.thorough import tries

# -- the worker of random histories --------------------------------------------------------------


def step(message: tuple[Any, ...], state: dict[str, int]) -> Any:
    """Do what the message says, purely; a number in the state decides how `init`s go."""
    count = {**state, "n": state["n"] + 1}
    match message:
        case ("crash",):
            raise ValueError("as asked")
        case (_,) | Down():
            return count, count["n"]
    return count, message[0], [ASKS[message[0]](*message[1:], count["n"])]


class Literals:
    """A codec of Python's literals: what messages and outputs consist of."""

    def decode(self, data: bytes) -> Any:
        return ast.literal_eval(data.decode())

    def encode(self, value: object) -> bytes:
        return repr(value).encode()


BEGUN_MS = ManualClock().wall_s() * 1000
ASKS: dict[str, Callable[..., Effect]] = {
    "exit": lambda reason, _: Exit(reason),
    "timer": lambda key, after_ms, then, _: StartTimer(key, after_ms, then),
    "at": lambda key, at_ms, then, _: StartTimer(key, at_ms, then, absolute=True),
    "cast": lambda to, then, _: Cast(to, then),
    "link": lambda to, _: Link(to),
    "unlink": lambda to, _: Unlink(to),
    "run": lambda key, timeout_ms, _: Run(key, aforever, timeout_ms=timeout_ms),
    "cancel": lambda key, _: CancelRun(key),
    "join": lambda group, value, _: Join(group, value),
    "leave": lambda group, _: Leave(group),
    "publish": lambda group, then, _: Publish(group, then),
    "monitor": lambda worker, _: Monitor(worker),
    "demonitor": lambda worker, _: Demonitor(worker),
    "defer": lambda key, _: Defer(key),
    "answer": Answer,
}


def init(name: str, args: Mapping[str, Any]) -> Any:
    """Fail as often as the world that both nodes see says: it is an argument, and never changed."""
    if name in args["broken"]:
        raise OSError(f"{name} is broken")
    return Ok({"n": 0}, effects=args["asks"])


class Keeper(GenServer):
    """Counts, keeps callers, goes on with itself, and times out."""

    codec = Literals()

    def init(self, name: str, args: Mapping[str, Any]) -> Any:
        return Ok((0, ()), then=Continue("begin"))

    def handle_call(self, message: Any, caller: Any, state: Any) -> Any:
        count, callers = state
        match message:
            case ("crash",):
                raise ValueError("as asked")
            case ("defer", _):
                return NoReply((count + 1, (*callers, caller)), then=TimeoutAfter(300, ("late",)))
            case ("at", _, at_ms, _):
                waits = TimeoutAfter(at_ms, ("late",), absolute=True)
                return Reply(count, (count + 1, callers), then=waits)
            case ("answer", _):
                effects = [Answer(one, count) for one in callers]
                return Reply(count, (count + 1, ()), effects=effects)
            case _:
                return Reply(count, (count + 1, callers))

    def handle_cast(self, message: Any, state: Any) -> Any:
        count, callers = state
        asked = isinstance(message, tuple) and message[0] == "exit"
        return Stop("asked", state) if asked else NoReply((count + 1, callers))

    def handle_info(self, message: Any, state: Any) -> Any:
        return NoReply((state[0] + 100, state[1]))

    def handle_continue(self, message: Any, state: Any) -> Any:
        return NoReply((state[0] + 1000, state[1]))


MACHINE = StateMachine(step=step, init=init, codec=Literals())
MESSAGES: tuple[Callable[[Random, list[str]], Any], ...] = (
    lambda _, __: ("count",),
    lambda _, __: ("crash",),
    lambda r, _: ("exit", r.choice(["normal", "shutdown", "odd"])),
    lambda r, _: ("timer", r.choice("kl"), r.choice([0, 100, 700]), ("count",)),
    lambda r, _: ("timer", "k", r.choice([0, 200]), ("crash",)),
    lambda r, _: ("at", r.choice("kl"), BEGUN_MS + r.choice([-1, 0, 700, 3000]), ("count",)),
    lambda r, names: ("cast", r.choice(names), r.choice([("count",), ("crash",)])),
    lambda r, names: ("link", r.choice(names)),
    lambda r, names: ("unlink", r.choice(names)),
    lambda r, names: ("monitor", r.choice(names)),
    lambda r, names: ("monitor", r.choice(names)),
    lambda r, names: ("demonitor", r.choice(names)),
    lambda r, _: ("run", r.choice("rs"), r.choice([0, 200, 700, 5000])),
    lambda r, _: ("run", r.choice("rs"), r.choice([700, 5000])),
    lambda r, _: ("cancel", r.choice("rs")),
    lambda r, _: ("join", r.choice("gh"), r.choice([None, 1])),
    lambda r, _: ("leave", r.choice("gh")),
    lambda r, _: ("publish", r.choice("gh"), r.choice([("count",), ("leave", "g"), ("crash",)])),
    lambda r, _: ("defer", r.choice("xy")),
    lambda r, _: ("answer", r.choice("xy")),
)

REQUESTS: tuple[Callable[[Random, list[str]], Any], ...] = (
    lambda r, names: AddHandler("odd", r.choice(["", "refuse"]), r.choice(["", *names])),
    lambda r, names: SwapHandler("odd", "why", ("odd", 2), "", r.choice(["", *names])),
    lambda _, __: DeleteHandler("odd"),
)
CODES: list[Any] = [Keeper]
"""The classes of callbacks in random trees."""


@contextlib.contextmanager
def all_behaviours() -> Iterator[None]:
    """Random trees have state machines and event managers as well, and are asked their requests."""
    global MESSAGES
    before, MESSAGES = MESSAGES, (*MESSAGES, *REQUESTS)
    CODES.extend([Walker, Bus])
    try:
        yield
    finally:
        MESSAGES, CODES[:] = before, [Keeper]


def a_child(r: Random, name: str) -> ChildSpec:
    if r.random() < 0.2 * len(CODES):
        code: Any = r.choice(CODES) if len(CODES) > 1 else CODES[0]
        return Worker(name, code, restart=r.choice(["permanent", "transient", "temporary"]))
    asks: list[Effect] = []
    if r.random() < 0.3:
        asks.append(StartTimer("begin", r.choice([0, 50]), ("count",)))
    if r.random() < 0.5:
        asks.append(Join("g", name))
    return Worker(
        name,
        MACHINE,
        args={"broken": BROKEN, "asks": asks},
        restart=r.choice(["permanent", "permanent", "transient", "temporary"]),
        backoff=Backoff(100, 2, 1000, 0.2) if r.random() < 0.3 else None,
        shutdown=r.choice([5000, "brutal_kill"]),
    )


BROKEN: set[str] = set()  # the names that do not start; the same for a node and its fork


def partitioned(r: Random) -> SupervisorSpec:
    """A worker in three parts, each of which has a third of the keys."""
    strategy = r.choice([Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL])
    return Supervisor("parts", strategy, [a_child(r, "part")], partitions=3, intensity=4)


def a_tree(r: Random, name: str, depth: int) -> SupervisorSpec:
    children: list[ChildSpec] = []
    for number in range(r.randint(1, 3)):
        id_ = f"{name}{number}"
        nested = depth and r.random() < 0.4
        children.append(a_tree(r, id_, depth - 1) if nested else a_child(r, id_))
    if depth == 2 and r.random() < 0.5:
        pool = Supervisor("pool", "simple_one_for_one", [a_child(r, "template")], intensity=3)
        children.append(pool)
    if depth == 2 and r.random() < 0.3:
        children.append(partitioned(r))
    return Supervisor(
        name,
        r.choice(["one_for_one", "one_for_all", "rest_for_one"]),
        children,
        intensity=r.randint(0, 4),
        period=r.choice([1.0, 5.0]),
        restart=r.choice(["permanent", "transient"]),
    )


def an_act(
    r: Random, node: Node, sent: Callable[[Any], Any] = lambda message: message
) -> Callable[[Node], object]:
    """Something to do to a node, which is the same whichever node it is done to.

    `sent`: an input as it comes to the node.
    """
    names = [*node.names("worker"), "nobody", "parts:x", "parts:y"]
    sups = node.names("supervisor")
    name, sup, child = r.choice(names), r.choice(sups), r.choice([*names, "new"])
    message, seconds = r.choice(MESSAGES)(r, names), r.choice([0.0, 0.1, 0.4, 1.5])
    spec = a_child(r, "new")
    acts: tuple[Callable[[Node], object], ...] = (
        lambda n: n.call(name, sent(message), timeout_s=0.2),
        lambda n: n.cast(name, sent(message)),
        lambda n: n.cast(name, sent(message)),
        lambda n: n.send_request(name, sent(message)),
        lambda n: n.publish("g", message),
        lambda n: n.run(seconds),
        lambda n: n.run(seconds),
        lambda n: n.kill(r.choice([name, sup]) if False else name),
        lambda n: n.kill(sup),
        lambda n: n.suspend(name),
        lambda n: n.resume(name),
        lambda n: n.start_child("pool", child),
        lambda n: n.start_child(sup, spec),
        lambda n: n.terminate_child(sup, n.whereis(child) or child),
        lambda n: n.restart_child(sup, child),
        lambda n: n.trace(name),
        end_a_run,
        end_a_run,
    )
    return r.choice(acts)


def an_act_by_bytes(r: Random, node: Node) -> Callable[[Node], object]:
    """As `an_act`; inputs come as clients write them, and are decoded when they are served."""
    return an_act(r, node, as_bytes)


def as_bytes(message: Any) -> Any:
    """What a client writes; a request, which no text stands for, is left as it is."""
    return repr(message).encode() if type(message) is tuple else message


def end_a_run(node: Node) -> None:
    """Have the run that was asked for first end, if there is one; nobody does it by itself."""
    world = node._world
    under_way = [
        run for cell in world.names.values() if cell.extra for run in cell.extra.runs.values()
    ]
    for run in sorted(under_way, key=lambda run: run.number)[:1]:
        end_run(world, run, Done(run.run.key, run.number))


def seen(node: Node, after: int) -> list[tuple[Any, ...]]:
    """The reports since a number, with the time since then."""
    return [
        (r.seq, r.event, r.path, tuple(map(str, r.detail.items()))) for r in node.reports(after)
    ]


def do(node: Node, act: Callable[[Node], object]) -> str:
    """What an act came to."""
    try:
        return repr(act(node))[:200] if node.running else "down"
    except SsmError as error:
        return f"{type(error).__name__}: {error}"


def tell(outcome: str) -> str:
    """An outcome without the places of objects in memory."""
    return outcome.partition(" object at ")[0].partition("Pending(")[0]


@contextlib.contextmanager
def a_history(seed: int) -> Iterator[tuple[Random, Node] | None]:
    """A random tree with a random past, in whatever condition that has left it."""
    r = Random(seed)
    BROKEN.clear()
    node = Node(a_tree(r, "s", 2), clock=ManualClock(), seed=seed)
    node._world.outside.runner = None  # `end_a_run` stands for it
    try:
        node.start()
    except StartFailed:
        yield None
        return
    for _ in range(r.randint(0, 25)):
        if r.random() < 0.1:
            BROKEN.symmetric_difference_update({r.choice([*node.names("worker"), "new"])})
        do(node, an_act(r, node))
    yield r, node
    node.stop(drain=False)


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("hundred", range(tries(2, 5)))
def test_a_node_and_its_fork_make_the_same_of_the_same_inputs(hundred: int) -> None:
    with all_behaviours() if hundred % 2 else contextlib.nullcontext():
        for seed in range(hundred * 100, hundred * 100 + 100):
            with a_history(seed) as past:
                if past is None:
                    continue
                r, node = past
                fork = node.fork()
                after = node.last_seq
                assert fork.digest() == node.digest(), seed
                assert seen(fork, 0) == seen(node, 0), seed
                for _ in range(12):
                    act = an_act(r, node)
                    assert tell(do(node, act)) == tell(do(fork, act)), seed
                assert seen(node, after) == seen(fork, after), seed
                assert fork.digest() == node.digest(), seed
                fork.stop(drain=False)


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("hundred", range(tries(2, 5)))
def test_what_a_fork_does_leaves_the_node_undisturbed(hundred: int) -> None:
    with all_behaviours() if hundred % 2 else contextlib.nullcontext():
        for seed in range(1000 + hundred * 100, 1000 + hundred * 100 + 100):
            with a_history(seed) as past:
                if past is None:
                    continue
                r, node = past
                before, reports, now_s = node.digest(), seen(node, 0), node.now_s()
                tree = node.tree()
                fork = node.fork()
                for _ in range(12):
                    do(fork, an_act(r, fork))
                fork.run(10)
                fork.stop()
                assert (node.digest(), seen(node, 0), node.now_s()) == (before, reports, now_s), (
                    seed
                )
                assert node.tree() == tree, seed


# -- single claims -------------------------------------------------------------------------------


def test_a_fork_has_the_states_and_the_node_keeps_its_own() -> None:
    with running(worker("a"), worker("b")) as node:
        node.call("a", add(5))
        fork = node.fork()
        assert fork.call("a", add(1)) == 6
        assert node.call("a", get) == 5
        assert [report.seq for report in fork.reports()] == [r.seq for r in node.reports()]


def test_a_timer_is_due_in_a_fork_as_long_from_then_as_in_the_node_whatever_its_clock() -> None:
    with running(worker("a")) as node:
        node.run(7.0)
        node.call("a", lambda state: (state, None, [StartTimer("t", 500, add(1))]))
        for clock in (None, ManualClock(now_s=1000.0)):
            fork = node.fork(clock=clock)
            fork.run(0.4)
            assert fork.call("a", get) == 0
            fork.run(0.2)
            assert fork.call("a", get) == 1
        assert node.call("a", get) == 0


def test_a_restart_window_goes_on_in_a_fork() -> None:
    with running(worker("a"), intensity=1, period=5) as node:
        node.cast("a", fail)
        node.run(3.0)
        fork, later = node.fork(), node.fork()
        fork.cast("a", fail)
        fork.run()
        assert fork.gave_up
        later.run(3.0)
        later.cast("a", fail)
        later.run()
        assert later.running
        assert node.running


def test_a_caller_of_the_node_does_not_hear_what_a_fork_answers() -> None:
    heard: list[Any] = []
    with running(worker("a"), Worker("k", Keeper)) as node:
        node.send_request("a", lambda state: (state, None, [Defer("x")]), heard.append)
        node.send_request("k", ("defer", 1), heard.append)
        node.run()
        fork = node.fork()
        fork.call("a", lambda state: (state, None, [Answer("x", 7)]))
        fork.call("k", ("answer", 1))
        assert heard == []
        node.call("k", ("answer", 1))
        node.call("a", lambda state: (state, None, [Answer("x", 8)]))
        assert [pending.value for pending in heard] == [1001, 8]


def test_readers_and_installed_functions_stay_with_the_node() -> None:
    told: list[Report] = []
    events: list[Any] = []
    with running(worker("a")) as node:
        node.subscribe(told.append)
        node.install("a", lambda _, event, __: events.append(event))
        fork = node.fork()
        with contextlib.suppress(SsmError):
            fork.call("a", fail)
        assert told == []
        assert events == []


def test_a_fork_of_a_fork_and_a_fork_of_a_node_that_is_down() -> None:
    with running(worker("a")) as node:
        node.call("a", add(2))
        assert node.fork().fork().call("a", get) == 2
    down = node.fork()
    assert not down.running
    assert down.start().call("a", get) == 0
    with pytest.raises(CalleeStopped):
        node.call("a", get)


def test_states_that_are_changed_in_place_are_kept_apart_by_a_deep_copy() -> None:
    def append(state: list[int]) -> Any:
        state.append(1)
        return state, len(state)

    with running(worker("a", args={"init": lambda _: []})) as node:
        node.call("a", append)
        deep, shared = node.fork(copy="deep"), node.fork()
        assert deep.call("a", append) == 2
        assert node.call("a", append) == 2
        assert shared.call("a", append) == 3


def test_a_step_may_not_fork_its_own_node() -> None:
    with running(worker("a")) as node:
        caught: list[BaseException] = []

        def forks(state: int) -> Any:
            try:
                node.fork()
            except CalledFromStep as error:
                caught.append(error)
            return state, None

        node.call("a", forks)
        assert len(caught) == 1


# -- digests -------------------------------------------------------------------------------------


def test_a_digest_does_not_count_lives_steps_or_time() -> None:
    with running(worker("a"), intensity=5, period=2) as node:
        before = node.digest()
        node.cast("a", fail)
        node.run()
        crashed = node.digest()
        node.run(3.0)
        assert before == node.digest() != crashed


def test_the_state_space_of_a_small_tree_closes() -> None:
    children = [
        Supervisor("s", "one_for_all", [worker("a"), worker("b")], intensity=1, period=5),
        worker("c", restart="transient"),
    ]
    acts: dict[str, Callable[[Node], object]] = {
        **{f"crash {name}": (lambda n, name=name: n.cast(name, fail)) for name in "abc"},  # type: ignore[misc]  # bound now
        "6 s": lambda n: n.run(6.0),
    }
    with running(*children, intensity=1, period=5) as root:
        known = {root.digest(): root.fork()}
        todo = list(known.values())
        while todo:
            node = todo.pop()
            for act in acts.values():
                other = node.fork()
                with contextlib.suppress(SsmError):
                    act(other)
                    other.run()
                if other.digest() not in known:
                    known[other.digest()] = other
                    if other.running:
                        todo.append(other)
    assert 3 < len(known) < 100


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"x": 1, "y": 2}, {"y": 2, "x": 1}, True),
        ({1, 2, 3}, {3, 2, 1}, True),
        ([1, 2], (1, 2), False),
        (1, True, False),
        (1, 1.0, False),
        (add, get, False),
        (Worker("a", MACHINE), Worker("a", MACHINE), True),
        (Random(1), Random(1), True),
        (Random(1), Random(2), False),
    ],
)
def test_values_have_one_digest_by_content_and_type(one: object, other: object, same: bool) -> None:
    assert (sum_of(one) == sum_of(other)) is same


def test_a_value_that_contains_itself_has_a_digest() -> None:
    loop: list[Any] = []
    loop.append({"loop": loop, "set": {1, 2}})
    assert sum_of(loop) == sum_of(loop)


def test_what_many_refer_to_is_looked_at_once() -> None:
    one: list[Any] = [1]
    for _ in range(60):
        one = [one, one]
    assert sum_of(one) == sum_of(copy.deepcopy(one))
    assert sum_of([one[0], one[0]]) == sum_of([one[0], copy.deepcopy(one[0])])


def test_a_fork_and_its_original_draw_the_same_delays_whoever_draws_first() -> None:
    backoff = Backoff(initial_ms=100, factor=2, max_ms=10_000, jitter=0.5)

    def delays(of: Node, clock: ManualClock) -> list[object]:
        for _ in range(3):
            of.cast("w", fail)
            of.run()
            clock.advance_s(20)
            of.run()
        return [r.detail["delay_ms"] for r in of.reports() if "delay_ms" in r.detail]

    with running(worker("w", backoff=backoff)) as node:
        clocks = [ManualClock(), ManualClock()]
        first, second = (node.fork(clock=clock) for clock in clocks)
        drawn = delays(first, clocks[0])
        assert len(set(map(str, drawn))) == 3
        assert drawn == delays(second, clocks[1])
        assert drawn == delays(node.fork(clock=clocks[0]), clocks[0])
