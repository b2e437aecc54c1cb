"""User code that shows, compares, hashes, writes or redacts a value is guarded and contained.

Time is a manual clock's: what never ends lets a hundred days pass, and is cut at its limit of 1 s.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ssm_cli import (
    Answer,
    CallError,
    CancelTimer,
    Cast,
    Defer,
    Exit,
    Exited,
    GenServer,
    ManualClock,
    Node,
    NoReply,
    Ok,
    Reply,
    SsmError,
    StartTimer,
    StateMachine,
    Stop,
    Supervisor,
    SysError,
    Worker,
)
from ssm_cli.commands.execute import execute
from ssm_cli.commands.parse import parse_line
from ssm_cli.repl.tree.detail import detail_of
from ssm_cli.repl.tree.source import ViewSource
from ssm_cli.repl.tree.view import TreeView
from tests.http.serving import serve
from tests.ids import stable

SECRET = "hunter2"  # noqa: S105 - it must not be seen
DAY_S = 86_400.0
SOON_S = 120.0  # some dozens of callbacks, each with its limit of a second
CLOCKS: list[ManualClock] = []


class Odd(BaseException):
    """No `Exception`, as `SystemExit` and `KeyboardInterrupt`."""


def raises(*_: object) -> Any:
    raise ValueError(SECRET)


def exits(*_: object) -> Any:
    raise SystemExit(SECRET)


def is_odd(*_: object) -> Any:
    raise Odd(SECRET)


def never_ends(*_: object) -> Any:
    for _day in range(100):
        CLOCKS[-1].sleep_s(DAY_S)
    return None


def deeper(depth: int) -> int:
    return deeper(depth + 1) + 1


def recurses(*_: object) -> Any:
    return deeper(0)  # not itself: 3.13.0 does not count calls of a function with `*rest`


BAD = [raises, exits, is_odd, never_ends, recurses]
bad_ways = pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.__name__)


def step(message: Any, state: Any) -> Any:
    return message(state) if callable(message) else (state, message)


plain = StateMachine(step=step, init=lambda _name, _args: 0)


@contextlib.contextmanager
def beside(start: Any, **options: Any) -> Iterator[Node]:
    """A node with the worker `a`, and `b` that must be served whatever `a` does."""
    clock = ManualClock()
    CLOCKS.append(clock)
    tree = Supervisor(
        "root", children=[Worker("a", start, **options), Worker("b", plain)], intensity=100
    )
    node = Node(tree, clock=clock).start()
    try:
        yield node
        assert node.running
        assert node.call("b", "on", timeout_s=None) == "on"
        assert node.tree().children[0].state == "running"
        assert clock.now_s() < SOON_S, "it was not cut"
    finally:
        with contextlib.suppress(BaseException):  # what failed before says more
            node.stop()
        CLOCKS.pop()


def hiding(value: Any) -> str:
    return "hidden"


def secretive(redact: Callable[[Any], Any] | None) -> StateMachine:
    return StateMachine(step=step, init=lambda _name, _args: [SECRET], redact=redact)


def server(hide: Callable[[Any], Any]) -> type[GenServer]:
    class Secretive(GenServer):
        def init(self, name: str, args: Any) -> Any:
            return Ok([SECRET])

        def handle_call(self, message: Any, caller: Any, state: Any) -> Any:
            if message == "crash":
                raise RuntimeError("as asked")
            return Reply("done", state)

        def handle_cast(self, message: Any, state: Any) -> Any:
            return NoReply(state)

        def format_status(self, value: Any) -> Any:
            return hide(value)

    return Secretive


def crash(_state: Any) -> Any:
    raise RuntimeError("as asked")


def pane(node: Node) -> str:
    view = TreeView(ViewSource(node), lambda: 0.0)
    for _ in range(2):  # from the root to the first worker
        view.move(1)
    assert view.chosen_name() == "a"
    return "\n".join(line.plain for line in detail_of(node, view))


def surfaces() -> dict[str, Callable[[Node], object]]:
    return {
        "get_state": lambda node: node.get_state("a"),
        "get_status": lambda node: node.get_status("a"),
        "kept events": lambda node: node.get_status("a").log,
        "written state": lambda node: node.encode("a", node.get_state("a")),
        "crash reports": lambda node: node.crash_reports("a"),
        "reports": lambda node: node.reports(),
        "detail pane": pane,
    }


def used(node: Node, crash: Any = crash) -> None:
    """Inputs with a secret, of each sort, looked at in each way, and a crash."""
    node.keep("a", 10)
    node.trace("a")
    for message in (f"word {SECRET}", crash, f"again {SECRET}"):
        with contextlib.suppress(CallError):
            node.call("a", message, timeout_s=None)
    node.cast("a", f"cast {SECRET}")
    node.run()


def shown(node: Node, where: str) -> str:
    """What is seen there; what cannot be seen says why, in an error of `ssm`'s own."""
    try:
        return repr(surfaces()[where](node))
    except SsmError as error:
        return str(error)


