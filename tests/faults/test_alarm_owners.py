"""The process is not ours alone: the guard beside other owners of signals, threads and processes.

Each program runs in a process of its own, since it changes what a process has one of.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.program import command

PRELUDE = """
import asyncio, contextlib, io, os, signal, sys, threading, time
from ssm_cli import CalleeCrashed, Node, StateMachine, Supervisor, Worker
from ssm_cli.errors import StepTimeout

def do(message, state):
    return state, message()

def worker(name="a", limit_ms=50, **options):
    return Worker(name, StateMachine(step=do), step_timeout=limit_ms, **options)

def node_of(limit_ms=50, **options):
    tree = Supervisor("root", children=[worker(limit_ms=limit_ms, **options)], intensity=1000)
    return Node(tree).start()

def busy(seconds=600):
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        pass
    return "ended"

def outcome(node, message, worker="a"):
    try:
        return node.call(worker, message, timeout_s=None)
    except CalleeCrashed as error:
        return type(error.error).__name__

def have_interval_timer():
    from ssm_cli.runtime.engine.guard import ALARM
    from ssm_cli.runtime.engine.ticker import IntervalTicker
    ALARM._ticker = IntervalTicker(time.monotonic)
"""


@contextlib.contextmanager
def started(program: str, *start: str) -> Iterator[Any]:
    """The program as it runs, gone at the end of the block; a fork, or what `start` starts."""
    piped = subprocess.PIPE
    words = [*(start or command("-c")), PRELUDE + program]
    with subprocess.Popen(words, stdin=piped, stdout=piped, stderr=piped, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(process: Any) -> tuple[list[str], str]:
    """What it printed, and its standard error; it ended well."""
    shown, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    return shown.splitlines(), said


def run(program: str) -> list[str]:
    with started(program) as process:
        return finish(process)[0]


SABOTAGES = [
    "signal.alarm(0)",
    "signal.setitimer(signal.ITIMER_REAL, 0)",
    "signal.signal(signal.SIGALRM, lambda *_: None)",
    "signal.signal(signal.SIGALRM, signal.SIG_IGN)",
    "signal.signal(signal.SIGALRM, signal.SIG_DFL)",
    "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})",
    "signal.set_wakeup_fd(-1)",
]


@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_the_very_next_step_is_cut_whatever_a_step_did_to_the_alarm(sabotage: str) -> None:
    program = f"""
node = node_of()
node.call("a", lambda: {sabotage} and None)
print(outcome(node, busy))
"""
    assert run(program) == ["StepTimeout"]


TAKES_ALL = """
def take_all(handler):
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, handler)
"""
SEIZURES = [
    "take_all(signal.SIG_IGN)",
    "take_all(signal.SIG_DFL)",
    "take_all(lambda *_: None)",
    "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
]


@pytest.mark.parametrize("ticker", ["pass", "have_interval_timer()"])
@pytest.mark.parametrize("sabotage", [*SEIZURES, "signal.setitimer(signal.ITIMER_REAL, 0)"])
def test_a_guard_without_ticks_is_noticed_and_mended_while_the_node_works(
    sabotage: str, ticker: str
) -> None:
    if ticker != "pass" and "SIG_DFL" in sabotage:
        pytest.skip("the process's own timer ends the process by default")
    program = f"""
{TAKES_ALL}
{ticker}
node = node_of()
node.call("a", lambda: {sabotage} and None)
time.sleep(0.03)  # of the program itself, in which ticks fail to come
for _ in range(64):
    node.call("a", int)
print(outcome(node, busy))
"""
    assert run(program) == ["StepTimeout"]


def test_a_cast_behind_a_seizure_is_cut_too() -> None:
    program = f"""
{TAKES_ALL}
node = node_of()
node.cast("a", lambda: take_all(signal.SIG_IGN))
node.run()
time.sleep(0.03)
node.cast("a", int)
node.run()
node.cast("a", busy)
begun_s = time.monotonic()
node.run()
print(time.monotonic() - begun_s < 60, node.statistics("a").crashes)
"""
    assert run(program) == ["True 1"]


def test_nothing_is_raised_in_the_main_thread_for_a_callback_of_another() -> None:
    program = """
async def main():
    node = node_of()
    call = asyncio.create_task(asyncio.to_thread(outcome, node, lambda: busy(0.3)))
    try:
        while not call.done():
            await asyncio.sleep(0.001)
    except StepTimeout:
        print("raised in the main thread")
    print(await call)
    print(outcome(node, busy))
    await asyncio.to_thread(node.stop)
    print(node.running)

asyncio.run(main())
"""
    with started(program) as process:
        shown, said = finish(process)
    assert shown == ["ended", "StepTimeout", "False"]
    assert said.count("ssm: a node runs outside the main thread") == 1


def test_two_threads_each_with_a_node_and_only_the_main_one_cuts() -> None:
    program = """
