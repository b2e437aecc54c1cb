"""SIGINT for real, in a process of its own: at any moment the tree stops in order."""

from __future__ import annotations

import pytest

from tests.program import python

PROGRAM = """
import os, signal, sys
from ssm_cli import CallError, Node, StateMachine, Supervisor, Worker

def interrupt(*_):
    os.kill(os.getpid(), signal.SIGINT)
    while True:
        pass

def machine(where):
    def at(place):
        return interrupt if place == where else (lambda *_: (0, "ok"))
    return StateMachine(step=at("step"), init=at("init"), terminate=at("terminate"))

inner = Supervisor("inner", children=[
    Worker("b", machine("")), Worker("c", machine(sys.argv[1])), Worker("d", machine("")),
])
tree = Supervisor("root", children=[Worker("a", machine("")), inner, Worker("e", machine(""))])
node = Node(tree)
node.subscribe(lambda r: print(r.event, r.id))
before = signal.getsignal(signal.SIGALRM)
try:
    with node:
        print("--")
        print(node.call("c", 1, timeout_s=60))
        print("--")
except KeyboardInterrupt:
    print("interrupted", node.running, signal.getsignal(signal.SIGALRM) == before)
"""


def interrupted_in(where: str) -> list[str]:
    done = python(PROGRAM, where)
    assert done.stderr == ""
    return done.stdout.splitlines()


def ends(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith(("terminated", "killed", "exited", "stop"))]


def test_during_a_step_the_whole_tree_stops_in_order() -> None:
    lines = interrupted_in("step")
    assert lines[-1] == "interrupted False True"
    assert ends(lines) == [
        "terminated e", "terminated d", "terminated c", "terminated b", "exited inner",
        "terminated a", "exited root", "stopped root",
    ]  # fmt: skip


def test_during_a_start_what_had_started_stops_in_reverse() -> None:
    lines = interrupted_in("init")
    assert lines[-1] == "interrupted False True"
    assert "--" not in lines
    assert ends(lines) == ["terminated b", "terminated a", "exited root", "stopped root"]


def test_during_a_stop_the_interrupted_callback_is_cut_and_the_others_end_in_order() -> None:
    lines = interrupted_in("terminate")
    assert lines[-1] == "interrupted False True"
    assert ends(lines) == [
        "terminated e", "terminated d", "killed c", "terminated b", "exited inner",
        "terminated a", "exited root", "stopped root",
    ]  # fmt: skip


GOING_ON = """
import os, signal
from ssm_cli import CallError, Node, StateMachine, Supervisor, Worker

lives = []

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    while True:
        pass

def init(name, args):
    lives.append(name)
    if len(lives) == 2 and WHERE == "restart":
        interrupt()
    return 0

def step(message, state):
    if message == "crash":
        raise ValueError("as asked")
    if message == "wait":
        interrupt()
    return state, message

def terminate(name, state, reason):
    if len(lives) == 1 and WHERE == "terminate":
        interrupt()

children = [Worker("a", StateMachine(step=step, init=init, terminate=terminate))]
with Node(Supervisor("root", children=children)) as node:
    try:
        node.call("a", "wait" if WHERE == "step" else "crash")
    except KeyboardInterrupt:
        print("interrupted")
    except CallError as error:
        print(error)
    print(node.call("a", "on"), node.tree().children[0].state)
"""


@pytest.mark.parametrize("where", ["step", "restart", "terminate"])
def test_whoever_goes_on_after_an_interruption_finds_a_tree_that_works(where: str) -> None:
    program = GOING_ON.replace("WHERE", repr(where))
    done = python(program)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["interrupted", "on running"]


def test_system_exit_in_a_step_does_not_end_the_process() -> None:
    program = PROGRAM.replace("    os.kill(os.getpid(), signal.SIGINT)\n", "    sys.exit(3)\n")
    program = program.replace("except KeyboardInterrupt:", "except CallError:")
    done = python(program, "step")
    lines = done.stdout.splitlines()
    assert "crashed c" in lines
    assert lines[-1] == "interrupted False True"