@pytest.mark.parametrize("where", surfaces())
def test_nothing_unredacted_is_seen_of_a_pure_step_in(where: str) -> None:
    with beside(secretive(hiding)) as node:
        used(node)
        assert SECRET not in shown(node, where)


@pytest.mark.parametrize("where", surfaces())
def test_nothing_unredacted_is_seen_of_a_server_in(where: str) -> None:
    with beside(server(hiding)) as node:
        used(node, "crash")
        assert SECRET not in shown(node, where)


@pytest.mark.parametrize("make", [secretive, server], ids=["redact", "format_status"])
@pytest.mark.parametrize("where", surfaces())
@bad_ways
def test_a_redaction_that_goes_wrong_shows_nothing(bad: Any, where: str, make: Any) -> None:
    with beside(make(bad)) as node:
        used(node, crash if make is secretive else "crash")
        assert SECRET not in shown(node, where)


@pytest.mark.parametrize("garbage", [None, object(), lambda: 0, b"\xff", Exception], ids=stable)
@pytest.mark.parametrize("where", surfaces())
def test_a_redaction_that_answers_garbage_shows_nothing_else(garbage: Any, where: str) -> None:
    with beside(secretive(lambda _value: garbage)) as node:
        used(node)
        assert SECRET not in shown(node, where)


@bad_ways
def test_a_redaction_whose_answer_cannot_be_written_shows_nothing(bad: Any) -> None:
    answer = type("Answer", (), {"__repr__": bad, "__str__": bad})
    with beside(secretive(lambda _value: answer())) as node:
        used(node)
        for where in ("written state", "crash reports", "reports", "detail pane"):
            try:
                seen = str(surfaces()[where](node))
            except SsmError as error:
                seen = str(error)
            assert SECRET not in seen


@pytest.mark.parametrize(
    ("state", "redact", "text"),
    [
        ({"key": SECRET}, hiding, '"hidden"'),
        ([SECRET], hiding, '"hidden"'),
        ((1, SECRET), hiding, '[2, "x"]'),
        ((1, SECRET), lambda pair: [pair[0], "***"], '[2, "x"]'),
        (frozenset({SECRET}), lambda _: None, '["x"]'),
        (7, lambda _: "secret", '"secret"'),
    ],
    ids=["dict", "list", "tuple as text", "tuple as list", "set as null", "number"],
)
def test_setting_a_state_that_is_shown_redacted_keeps_its_type(
    state: Any, redact: Any, text: str
) -> None:
    seen: list[Any] = []

    def keep(state: Any) -> Any:
        seen.append(state)
        return state, "kept"

    machine = StateMachine(step=step, init=lambda *_: state, redact=redact)
    with beside(machine) as node:
        command = parse_line(f"set a {text}", ["a", "b"])
        assert command is not None
        with contextlib.suppress(SsmError):
            execute(command, node)
        node.call("a", keep)
    assert type(seen[0]) is type(state)


