"""Trees and what is done with them, so that together they execute the lines of the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ssm_cli import (
    TIMEOUT,
    Answer,
    Backoff,
    CancelTimer,
    Cast,
    Continue,
    Defer,
    Exit,
    Info,
    NoReply,
    Ok,
    Remote,
    Reply,
    RequestIds,
    StartTimer,
    Stop,
    Supervisor,
    SystemClock,
    TimeoutAfter,
    multi_call,
)
from tests.faults.stage import Scenario, Stage


def add(state: Any) -> Any:
    return (state[0], state[1] + 1), "added"


def crash(_state: Any) -> Any:
    raise ValueError("as asked")


def ends(reason: object = "normal") -> Callable[[Any], Any]:
    return lambda state: (state, "ends", [Exit(reason)])


def asking(*effects: Any) -> Callable[[Any], Any]:
    return lambda state: (state, "asked", list(effects))


def failing(*lives: int) -> Callable[[int], None]:
    """An `init` that fails in these lives."""

    def init(life: int) -> None:
        if life in lives:
            raise RuntimeError(f"life {life}")

    return init


def flat(strategy: Any, **options: Any) -> Callable[[Stage], Any]:
    def tree(stage: Stage) -> Any:
        children = [stage.worker(name) for name in "abc"]
        return Supervisor("root", strategy, children, intensity=100, **options)

    return tree


def nested(stage: Stage) -> Any:
    inner = Supervisor("inner", "rest_for_one", [stage.worker("b"), stage.worker("c")], intensity=1)
    outer = Supervisor("outer", "one_for_all", [stage.worker("a"), inner], intensity=1)
    return Supervisor("root", children=[outer, stage.worker("d")], intensity=100)


def life(stage: Stage) -> None:
    """Start, inputs of each sort, a crash with callers that wait, stop."""
    stage.start()
    stage.call("b", add)
    stage.call("b", b"word")
    stage.do("cast", "a", add)
    stage.do("info", "c", add)
    for name, message in (("a", add), ("b", crash), ("c", b"word")):
        stage.ask(name, message)
    stage.do("run")
    stage.call("b", crash)
    stage.do("cast", "a", crash)
    stage.call("c", add, timeout_s=0.5)
    stage.stop()


def gives_up(stage: Stage) -> None:
    """Crashes until an inner supervisor gives up, and its own one too; others live on."""
    stage.start()
    stage.ask("d", add)
    for _ in range(5):
        stage.call("c", crash)
    stage.call("c", add)
    stage.stop()


def callers(stage: Stage) -> None:
    """Callers that wait side by side: requests, clients, and more inputs than the queue takes."""
    stage.start()
    for number in range(6):
        stage.ask("abc"[number % 3], crash if number == 3 else add)
    clients = [
        stage.client(("a", add), ("b", crash), ("c", b"word")),
        stage.client(("b", add), ("nobody", add)),
        stage.client(("c", add), ("a", asking(Defer("late"))), ("a", b"word")),
    ]
    stage.act("run_clients", stage.node.run_clients, *clients, timeout_s=1.0)
    pending = stage.do("send_request", "a", add)
    stage.act("wait", stage.node.wait, pending)
    ids = RequestIds(stage.node)
    for name in ("a", "b", "nobody"):
        stage.act("send one of many", ids.send_request, name, asking(), name)
    for delete in (False, True, True):
        stage.act("wait for any", ids.wait_response, 1.0, delete=delete)
    stage.act("send one of many", ids.send_request, "a", asking(Defer("never again")), "late")
    stage.act("receive any", ids.receive_response, 0.1)
    stage.act("ask all subtrees", multi_call, stage.node, "a", asking(), ["root", "eu"])
    stage.do("which_child", "root", "a")
    stage.do("which_child", "root", "nobody")
    stage.do("cast_nowait", "a", add)
    stage.act("call_value", stage.node.call_value, "a", b"word")
    stage.call("a", asking(Defer("never")), timeout_s=0.1)
    stage.stop()


def inside_asyncio(stage: Stage) -> None:
    stage.start()
    stage.gather(("a", add), ("b", crash), ("c", add), ("b", b"word"), ("nobody", add))
    stage.do("run")
    stage.stop()


def timers(stage: Stage) -> None:
    """Timers, casts to each other, answers that come later."""
    stage.start()
    stage.call("a", asking(StartTimer("t", 100, add), StartTimer("u", 200, add)))
    stage.call("a", asking(StartTimer("t", 50, add), CancelTimer("u"), Cast("b", add)))
    stage.call("b", asking(Cast(None, add), Info("c", add), Cast("nobody", add)))
    stage.ask("c", asking(Defer("c")))
    stage.call("c", asking(Answer("c", "late")))
    stage.act("run 1 s", stage.node.run, 1.0)
    stage.call("b", asking(StartTimer("t", 100, crash)))
    stage.act("run 1 s", stage.node.run, 1.0)
    stage.call("c", ends())
    stage.call("a", lambda state: "no pair")
    stage.call("b", b"\xff")
    stage.stop()


def servers(stage: Stage) -> Any:
    def first(state: Any) -> Ok:
        return Ok(state, then=Continue(lambda state: NoReply(state, then=TimeoutAfter(100))))

    return Supervisor(
        "root",
        children=[stage.worker("a", start=stage.server(first)), stage.worker("b")],
        intensity=100,
    )


def callbacks(stage: Stage) -> None:
    """A `GenServer`: continue, time-outs, replies later, stops, bad returns."""
    kept: list[Any] = []

    def keep(caller: Any, state: Any) -> NoReply:
        kept.append(caller)
        return NoReply(state)

    def early(caller: Any, state: Any) -> NoReply:
        caller.reply("early")
        return NoReply(state, then=TimeoutAfter(50))

    stage.start()
    stage.call("a", early)
    stage.act("run 1 s", stage.node.run, 1.0)
    stage.ask("a", keep)
    stage.do("run")
    stage.call("a", lambda _caller, state: Reply("now", state, effects=[Answer(kept[0], "late")]))
    stage.do("cast", "a", lambda state: NoReply(state, then=Continue(NoReply)))
    stage.do("info", "a", TIMEOUT)
    stage.call("a", lambda _caller, state: Stop("odd", state, reply="bye"))
    stage.call("a", lambda _caller, _state: 7)
    stage.do("cast", "a", lambda state: Stop("normal", state))
    stage.do("run")
    stage.do("stop_process", "a")
    stage.stop()


def system(stage: Stage) -> None:
    """Everything of `sys`."""

    def hook(state: Any, _event: Any, _name: str) -> Any:
        return state

    stage.start()
    stage.do("trace", "a")
    stage.do("keep", "a", 3)
    stage.do("install", "a", hook, 0)
    stage.call("a", add)
    stage.do("suspend", "a")
    stage.ask("a", add)
    stage.do("cast", "a", add)
    stage.do("run")
    stage.do("change_code", "a", "1")
    stage.do("resume", "a")
    stage.do("run")
    stage.call("a", crash)
    for verb in ("get_state", "get_status", "statistics", "crash_reports", "constructors"):
        stage.do(verb, "a")
    stage.do("replace_state", "a", lambda state: state)
    stage.do("replace_state", "a", crash)
    stage.do("remove", "a", hook)
    stage.do("suspend", "root")
    stage.call("b", crash)
    stage.do("resume", "root")
    stage.stop()


def children(stage: Stage) -> None:
    """Children that come and go by request."""
    stage.start()
    stage.do("start_child", "root", stage.worker("x"))
    stage.do("start_child", "root", stage.worker("x"))
    stage.do("start_child", "root", stage.worker("y", args={"init": failing(1)}))
    stage.do("which_children", "root")
    stage.do("count_children", "root")
    stage.do("get_childspec", "root", "x")
    stage.do("terminate_child", "root", "x")
    stage.do("restart_child", "root", "x")
    stage.call("x", crash)
    stage.do("terminate_child", "root", "x")
    stage.do("delete_child", "root", "x")
    stage.do("delete_child", "root", "nobody")
    stage.do("start_child", "root", stage.worker("z", restart="temporary"))
    stage.call("z", crash)
    inner = Supervisor("inner", children=[stage.worker("i"), stage.worker("j")])
    stage.do("start_child", "root", inner)
    stage.do("terminate_child", "root", "inner")
    stage.stop()


def pool(stage: Stage) -> Any:
    template = stage.worker("w", restart="transient")
    dynamic = Supervisor("pool", "simple_one_for_one", [template], intensity=100)
    return Supervisor("root", children=[stage.worker("a"), dynamic], intensity=100)


def dynamic_children(stage: Stage) -> None:
    stage.start()
    first = stage.do("start_child", "pool", "one")
    second = stage.do("start_child", "pool", "two")
    stage.call(str(first), add)
    stage.call(str(first), crash)
    stage.do("count_children", "pool")
    stage.do("terminate_child", "pool", stage.node.whereis(str(second)))
    stage.call(str(first), ends())
    stage.call("a", crash)
    stage.stop()


def delayed(stage: Stage) -> Any:
    names = {"b": {"backoff": Backoff(100, 2, 1000, jitter=0.1), "args": {"init": failing(2, 3)}}}
    workers = [stage.worker(name, **names.get(name, {})) for name in "abc"]
    return Supervisor("root", "rest_for_one", workers, intensity=100)


def back_off(stage: Stage) -> None:
    """Restarts that are held back, an `init` that fails in them, and inputs meanwhile."""
    stage.start()
    stage.call("b", crash)
    stage.ask("b", add)
    stage.call("a", add)
    stage.do("tree")
    stage.act("run 0.1 s", stage.node.run, 0.1)
    stage.act("run 5 s", stage.node.run, 5.0)
    stage.call("b", crash)
    stage.do("restart_child", "root", "b")
    stage.do("terminate_child", "root", "b")
    stage.do("restart_child", "root", "b")
    stage.stop()


def retried(stage: Stage) -> Any:
    workers = [stage.worker("a"), stage.worker("b", args={"init": failing(2, 3)})]
    return Supervisor("root", "one_for_all", [*workers, stage.worker("c")], intensity=100)


def failing_restarts(stage: Stage) -> None:
    stage.start()
    stage.ask("b", crash)
    stage.ask("a", add)
    stage.ask("c", add)
    stage.do("run")
    stage.stop()


def significant(stage: Stage) -> Any:
    one = stage.worker("a", restart="transient", significant=True)
    return Supervisor("root", children=[one, stage.worker("b")], auto_shutdown="any_significant")


def auto_shutdown(stage: Stage) -> None:
    stage.start()
    stage.ask("b", add)
    stage.call("a", ends())
    stage.call("b", add)
    stage.stop()


def root_gives_up(stage: Stage) -> None:
    stage.start()
    for _ in range(3):
        stage.ask("a", crash)
    stage.do("run")
    stage.call("b", add)
    stage.stop()


def cannot_start(stage: Stage) -> Any:
    last = stage.worker("c", args={"init": failing(*range(100))})
    return Supervisor("root", children=[stage.worker("a"), stage.worker("b"), last])


def starts_in_vain(stage: Stage) -> None:
    stage.start()
    stage.start()


def ending_badly(stage: Stage) -> Any:
    def terminate(name: str, state: Any, _reason: Any) -> None:
        stage.ends.append((name, state[0]))
        raise RuntimeError("in terminate")

    bad = stage.machine(terminate=terminate)
    workers = [
        stage.worker("a", start=bad),
        stage.worker("b", shutdown="brutal_kill"),
        stage.worker("c", shutdown="infinity"),
    ]
    inner = Supervisor("inner", "one_for_all", workers, intensity=100)
    return Supervisor("root", children=[inner, stage.worker("d")], intensity=100)


def bad_ends(stage: Stage) -> None:
    """Ends of each sort: killed, by signal, `terminate` that raises, a supervisor that is ended."""
    stage.start()
    stage.do("kill", "a")
    stage.call("a", crash)
    stage.do("stop_process", "a", "odd")
    stage.do("exit", "b", "odd", "parent")
    stage.do("exit", "b", "kill")
    stage.do("kill", "inner")
    stage.do("stop_process", "inner", "shutdown")
    stage.do("exit", "inner", "shutdown", "parent")
    stage.stop()


def durable(stage: Stage) -> Any:
    kept = {"persist": "journal", "on_crash": "last_good"}
    workers = [
        stage.worker("a", start=stage.machine(state=tuple[int, int]), **kept),
        stage.worker("b", start=stage.machine(state=tuple[int, int]), persist="snapshot"),
        stage.worker("c"),
    ]
    return Supervisor("root", children=workers, intensity=100)


def journalled(stage: Stage) -> None:
    stage.start()
    stage.call("a", b"word")
    stage.call("a", b"word", request_id="one")
    stage.call("a", b"word", request_id="one")
    stage.ask("a", b"word")
    stage.ask("b", b"word")
    stage.do("cast", "a", b"word")
    stage.do("run")
    stage.call("a", b"\xff")
    for _ in range(4):  # more often than the quarantine allows
        stage.call("a", b"crash")
    stage.call("b", crash)
    stage.do("replace_state", "a", (1, 2))
    stage.do("quarantined")
    stage.stop()


def remote(stage: Stage) -> Any:
    far = Remote("far", "far.yaml")
    children = [stage.worker("a"), far, stage.worker("b")]
    return Supervisor("root", "rest_for_one", children, intensity=100)


def far_children(stage: Stage) -> None:
    """A child on another computer: called, ended, started again."""
    stage.start()
    for worker in ("far.kv", "far.nobody"):
        stage.call(worker, b"word")
    stage.do("cast", "far.kv", b"word")
    stage.do("run")
    stage.do("kill", "far")
    stage.do("terminate_child", "root", "far")
    stage.do("restart_child", "root", "far")
    stage.call("a", crash)
    stage.stop()


def guarded(stage: Stage) -> None:
    """A little of all, with the guard of the machine's clock."""
    stage.start()
    stage.ask("a", add)
    stage.ask("b", crash)
    stage.ask("c", b"word")
    stage.do("run")
    stage.call("b", crash)
    stage.call("a", add)
    stage.stop()