def other():
    node = node_of()
    print(outcome(node, lambda: busy(0.4)))
    node.stop()

thread = threading.Thread(target=other)
mine = node_of()
thread.start()
found = [outcome(mine, busy) for _ in range(3)]
thread.join()
print(found, mine.statistics("a").crashes)
"""
    assert sorted(run(program)) == ["['StepTimeout', 'StepTimeout', 'StepTimeout'] 3", "ended"]


@pytest.mark.parametrize("ticker", ["pass", "have_interval_timer()"])
def test_the_alarm_of_another_owner_rings_when_it_is_due(ticker: str) -> None:
    program = f"""
{ticker}
class Failed(Exception): pass

def failed(*_):
    raise Failed

signal.signal(signal.SIGALRM, failed)
signal.setitimer(signal.ITIMER_REAL, 2)  # a step is cut long before, on a slow machine, too
begun_s = time.monotonic()
node = node_of()
try:
    print(outcome(node, busy))
    while time.monotonic() < begun_s + 60:
        node.call("a", int)
        time.sleep(0.001)
except Failed:
    print(time.monotonic() - begun_s > 1.99)
node.stop()
print(signal.getsignal(signal.SIGALRM) is failed)
"""
    assert run(program) == ["StepTimeout", "True", "True"]


@pytest.mark.parametrize("ticker", ["pass", "have_interval_timer()"])
def test_what_is_left_of_anothers_timer_and_its_interval_survive(ticker: str) -> None:
    program = f"""
{ticker}
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 50, 7)
node = node_of()
node.call("a", lambda: busy(0.02))
node.stop()
left_s, every_s = signal.getitimer(signal.ITIMER_REAL)
print(30 < left_s < 49.99, round(every_s))
"""
    assert run(program) == ["True 7"]


NESTED = """
def tree(limit_ms):
    return Node(Supervisor("root", children=[worker(limit_ms=limit_ms)], intensity=1000)).start()
"""


def test_an_inner_callback_that_overruns_is_cut_alone() -> None:
    program = f"""{NESTED}
outer, inner = tree(5000), tree(50)
print(outcome(outer, lambda: outcome(inner, busy)))
print(outer.statistics("a").crashes, inner.statistics("a").crashes)
"""
    assert run(program) == ["StepTimeout", "0 1"]


WAYS_TO_STAY = [
    "inner.call('a', busy)",
    "[inner.call('a', int) for _ in iter(int, 1)]",
    "inner.run(for_s=600)",
    "outcome(inner, busy)",
]


@pytest.mark.parametrize("way", WAYS_TO_STAY)
@pytest.mark.parametrize("limit_ms", [600_000, "'infinity'"])
def test_an_outer_limit_that_is_tighter_cuts_the_outer_callback(way: str, limit_ms: object) -> None:
    program = f"""{NESTED}
outer, inner = tree(50), tree({limit_ms})
begun_s = time.monotonic()
print(outcome(outer, lambda: {way}))
print(time.monotonic() - begun_s < 60)
print(outer.statistics("a").crashes, inner.statistics("a").crashes)
print(inner.call("a", lambda: "goes on"), outcome(inner, lambda: busy(0.2)))
"""
    assert run(program) == ["StepTimeout", "True", "1 0", "goes on ended"]


def test_a_tighter_limit_that_comes_while_the_node_is_busy_holds_at_once() -> None:
    program = """
took_s = []  # of processor time: the machine may be busy, too
for _ in range(4):
    node = node_of(limit_ms=10_000, init_timeout=10_000, shutdown=10_000)
    node.call("a", int)
    node.start_child("root", worker("b", 20))
    begun_s = time.process_time()
    print(outcome(node, busy, "b"))
    took_s.append(time.process_time() - begun_s)
    node.stop()
print(min(took_s) < 0.09)
"""
    assert run(program) == [*["StepTimeout"] * 4, "True"]


def test_a_child_of_a_fork_is_not_killed_and_has_a_guard_when_it_uses_the_node() -> None:
    program = """
node = node_of()
node.call("a", int)
if (child := os.fork()) == 0:
    print(node._world.guard.armed, flush=True)
    busy(0.2)
    print(outcome(node, busy), flush=True)
    os._exit(0)
_, status = os.waitpid(child, 0)
print(status, outcome(node, busy))
"""
    assert run(program) == ["False", "StepTimeout", "0 StepTimeout"]


def test_a_step_that_forks_leaves_both_sides_whole() -> None:
    program = """
node = node_of()
child = node.call("a", os.fork)
if child == 0:
    print(outcome(node, busy), flush=True)
    os._exit(0)
_, status = os.waitpid(child, 0)
print(status, outcome(node, busy))
"""
    assert run(program) == ["StepTimeout", "0 StepTimeout"]


def test_a_program_that_replaces_this_one_in_a_step_is_not_killed() -> None:
    program = """