def test_a_state_changed_by_a_function_is_answered_redacted() -> None:
    with beside(secretive(hiding)) as node:
        assert SECRET not in repr(node.replace_state("a", lambda state: [*state, 1]))


@pytest.mark.parametrize("redact", [hiding, *BAD], ids=lambda redact: redact.__name__)
@pytest.mark.parametrize("route", ["state", "status"])
def test_nothing_unredacted_is_seen_over_http(redact: Any, route: str) -> None:
    CLOCKS.append(ManualClock())
    tree = Supervisor("root", children=[Worker("a", secretive(redact)), Worker("b", plain)])

    async def main() -> tuple[int, str]:
        async with serve(tree) as served:
            served.node.keep("a", 5)
            await served.node.acall("a", SECRET)
            status, answer, _ = await served.ask("GET", f"/v1/workers/a/{route}")
            assert await served.node.acall("b", "on") == "on"
            return status, repr(answer)

    _, answer = asyncio.run(asyncio.wait_for(main(), 60))
    assert SECRET not in answer


# -- errors ----------------------------------------------------------------------------------------


def big(*_: object) -> str:
    return "x" * 7_000_000


def no_text(*_: object) -> Any:
    return 7


@pytest.mark.parametrize("method", ["__str__", "__repr__"])
@pytest.mark.parametrize("bad", [*BAD, big, no_text], ids=lambda bad: bad.__name__)
def test_an_error_that_cannot_say_what_it_is_is_a_crash_as_any(bad: Any, method: str) -> None:
    kind = type("OddError", (Exception,), {method: bad})

    def fails(_state: Any) -> Any:
        raise kind("as asked")

    with beside(plain) as node:
        with pytest.raises(CallError) as caught:
            node.call("a", fails, timeout_s=None)
        (report,) = node.crash_reports("a")
        assert report.error_type == "OddError"
        assert len(str(caught.value)) < 5_000
        assert len(repr(node.reports())) < 50_000
        assert node.statistics("a").starts == 2


@bad_ways
def test_a_reason_that_cannot_say_what_it_is_is_a_reason_as_any(bad: Any) -> None:
    reason = type("Reason", (), {"__str__": bad, "__repr__": bad, "__eq__": bad, "__hash__": bad})

    def ends(state: Any) -> Any:
        return state, "ends", [Exit(reason())]

    with beside(plain) as node:
        assert node.call("a", ends, timeout_s=None) == "ends"
        repr([r.event for r in node.reports()])
        assert node.statistics("a").starts == 2


@pytest.mark.parametrize("ends", [Exit, Exited, ValueError], ids=lambda kind: kind.__name__)
def test_what_an_end_is_for_is_asked_once(ends: Any) -> None:
    asked = list[int]()

    class Reason:
        def __str__(self) -> str:
            asked.append(1)
            return "as asked"

    def fails(state: Any) -> Any:
        if ends is Exit:
            return state, "ends", [Exit(Reason())]
        error = ends(Reason())
        asked.clear()
        raise error

    with beside(plain) as node:
        with contextlib.suppress(CallError):
            node.call("a", fails, timeout_s=None)
        assert "as asked" in repr([report.detail for report in node.reports()])
        assert "as asked" in repr(node.crash_reports("a"))
        assert node.statistics("a").starts == 2
    assert len(asked) == 1


@bad_ways
def test_a_state_that_cannot_say_its_size_is_a_state_as_any(bad: Any) -> None:
    kind = type("Sized", (), {"__sizeof__": bad, "__class__": property(bad)})

    with beside(StateMachine(step=step, init=lambda _name, _args: kind())) as node:
        with pytest.raises(CallError):
            node.call("a", crash, timeout_s=None)
        assert len(node.crash_reports("a")) == 1


def test_a_redaction_and_a_conversion_in_c_may_fail_as_any() -> None:
    with beside(StateMachine(step=step, init=lambda _name, _args: 0, redact=len)) as node:
        assert "TypeError" in str(node.get_state("a"))
        with pytest.raises(SysError):
            node.replace_state("a", len)


