"""Projects whose code changes while their data stays: cases, and the process that runs them.

`main` reads a list of jobs as JSON, runs each (start the tree of a folder, make calls, stop it in
order or not), prints what came of it, and ends by an orderly exit or by `kill -9`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NamedTuple

from ssm_cli import FolderStore, ManualClock, Node, SsmError, load_tree

ACCOUNT = """
import dataclasses
import functools
from ssm_cli import GenServer, NoReply, Ok, Reply, StateMachine

@dataclasses.dataclass(frozen=True)
class Account:
    owner: str
    cents: int

def step(message: str, state: Account) -> tuple[Account, str]:
    now = Account(state.owner, state.cents + int(message))
    return now, 'Ok'

def init(name, args):
    return Account('ann', 0)

machine = StateMachine(step=step, init=init)
"""
TYPED = """
import msgspec
from ssm_cli import StateMachine

class Put(msgspec.Struct, frozen=True):
    n: int

class Take(msgspec.Struct, frozen=True):
    n: int

def step(message: Put | Take, state: list[int]) -> tuple[list[int], str]:
    return [*state, message.n], 'Ok'

machine = StateMachine(step=step, init=lambda name, args: [], inputs=Put | Take)
"""
SERVER = """
from ssm_cli import GenServer, Ok, Reply

class Bank(GenServer):
    state = dict[str, int]

    def init(self, name, args):
        return Ok({'cents': 0})

    def handle_call(self, message, caller, state):
        return Reply('Ok', {'cents': state['cents'] + int(message)})

machine = Bank
"""
PHASES = """
import dataclasses
import enum
from ssm_cli import StateMachine

class Kind(enum.Enum):
    A = 1
    B = 2

@dataclasses.dataclass(frozen=True)
class Idle:
    kind: Kind

@dataclasses.dataclass(frozen=True)
class Busy:
    kind: Kind
    n: int

def step(message: str, state: Idle | Busy) -> tuple[Idle | Busy, str]:
    return Busy(Kind.B, int(message)), 'Ok'

machine = StateMachine(step=step, init=lambda name, args: Idle(Kind.A))
"""
STATEM = """
from dataclasses import dataclass
from ssm_cli import Answer, KeepState, KeepStateAndData, Next, NextEvent, Postpone, Statem

@dataclass(frozen=True)
class Box:
    cents: int

class Till(Statem):
    def init(self, name, args):
        return Next('shut', Box(0))

    def shut(self, event, data):
        if event.type == 'internal':
            return KeepStateAndData([Postpone()])
        done = [Answer(event.caller, 'Ok')] if event.type == 'call' else []
        waits = NextEvent('internal', event.content)
        return KeepState(Box(data.cents + int(event.content)), [*done, waits])

machine = Till
"""
MANAGER = """
from ssm_cli import Event, EventHandler, Ok

class Sum(EventHandler):
    def init(self, args, previous):
        return Ok([])

    def handle_event(self, event, state):
        return Ok([*state, event])

class Bus(Event):
    handlers = {'sum': Sum}

    def init(self, name, args):
        return {'sum': None}

machine = Bus
"""
WRAPPED = ACCOUNT.replace(
    "machine = StateMachine(step=step,", "machine = StateMachine(step=functools.partial(step),"
)
LAMBDA = """
from ssm_cli import StateMachine
machine = StateMachine(
    step=lambda message, state: ([*state, message], 'Ok'), init=lambda name, args: []
)
"""
CALLED = """
from ssm_cli import StateMachine
class Step:
    def __call__(self, message: str, state: list[str]) -> tuple[list[str], str]:
        return [*state, message], 'Ok'
machine = StateMachine(step=Step(), init=lambda name, args: [])
"""
OTHER = """
from ssm_cli import StateMachine
def step(message: str, state: list[str]) -> tuple[list[str], str]:
    return [*state, message], 'Ok'
machine = StateMachine(step=step, init=lambda name, args: [])
"""
TREE = """
supervisor: root
strategy: one_for_all
children:
  - {worker: w, start: "./code.py:machine", persist: journal}
  - {worker: other, start: "./other.py:machine", persist: journal}