node = node_of()
arguments = [sys.executable, "-S", "-c", "import time; time.sleep(0.3); print('alive')"]
node.call("a", lambda: os.execv(sys.executable, arguments))
"""
    for _ in range(3):
        assert run(program) == ["alive"]


def test_time_in_which_the_process_is_stopped_does_not_count() -> None:
    program = """
node = node_of(limit_ms=500)
def stops():
    busy(0.08)  # a tick has found it running
    os.kill(os.getpid(), signal.SIGSTOP)
    return "ended"

print(outcome(node, stops), outcome(node, busy))
"""
    with started(program, sys.executable, "-c") as process:
        os.waitpid(process.pid, os.WUNTRACED)
        time.sleep(0.6)
        os.kill(process.pid, signal.SIGCONT)
        assert finish(process)[0] == ["ended StepTimeout"]


DEBUGGERS = {
    "pdb": "pdb.Pdb(nosigint=True).set_trace()",
    "hook": "sys.breakpointhook = lambda: sys.stdin.readline(); breakpoint()",
    "tracing": """
        tracer = bdb.Bdb()
        tracer.reset()
        sys.settrace(tracer.trace_dispatch)
        sys.stdin.readline()
        busy(0.2)
        sys.settrace(None)""",
}


@pytest.mark.parametrize("debugger", DEBUGGERS)
def test_a_debugger_in_a_step_is_not_cut_and_the_step_has_its_limit_again_behind_it(
    debugger: str,
) -> None:
    program = f"""
import bdb, pdb  # not within the limit
node = node_of(limit_ms=100)
def look():
    def inner():
        {DEBUGGERS[debugger]}
        return "looked"
    return inner()
print("ready", flush=True)
print(outcome(node, look))
print(outcome(node, busy))
"""
    with started(program) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        process.stdin.write("c\n")
        process.stdin.flush()
        shown, _ = finish(process)
    assert shown[-2:] == ["looked", "StepTimeout"] or shown[-2:] == ["(Pdb) looked", "StepTimeout"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring came with 3.12")
def test_a_debugger_that_monitors_is_a_debugger_too() -> None:
    program = """
node = node_of()
sys.monitoring.use_tool_id(sys.monitoring.DEBUGGER_ID, "somebody's")
print(outcome(node, lambda: busy(0.2)))
sys.monitoring.free_tool_id(sys.monitoring.DEBUGGER_ID)
print(outcome(node, busy))
"""
    assert run(program) == ["ended", "StepTimeout"]


def test_who_only_measures_is_no_debugger() -> None:
    program = """
node = node_of()
sys.settrace(lambda *_: None)
print(outcome(node, busy))
"""
    assert run(program) == ["StepTimeout"]


def test_a_call_into_c_is_named_with_its_place_and_cut_when_it_returns() -> None:
    program = """
node = node_of(limit_ms=20)
def count_in_c():
    sum(range(2 * 10**7))
    return "went on"
print(outcome(node, count_in_c))
"""
    with started(program) as process:
        shown, said = finish(process)
    assert shown == ["StepTimeout"]
    assert said.count("ssm: a could not be cut for ") == 1
    assert "in count_in_c" in said


@pytest.mark.skipif(sys.platform != "linux", reason="needs timers of processor time")
def test_a_call_into_c_that_does_not_return_is_shown_while_it_runs() -> None:
    program = """
node = node_of(init_timeout=50, shutdown=50)
def count_in_c():
    sum(range(10**15))
print(outcome(node, count_in_c))
"""
    with started(program) as process:
        assert any("in count_in_c" in line for line in process.stderr)


def test_a_users_signal_handler_that_raises_in_a_step_does_not_disturb_the_guard() -> None:
    program = """
class Mine(Exception): pass

def mine(*_):
    raise Mine

signal.signal(signal.SIGURG, mine)
signal.signal(signal.SIGUSR1, mine)
node = node_of()
for number in (signal.SIGUSR1, signal.SIGURG):
    try:
        outcome(node, lambda: os.kill(os.getpid(), number) or busy(0.01))
    except Mine:
        print("Mine")
print(outcome(node, busy))
node.stop()
print(signal.getsignal(signal.SIGURG) is mine)
"""
    assert run(program) == ["Mine", "Mine", "StepTimeout", "True"]


def test_a_stuck_step_is_no_error_where_standard_error_is_no_file() -> None:
    program = """
raised = set()
def stubborn():
    for _ in range(15):
        try:
            busy()
        except BaseException as error:
            raised.add(type(error).__name__)

node = node_of()
written = io.StringIO()
for sys.stderr in (written, None):
    outcome(node, stubborn)
sys.stderr = sys.__stderr__
print(written.getvalue().count("swallows every interruption"), raised)
"""
    assert run(program) == ["1 {'StepTimeout'}"]


def test_step_timeout_is_part_of_the_public_names() -> None:
    assert run("import ssm_cli; print(ssm_cli.StepTimeout is StepTimeout)") == ["True"]