@pytest.mark.parametrize("way", ["stop", "exited"])
@bad_ways
def test_a_server_that_stops_for_an_odd_reason_is_restarted(bad: Any, way: str) -> None:
    reason = type("Reason", (), {"__str__": bad, "__repr__": bad, "__eq__": bad, "__hash__": bad})

    class Stopping(GenServer):
        def handle_call(self, message: Any, caller: Any, state: Any) -> Any:
            if way == "exited":
                raise Exited(reason())
            return Stop(reason(), state, reply="bye")

    with beside(Stopping) as node:
        with contextlib.suppress(CallError):
            node.call("a", "stop", timeout_s=None)
        assert node.statistics("a").starts == 2


@pytest.mark.parametrize("bad", [raises, exits, is_odd], ids=lambda bad: bad.__name__)
def test_an_error_whose_cause_and_traceback_lie_is_a_crash_as_any(bad: Any) -> None:
    lies = {"__class__": property(bad), "__cause__": property(bad), "__notes__": property(bad)}
    kind = type("LyingError", (Exception,), lies)

    def fails(_state: Any) -> Any:
        raise kind("as asked")

    with beside(plain) as node:
        with pytest.raises(CallError):
            node.call("a", fails, timeout_s=None)
        assert len(node.crash_reports("a")) == 1


def test_an_error_that_cannot_be_made_is_a_crash_as_any() -> None:
    class NeedyError(Exception):
        def __init__(self, one: object, *, two: object) -> None:
            raise SystemExit(SECRET)

    def fails(_state: Any) -> Any:
        raise NeedyError(1, two=2)

    with beside(plain) as node:
        with pytest.raises(CallError):
            node.call("a", fails)
        assert node.statistics("a").starts == 2


# -- values ----------------------------------------------------------------------------------------


def value(bad: Any, *methods: str) -> Any:
    names = methods or ("__eq__", "__hash__", "__bool__", "__len__", "__repr__", "__str__")
    return type("Value", (), dict.fromkeys(names, bad))()


@bad_ways
def test_messages_and_states_that_misbehave_are_served(bad: Any) -> None:
    odd = value(bad)
    with beside(StateMachine(step=lambda message, state: (message, state))) as node:
        node.keep("a", 3)
        node.trace("a")
        for _ in range(2):
            node.call("a", odd, timeout_s=None)
        assert node.get_state("a") is odd
        assert node.statistics("a").starts == 1
        node.reports()


@pytest.mark.parametrize(
    "effects",
    [
        lambda key: [Defer(key)],
        lambda key: [Answer(key, 1)],
        lambda key: [StartTimer(key, 10, "t")],
        lambda key: [CancelTimer(key)],
        lambda key: [Cast(key, 1)],
    ],
    ids=["defer", "answer", "start_timer", "cancel_timer", "cast"],
)
@bad_ways
def test_a_key_of_an_effect_that_misbehaves_is_a_crash_at_most(bad: Any, effects: Any) -> None:
    with beside(plain) as node:
        with contextlib.suppress(CallError):
            node.call("a", lambda s: (s, 1, effects(value(bad))), timeout_s=0.1)
        node.run()
        assert node.call("a", "on", timeout_s=None) == "on"


@pytest.mark.parametrize("name", ["__class__", "__len__", "__iter__", "__bool__"])
@bad_ways
def test_a_return_value_that_lies_about_itself_is_a_crash(bad: Any, name: str) -> None:
    lying = type("Lying", (), {name: property(bad) if name == "__class__" else bad})
    with beside(plain) as node:
        with pytest.raises(CallError):
            node.call("a", lambda _state: lying(), timeout_s=None)
        assert node.statistics("a").starts == 2


@bad_ways
def test_a_bad_return_whose_repr_misbehaves_is_a_crash(bad: Any) -> None:
    with beside(plain) as node:
        with pytest.raises(CallError):
            node.call("a", lambda _state: value(bad, "__repr__"), timeout_s=None)
        assert node.statistics("a").starts == 2