"""


class Case(NamedTuple):
    """A change of code, and what is to come of it.

    Attributes:
        code: the code that wrote the data.
        edits: texts in it, and what stands in their place then.
        kill, stop: after `kill -9` and after an orderly stop: the state that it goes on with, or
            the word of its trouble.
        way: the way out: options of `ssm data repair w`; or further edits of the code.
        end: the state once the way out was gone, if there was trouble.
        tree: edits of the tree file.
        says: what the message names.
        inputs: two; the second one is behind the saved state, when it is killed.
    """

    code: str
    edits: dict[str, str]
    kill: str
    stop: str
    way: list[str] | dict[str, str] = []  # noqa: RUF012 - nobody changes it
    end: str = ""
    tree: dict[str, str] = {}  # noqa: RUF012 - nobody changes it
    says: str = ""
    inputs: tuple[str, str] = ("5", "7")


TWELVE = "Account(owner='ann', cents=12)"
SHUT = "StateData(state='shut', data=Box(cents=12))"
FIVE = "Account(owner='ann', cents=5)"
STEP2 = "StateMachine(step=step, version='2',"
MIGRATE = STEP2 + " migrate=lambda old, state: "
PENCE = {"cents": "pence"}
NEW_FIELD = {"cents: int": "cents: int\n    open: bool", "+ int(message))": "+ int(message), True)",
             "'ann', 0)": "'ann', 0, True)"}  # fmt: skip
DEFAULT = {"cents: int": "cents: int\n    open: bool = True"}
OPEN = "Account(owner='ann', cents=12, open=True)"
GONE = {"owner: str\n    ": "", "state.owner, ": "", "'ann', ": ""}
TAKE = "class Take(msgspec.Struct, frozen=True):\n    n: int"
AS_NEW = ["--as-new", "--tree", "tree.yaml"]
MACHINE = "machine = StateMachine(step=step,"

CASES: dict[str, Case] = {
    "the same code": Case(ACCOUNT, {}, TWELVE, TWELVE),
    "a comment": Case(ACCOUNT, {"import functools": "# more\nimport functools"}, TWELVE, TWELVE),
    "a renamed field": Case(
        ACCOUNT, PENCE, "migrate", "migrate", ["--rename", "code:Account.cents", "pence"],
        "Account(owner='ann', pence=12)", says="state.cents",
    ),
    "a renamed field with migrate": Case(
        ACCOUNT,
        PENCE | {"StateMachine(step=step,": MIGRATE + "Account(state['owner'], state['cents']),"},
        "Account(owner='ann', pence=12)", "Account(owner='ann', pence=12)",
    ),
    "a retyped field": Case(
        ACCOUNT,
        {"cents: int": "cents: str", "state.cents + int(message)": "state.cents + message",
         "'ann', 0": "'ann', ''"},
        "migrate", "migrate", ["--state", '{"owner": "ann", "cents": "57"}', "--tree", "tree.yaml"],
        "Account(owner='ann', cents='57')", says="state.cents",
    ),
    "a field that may be none now": Case(
        ACCOUNT, {"cents: int": "cents: int | None"}, TWELVE, TWELVE
    ),
    "a new required field": Case(
        ACCOUNT, NEW_FIELD, "migrate", "migrate",
        {"StateMachine(step=step,": MIGRATE + "Account(**state, open=True),"}, OPEN,
        says="state.open",
    ),
    "a new field with a default": Case(
        ACCOUNT, DEFAULT, "migrate", "migrate",
        {"StateMachine(step=step,": MIGRATE + "Account(**state),"}, OPEN, says="state.open",
    ),
    "a removed field": Case(
        ACCOUNT, GONE, "migrate", "migrate",
        {"StateMachine(step=step,": MIGRATE + "Account(state['cents']),"}, "Account(cents=12)",
        says="state.owner",
    ),
    "a mended step, taken": Case(
        ACCOUNT, {"+ int(message)": "+ 2 * int(message)"}, "differs", TWELVE, AS_NEW,
        "Account(owner='ann', cents=19)", says="record",
    ),
    "a mended step, not taken": Case(
        ACCOUNT, {"+ int(message)": "+ 2 * int(message)"}, "differs", TWELVE, ["--from-saved"],
        FIVE, says="digest",
    ),
    "a mended step, undone": Case(
        ACCOUNT, {"+ int(message)": "+ 2 * int(message)"}, "differs", TWELVE,
        {"+ 2 * int(message)": "+ int(message)"}, TWELVE,
    ),
    "another output": Case(
        ACCOUNT, {"now, 'Ok'": "now, 'Done'"}, "differs", TWELVE, AS_NEW, TWELVE, says="output",
    ),
    "a float for an int": Case(
        ACCOUNT, {"+ int(message))": "+ float(message))"}, "differs", TWELVE, ["--from-saved"],
        FIVE,
    ),
    "a step that raises now": Case(
        ACCOUNT, {"now =": "assert message != '7'\n    now ="}, "raises", TWELVE, AS_NEW, FIVE,
        says="AssertionError",
    ),
    "an input renamed": Case(
        TYPED, {"Put": "Store"}, "undecodable", "[5, 7]", AS_NEW, "[5]",
        inputs=("Put 5", "Put 7"), says="Put",
    ),
    "an input removed": Case(
        TYPED, {"message: Put | Take": "message: Put", "inputs=Put | Take": "inputs=Put"},
        "undecodable", "[5, 7]", ["--from-saved"], "[5]", inputs=("Put 5", "Take 7"), says="Take",
    ),
    "an input with a new field": Case(
        TYPED, {TAKE: TAKE + "\n    who: str"},
        "undecodable", "[5, 7]", {"    who: str": "    who: str = ''"}, "[5, 7]",
        inputs=("Put 5", "Take n=7"), says="who",
    ),
    "a moved module": Case(
        ACCOUNT, {}, "moved", "moved", ["--rename", "code", "moved"], TWELVE,
        tree={"./code.py": "./moved.py"}, says="--rename code moved",
    ),
    "a moved module with version and migrate": Case(
        ACCOUNT, {"StateMachine(step=step,": MIGRATE + "Account(**state),"}, TWELVE, TWELVE,
        tree={"./code.py": "./moved.py"},
    ),
    "a renamed step": Case(
        ACCOUNT, {"step(": "take(", "step=step": "step=take"}, "moved", "moved",
        ["--rename", "code:step", "code:take"], TWELVE, says="--rename code:step code:take",
    ),
    "a renamed class": Case(
        ACCOUNT, {"Account": "Ledger"}, "migrate", "migrate",
        ["--rename", "code:Account", "code:Ledger"], "Ledger(owner='ann', cents=12)",
        says="code:Account",
    ),
    "a renamed server": Case(
        SERVER, {"Bank": "Till"}, "moved", "moved", ["--rename", "code:Bank", "code:Till"],
        "{'cents': 12}",
    ),
    "the same state machine": Case(STATEM, {}, SHUT, SHUT),
    "a renamed field of its data": Case(
        STATEM, PENCE, "migrate", "migrate", ["--rename", "code:Box.cents", "pence"],
        SHUT.replace("cents", "pence"), says="state.data.cents",
    ),
    "a renamed state machine": Case(
        STATEM, {"Till": "Desk"}, "moved", "moved", ["--rename", "code:Till", "code:Desk"], SHUT,
    ),
    "a mended state function": Case(
        STATEM, {"+ int(event.content)": "+ 2 * int(event.content)"}, "differs", SHUT, AS_NEW,
        SHUT.replace("12", "19"), says="record",
    ),
    "the same manager": Case(MANAGER, {}, "[('sum', ['5', '7'])]", "[('sum', ['5', '7'])]"),
    "a renamed manager": Case(
        MANAGER, {"Bus": "Log"}, "moved", "moved", ["--rename", "code:Bus", "code:Log"],
        "[('sum', ['5', '7'])]",
    ),
    "another type": Case(
        SERVER, {"dict[str, int]": "dict[str, str]"}, "migrate", "migrate",
        {"dict[str, str]": "dict[str, int]"}, "{'cents': 12}", says="state['cents']",
    ),
    "a partial": Case(WRAPPED, {}, TWELVE, TWELVE),
    "a lambda": Case(LAMBDA, {}, "['5', '7']", "['5', '7']"),
    "an object that is called": Case(CALLED, {}, "['5', '7']", "['5', '7']"),
    "a partial of what was called so": Case(
        ACCOUNT, {"step=step": "step=functools.partial(step)"}, TWELVE, TWELVE
    ),
    "a version without migrate, taken": Case(
        ACCOUNT, {"StateMachine(step=step,": STEP2}, "migrate", "migrate", AS_NEW, TWELVE,
        says="version 2",
    ),
    "a version without migrate, undone": Case(
        ACCOUNT, {"StateMachine(step=step,": STEP2}, "migrate", "migrate",
        {STEP2: "StateMachine(step=step,"}, TWELVE,
    ),
    "a version back": Case(
        ACCOUNT.replace("StateMachine(step=step,", STEP2), {STEP2: "StateMachine(step=step,"},
        "migrate", "migrate", {"StateMachine(step=step,": STEP2}, TWELVE, says="version 1",
    ),
    "a migrate that raises": Case(
        ACCOUNT, {"StateMachine(step=step,": MIGRATE + "state['no'],"}, "migrate", "migrate",
        {"state['no']": "Account(**state)"}, TWELVE, says="KeyError",
    ),
    "a restore that raises": Case(
        ACCOUNT, {MACHINE: MACHINE + " restore=lambda name, args, saved: 1 // 0,"}, "restore",
        "restore", {" restore=lambda name, args, saved: 1 // 0,": ""}, TWELVE,
        says="ZeroDivisionError",
    ),
    "a member of a union gone": Case(
        PHASES, {"Idle | Busy": "Idle", "Busy(Kind.B, int(message))": "Idle(Kind.B)"},
        "migrate", "migrate", ["--forget"], "Idle(kind=<Kind.A: 1>)", says="state",
    ),
    "another class of the same fields": Case(
        PHASES, {"return Busy(Kind.B, int(message))": "return Idle(Kind.B)",
                 "class Idle:\n    kind: Kind": "class Idle:\n    kind: Kind\n    n: int = 7",
                 "Idle(Kind.A)": "Idle(Kind.A, 0)"},
        "differs", "Busy(kind=<Kind.B: 2>, n=7)", ["--from-saved"], "Busy(kind=<Kind.B: 2>, n=5)",
    ),
    "a member of an enum renumbered": Case(
        PHASES, {"A = 1\n    B = 2": "B = 1\n    A = 2"}, "migrate", "migrate",
        {"B = 1\n    A = 2": "A = 1\n    B = 2"}, "Busy(kind=<Kind.B: 2>, n=7)", says="state.kind",
    ),
    "forgotten": Case(
        ACCOUNT, PENCE, "migrate", "migrate", ["--forget"], "Account(owner='ann', pence=0)"
    ),
    "a renamed worker": Case(
        ACCOUNT, {}, "renamed", "renamed", ["--rename", "w", "v"], TWELVE,
        tree={"worker: w,": "worker: v,"}, says="--rename w v",
    ),
    "consent to begin anew": Case(
        ACCOUNT, {"StateMachine(step=step,": STEP2}, "Account(owner='ann', cents=0)",
        "Account(owner='ann', cents=0)",
        tree={'code.py:machine", persist': 'code.py:machine", on_unrecoverable: init, persist'},
    ),
}  # fmt: skip
"""Each runs twice, killed and stopped in order."""


def edited(text: str, edits: dict[str, str]) -> str:
    """A text with others in the place of some."""
    for old, new in edits.items():
        assert old in text, f"{old!r} is not there"
        text = text.replace(old, new)
    return text


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Start the tree of a folder, make its calls, and say what it came to."""
    folder = Path(job["folder"])
    spec = load_tree(folder / "tree.yaml")
    names = [child.id for child in spec.children]
    clock = ManualClock(float(job["at_s"]))
    store = FolderStore(folder / "data")
    try:
        node = Node(spec, store=store, clock=clock, guard=False).start()
    except SsmError as error:
        store.close()
        return {"error": str(error)}
    clock.advance_s(60.0)
    node.run(0.0)
    said: dict[str, Any] = {"answers": [], "states": {}, "messages": {}}
    for worker, line in job["calls"]:
        said["answers"].append(node.call(worker, line.encode()).decode())
    for name in names:
        try:
            said["states"][name] = repr(node.get_state(name))
        except SsmError as error:
            said["messages"][name] = str(error)
    said["events"] = [report.event for report in node.reports()]
    if job["stop"]:
        node.stop()
        store.close()
    else:
        KEPT.append((node, store))  # until the process is killed
    return said


KEPT: list[Any] = []


def main() -> None:
    """Run the jobs on standard input; killed at the end where they are not stopped in order."""
    jobs = json.load(sys.stdin)
    print(json.dumps([run(job) for job in jobs]), flush=True)
    if KEPT:
        os.kill(os.getpid(), signal.SIGKILL)