GUARD: dict[str, Any] = {"guard": True}  # under the manual clock
MACHINE: dict[str, Any] = {"clock": SystemClock(), "guard": True}

SCENARIOS = [
    *(Scenario(strategy, flat(strategy), life) for strategy in ("one_for_one", "one_for_all")),
    Scenario("rest_for_one", flat("rest_for_one"), life, watched=False),
    Scenario("nested", nested, life),
    Scenario("gives_up_inside", nested, gives_up, watched=False),
    Scenario("callers", flat("one_for_one", queue=4), callers, watched=False),
    Scenario("asyncio", flat("one_for_one"), inside_asyncio, kinds=(KeyboardInterrupt,)),
    Scenario("timers", flat("one_for_one"), timers, defers=True, options=GUARD),
    Scenario("callbacks", servers, callbacks, watched=False, defers=True),
    Scenario("system", flat("one_for_one"), system),
    Scenario("children", flat("one_for_one"), children, frozenset("xyzij"), watched=False),
    Scenario("pool", pool, dynamic_children, frozenset({"one", "two"})),
    Scenario("back_off", delayed, back_off, frozenset("bc"), failing_inits=2),
    Scenario("failing_restarts", retried, failing_restarts, watched=False, failing_inits=2),
    Scenario("auto_shutdown", significant, auto_shutdown, frozenset("a"), may_end=True),
    Scenario("root_gives_up", flat("rest_for_one"), root_gives_up, may_end=True),
    Scenario("start_fails", cannot_start, starts_in_vain, may_end=True),
    Scenario("bad_ends", ending_badly, bad_ends, kills=True, options=GUARD),
    Scenario("durable", durable, journalled, durable=True, kills=True),
    Scenario("remote", remote, far_children, far=True),
    Scenario("guarded", flat("one_for_all"), guarded, options=MACHINE),
]