@bad_ways
def test_effects_that_cannot_be_walked_are_a_crash(bad: Any) -> None:
    with beside(plain) as node:
        with pytest.raises(CallError):
            node.call("a", lambda s: (s, 1, value(bad, "__iter__", "__len__")), timeout_s=None)
        assert node.statistics("a").starts == 2


# -- codecs, hooks, readers ------------------------------------------------------------------------


class Codec:
    def __init__(self, decode: Any, encode: Any) -> None:
        self.decode, self.encode = decode, encode


def text(data: bytes) -> str:
    return data.decode()


@pytest.mark.parametrize("bad", [*BAD, no_text], ids=lambda bad: bad.__name__)
def test_a_codec_that_cannot_write_an_output_is_an_error_of_the_call(bad: Any) -> None:
    machine = StateMachine(step=step, codec=Codec(text, bad))
    with beside(machine) as node:
        for call in (node.call, node.call_value):
            with pytest.raises(SsmError):
                call("a", b"word", timeout_s=None)
        with pytest.raises(SsmError):
            node.encode("a", "word")
        assert node.statistics("a").starts == 1


@bad_ways
def test_a_codec_that_cannot_write_is_an_error_of_the_client_or_task_that_asked(bad: Any) -> None:
    def client() -> Any:
        with pytest.raises(SsmError):
            yield "a", b"word"
        return (yield "b", "on")

    async def task(node: Node) -> None:
        with pytest.raises(SsmError):
            await node.acall("a", b"word")

    with beside(StateMachine(step=step, codec=Codec(text, bad))) as node:
        assert node.run_clients(client()) == ["on"]
        asyncio.run(asyncio.wait_for(task(node), 60))


@pytest.mark.parametrize("bad", [*BAD, no_text], ids=lambda bad: bad.__name__)
def test_a_codec_that_cannot_read_an_input_leaves_the_worker_alone(bad: Any) -> None:
    with beside(StateMachine(step=step, codec=Codec(bad, text))) as node:
        node.cast("a", b"word")
        node.run()
        with contextlib.suppress(CallError):
            node.call("a", b"word", timeout_s=None)
        assert node.statistics("a").starts == 1


@bad_ways
def test_an_installed_function_that_misbehaves_is_removed(
    bad: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[int] = []

    def hook(_state: Any, _event: Any, _name: str) -> Any:
        calls.append(1)
        return bad()

    with beside(plain) as node:
        node.install("a", hook)
        for _ in range(2):
            assert node.call("a", "on", timeout_s=None) == "on"
        assert len(calls) == 1
        assert node.statistics("a").starts == 1


@bad_ways
def test_an_installed_function_whose_answer_cannot_be_compared_hurts_nobody(
    bad: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with beside(plain) as node:
        node.install("a", lambda _state, _event, _name: value(bad, "__eq__", "__hash__"))
        for _ in range(2):
            assert node.call("a", "on", timeout_s=None) == "on"


@pytest.mark.parametrize("bad", [raises, exits, is_odd, recurses], ids=lambda bad: bad.__name__)
def test_a_reader_of_reports_or_outcomes_that_raises_hurts_nobody(
    bad: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with beside(plain) as node:
        node.subscribe(bad)
        node.kill("a")
        node.send_request("a", "on", bad)
        node.run()
        assert node.call("a", "on", timeout_s=None) == "on"


@pytest.mark.parametrize("bad", [raises, exits, is_odd, never_ends], ids=lambda bad: bad.__name__)
def test_a_change_of_state_or_code_that_misbehaves_is_refused(bad: Any) -> None:
    with beside(StateMachine(step=step, init=lambda *_: 5, code_change=bad)) as node:
        with pytest.raises(SysError):
            node.replace_state("a", bad)
        node.suspend("a")
        with pytest.raises(SysError):
            node.change_code("a", "1")
        node.resume("a")
        assert node.get_state("a") == 5
