from __future__ import annotations

import importlib
import subprocess
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass, field, make_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntFlag
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest

from ssm_cli import StateMachine
from ssm_cli.behaviour.dispatch import Kind, behaviour_of
from ssm_cli.history.layout import COLUMNS
from ssm_cli.history.pytest_file import pytest_file, python_of
from ssm_cli.history.shrink import Shrunk, Unshrunk, shrink
from ssm_cli.history.trials import Broken, CrashPlace, Goal, SameCrash, Trial, crash_goal, own_run
from ssm_cli.spec.importing import OURS, load_file

DEADLINE_S = 120.0  # a bound for a machine under load; nothing waits for it

LEDGER = '''
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Hold:
    """Hold an amount."""

    hold: str
    account: str
    amount: int = 0


@dataclass(frozen=True)
class Release:
    """Let it go."""

    hold: str


@dataclass(frozen=True)
class State:
    held: dict[str, int] = field(default_factory=dict)
    holds: dict[str, tuple[str, int]] = field(default_factory=dict)


def step(message, state):
    if isinstance(message, Hold):
        held = state.held.get(message.account, 0) + message.amount
        holds = {**state.holds, message.hold: (message.account, message.amount)}
        return State({**state.held, message.account: held}, holds), "ok"
    account, amount = state.holds[message.hold]
    left = state.held[account] - amount * 2
    if left < 0:
        raise ArithmeticError(f"{account}: {left} held")
    return State({**state.held, account: left}, state.holds), "ok"
'''
MENDED = ("amount * 2", "amount")

BANK = """
from ssm_cli import GenServer, NoReply, Ok, Reply


class Bank(GenServer):
    def init(self, name, args):
        return Ok(0)

    def handle_call(self, message, caller, state):
        if state + message < 0:
            raise ValueError("overdrawn")
        return Reply(state + message, state + message)

    def handle_cast(self, message, state):
        return NoReply(state + message)

    def handle_info(self, message, state):
        return NoReply(state * 2)
"""


def run_pytest(folder: Path, *files: str) -> subprocess.CompletedProcess[str]:
    """`pytest` alone, on a file, in a process that has nothing of ours."""
    return subprocess.run(
        [Path(sys.executable).parent / "pytest", "-q", "-p", "no:cacheprovider", *files],
        cwd=folder, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip


def run_here(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test of a file in this process, which is quicker, without what a tree has loaded."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "modules", {n: m for n, m in sys.modules.items() if OURS not in n})
    names: dict[str, Any] = {"__file__": str(folder / "test_it.py")}
    exec(compile(text, "test_it.py", "exec"), names)  # noqa: S102 - that it runs is what is claimed
    (test,) = (value for name, value in names.items() if name.startswith("test_"))
    test()


def shrunk_of(behaviour: Any, state: Any, inputs: list[Any], goal: Goal | None = None) -> Shrunk:
    """The result for inputs, the last of which crashes; they are (kind, message) or messages."""
    behaviour = behaviour_of(behaviour)
    given = [one if isinstance(one, tuple) else (Kind.CALL, one) for one in inputs]
    run, now = own_run(behaviour), state
    try:
        for kind, message in given:
            now = run(now, kind, message).state
    except Exception as error:  # noqa: BLE001 - that is what it is tried for
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
        goal = crash_goal(error)
    assert goal is not None
    found = shrink(Trial(behaviour, state, given, goal))
    assert isinstance(found, Shrunk), found
    return found


def written(shrunk: Shrunk, folder: Path, worker: str = "ledger") -> str:
    text = pytest_file(shrunk, worker, folder)
    assert isinstance(text, str), text
    (folder / "test_it.py").write_text(text, encoding="utf-8")
    return text


def ledger_in(folder: Path) -> tuple[Path, Shrunk]:
    path = folder / "ledger.py"
    path.write_text(LEDGER, encoding="utf-8")
    module = load_file(path)
    inputs = [
        *(module.Hold(str(n), f"acc{n % 3}", n) for n in range(30)),
        module.Release("29"),
        module.Release("26"),
        module.Release("23"),
    ]
    return path, shrunk_of(StateMachine(step=module.step), module.State(), inputs)


def test_the_test_fails_as_the_worker_did_and_passes_once_that_is_mended(tmp_path: Path) -> None:
    path, shrunk = ledger_in(tmp_path)
    written(shrunk, tmp_path)
    failed = run_pytest(tmp_path, "test_it.py")
    assert failed.returncode == 1
    assert "ArithmeticError" in failed.stdout
    path.write_text(LEDGER.replace(*MENDED), encoding="utf-8")
    assert run_pytest(tmp_path, "test_it.py").returncode == 0


def test_it_reads_well_and_has_one_step_a_line_and_nothing_of_ours(tmp_path: Path) -> None:
    _, shrunk = ledger_in(tmp_path)
    text = written(shrunk, tmp_path)
    assert text.endswith(
        "def test_ledger_arithmetic_error_in_step():\n"
        "    state = State()\n"
        '    state, *_ = step(Hold("a", "a", 1), state)\n'
        '    state, *_ = step(Release("a"), state)\n'
    )
    assert 'ledger = load(Path(__file__).resolve().parent / "ledger.py")' in text
    assert "ssm" not in text


def test_it_goes_where_its_module_goes(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    _, shrunk = ledger_in(here)
    written(shrunk, here)
    here.rename(there)
    assert "ArithmeticError" in run_pytest(there, "test_it.py").stdout


def test_without_a_folder_its_paths_are_absolute(tmp_path: Path) -> None:
    path, shrunk = ledger_in(tmp_path)
    text = pytest_file(shrunk, "ledger")
    assert isinstance(text, str)
    assert f'Path("{path.resolve()}")' in text


@pytest.mark.parametrize("stem", ["my-ledger", "queue", "class", "päckchen", "state", "sys", 'a"b'])
def test_a_module_of_any_file_name_is_loaded(
    tmp_path: Path, stem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"{stem}.py"
    path.write_text(LEDGER, encoding="utf-8")
    module = load_file(path)
    inputs = [module.Hold("1", "a", 1), module.Release("1")]
    shrunk = shrunk_of(StateMachine(step=module.step), module.State(), inputs)
    with pytest.raises(ArithmeticError):
        run_here(written(shrunk, tmp_path), tmp_path, monkeypatch)


OF_A_TREE = """
from ssm_cli import Node, load_tree


def test_the_books_are_kept():
    from ledger import Hold

    with Node(load_tree("tree.yaml")) as node:
        assert node.call("books", Hold("h", "a", 1)) == "ok"
"""
MACHINE = """

from ssm_cli import StateMachine

books = StateMachine(step=step, init=lambda name, args: State(), inputs=Hold | Release)
"""


@pytest.mark.parametrize("files", [("test_it.py", "test_tree.py"), ("test_tree.py", "test_it.py")])
def test_the_file_of_the_worker_is_one_module_for_all_tests_of_a_session(
    files: tuple[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "ledger.py"
    path.write_text(LEDGER + MACHINE, encoding="utf-8")
    tree = "supervisor: bank\nchildren:\n  - worker: books\n    start: ./ledger.py:books\n"
    (tmp_path / "tree.yaml").write_text(tree, encoding="utf-8")
    (tmp_path / "test_tree.py").write_text(OF_A_TREE, encoding="utf-8")
    module = load_file(path)
    inputs = [module.Hold("1", "a", 1), module.Release("1")]
    written(shrunk_of(module.books, module.State(), inputs), tmp_path)
    said = run_pytest(tmp_path, *files).stdout
    assert "1 failed, 1 passed" in said, said
    assert "ArithmeticError" in said


def test_two_workers_of_one_file_name_are_two_modules_in_a_session(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        written(ledger_in(tmp_path / name)[1], tmp_path / name)
        (tmp_path / name / "test_it.py").rename(tmp_path / name / f"test_{name}.py")
    path = tmp_path / "there" / "ledger.py"
    path.write_text(LEDGER.replace(*MENDED), encoding="utf-8")
    said = run_pytest(tmp_path, "here/test_here.py", "there/test_there.py").stdout
    assert "1 failed, 1 passed" in said, said


def test_a_module_that_cannot_be_loaded_leaves_none_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, shrunk = ledger_in(tmp_path)
    text = written(shrunk, tmp_path)
    path.write_text("raise OSError('away')", encoding="utf-8")
    with pytest.raises(OSError, match="away"):
        run_here(text, tmp_path, monkeypatch)
    assert not [name for name in sys.modules if name.startswith("ledger")]


def test_the_helper_of_a_worker_is_one_module_in_the_test_too(tmp_path: Path) -> None:
    messages, _, rest = LEDGER.partition("def step(")
    (tmp_path / "ledger_words.py").write_text(messages, encoding="utf-8")
    path = tmp_path / "ledger.py"
    path.write_text(f"from ledger_words import *\n\ndef step({rest}", encoding="utf-8")
    module = load_file(path)
    inputs = [module.Hold("1", "a", 1), module.Release("1")]
    text = written(shrunk_of(StateMachine(step=module.step), module.State(), inputs), tmp_path)
    assert "from ledger_words import Hold, Release, State" in text
    assert "ArithmeticError" in run_pytest(tmp_path, "test_it.py").stdout


def test_a_module_of_a_package_is_imported_from_its_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shop_17b" / "workers"
    folder.mkdir(parents=True)
    for package in (folder, folder.parent):
        (package / "__init__.py").touch()
    (folder / "ledger.py").write_text(f"from .other import AMOUNT\n{LEDGER}", encoding="utf-8")
    (folder / "other.py").write_text("AMOUNT = 1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("shop_17b.workers.ledger")
    inputs = [module.Hold("1", "a", 1), module.Release("1")]
    tests = tmp_path / "tests"
    tests.mkdir()
    written(shrunk_of(StateMachine(step=module.step), module.State(), inputs), tests)
    assert "ArithmeticError" in run_pytest(tests, "test_it.py").stdout
    mended = (folder / "ledger.py").read_text(encoding="utf-8").replace(*MENDED)
    (folder / "ledger.py").write_text(mended, encoding="utf-8")
    assert run_pytest(tests, "test_it.py").returncode == 0


def test_a_server_is_asked_by_its_callbacks(tmp_path: Path) -> None:
    path = tmp_path / "bank.py"
    path.write_text(BANK, encoding="utf-8")
    module = load_file(path)
    inputs = [(Kind.CAST, -3), (Kind.INFO, None), (Kind.CALL, -2), (Kind.CALL, -9)]
    text = written(shrunk_of(module.Bank, 5, inputs), tmp_path, "till")
    assert "state = server.handle_call(" in text
    assert "ValueError" in run_pytest(tmp_path, "test_it.py").stdout
    path.write_text(BANK.replace("state + message < 0", "False"), encoding="utf-8")
    assert run_pytest(tmp_path, "test_it.py").returncode == 0


def test_a_broken_rule_is_asserted(tmp_path: Path) -> None:
    path = tmp_path / "ledger.py"
    path.write_text(LEDGER.replace("if left < 0", "if False"), encoding="utf-8")
    module = load_file(path)
    goal = Broken(lambda state: state.held["a"] < 0, "state.held.a < 0")
    inputs = [module.Hold("1", "a", 1), module.Hold("2", "b", 9), module.Release("1")]
    shrunk = shrunk_of(StateMachine(step=module.step), module.State(), inputs, goal)
    text = written(shrunk, tmp_path)
    assert text.endswith('    assert not (state.held["a"] < 0)\n')
    assert "assert not" in run_pytest(tmp_path, "test_it.py").stdout
    path.write_text(LEDGER.replace(*MENDED), encoding="utf-8")
    assert run_pytest(tmp_path, "test_it.py").returncode == 0


def test_a_rule_that_asks_for_the_input_is_refused() -> None:
    shrunk = Shrunk(
        StateMachine(step=module_step), 0, ((Kind.CALL, 1),),
        Broken(lambda state: True, 'kind == "x" and state > 0'), 1, True, 1, 1, 1, True,
    )  # fmt: skip
    refused = pytest_file(shrunk, "w")
    assert isinstance(refused, Unshrunk)
    assert "`kind`" in refused.why


def test_a_step_that_runs_away_ends_the_test_all_the_same() -> None:
    goal = SameCrash("StepTimeout")
    shrunk = Shrunk(
        StateMachine(step=module_step), 0, ((Kind.CALL, 1),), goal, 0, True, 1, 1, 1, True
    )
    text = pytest_file(shrunk, "w")
    assert isinstance(text, str)
    assert "faulthandler.dump_traceback_later(10, exit=True)" in text


class Colour(Enum):
    RED = "red"


class Rights(IntFlag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: int = 0


class Tagged(str):
    __slots__ = ()


@dataclass(frozen=True)
class Account:
    name: str
    amount: Decimal = Decimal(0)
    tags: list[str] = field(default_factory=list)
    note: str | None = None


class Order(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    lines: tuple[Account, ...] = ()


class Outer:
    class Inner(msgspec.Struct, frozen=True):
        value: Any


class Checked(msgspec.Struct):
    value: int

    def __post_init__(self) -> None:
        self.value += 1


class Bare:
    pass


Hostile = make_dataclass("Hostile", [("plain", int), ("größe", int)])
Keyword = msgspec.defstruct("Keyword", [("class", int), ("import", str)], module=__name__)
Hostile.__module__ = __name__


def module_step(message: Any, state: Any) -> Any:
    raise RuntimeError("always")


VALUES = [
    None, True, ..., 0, -17, 10**39, -(10**80), 10**6000, 1.5, -0.0, float("inf"), float("-inf"),
    1 + 2j, complex(float("inf"), -0.0), "", "it's", 'say "x"', "both ' and \"", "line\nline\t\0",
    "\\", "\\'", "\\\"'", "Zoë 漢字 \u202e \ud800", "x" * 300, "it's \"\n" * 50, b"", b"\x00'\"",
    b"y" * 200, bytearray(b"ab"), range(1, 9, 2), (), (1,), (1, 2), [], [[[]]], {}, {1: {2: (3,)}},
    set(), {3, 1, 2}, frozenset(), frozenset({"b", "a"}), {"k" * 60: "v" * 200},
    {(1, "a"): [b"x"]}, deque([1, 2], maxlen=3), deque(), Counter("abba"),
    OrderedDict([("b", 1), ("a", 2)]), defaultdict(list, {"a": [1]}), defaultdict(None, {}),
    Decimal("1.20"), Decimal("NaN").copy_sign(Decimal(1)) and Decimal("Infinity"), Fraction(-1, 3),
    UUID(int=5), Path("/opt/a b"), PurePosixPath("x"), PureWindowsPath("C:/x"), date(2024, 2, 29),
    datetime(2024, 1, 2, 3, 4),  # noqa: DTZ001 - a value like another
    datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=timezone.utc),  # noqa: UP017 - as written
    datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Oslo")), time(23, 59, 1),
    timedelta(), timedelta(days=-1, microseconds=5), timezone(timedelta(hours=2)), Colour.RED,
    Rights.READ, Rights.READ | Rights.WRITE, Point(1), Point(1, 2), Tagged("x"), Account("a"),
    Account("a", Decimal("1.5"), ["x"], "n"), Account("a", note="only"), Order(number=1),
    Order(number=1, lines=(Account("b" * 50), Account("c" * 50, tags=["d" * 30]))), Outer.Inner(1),
    Hostile(1, 2), Keyword(1, "x"), Outer, module_step, {"deep": [{"a": (Account("x"),)}] * 9},
]  # fmt: skip


def module_of(value: Any, folder: Path) -> str:
    shrunk = Shrunk(
        StateMachine(step=module_step), value, ((Kind.CALL, value),),
        SameCrash("RuntimeError", CrashPlace("w.py", "step", "raise RuntimeError", 1)), value, True,
        1, 1, 1, True,
    )  # fmt: skip
    return written(shrunk, folder, "values")


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_is_written_so_that_an_equal_one_of_its_type_comes_back(
    value: Any, tmp_path: Path
) -> None:
    text = module_of(value, tmp_path)
    assert all(len(line) <= COLUMNS for line in text.splitlines())
    before, _, state = text.partition("    state = ")
    state = state.rpartition("    state, *_ = ")[0]
    names: dict[str, Any] = {"__file__": str(tmp_path / "test_it.py")}
    code = f"{before.rpartition('def test')[0]}\nvalue = {state.replace(chr(10) + '    ', chr(10))}"
    exec(code, names)  # noqa: S102 - that it runs is what is claimed
    assert type(names["value"]) is type(value)
    assert names["value"] == value
    if not isinstance(value, int | set | frozenset):
        assert repr(names["value"]) == repr(value), "-0.0 is not 0.0, 1.20 not 1.2"


def test_what_is_written_is_formatted(tmp_path: Path) -> None:
    ruff = Path(sys.executable).parent / "ruff"
    if not ruff.exists():
        pytest.skip("needs ruff, which is in the `dev` extra")
    files = []
    for number, value in enumerate(VALUES):
        module_of(value, tmp_path)
        files.append((tmp_path / "test_it.py").rename(tmp_path / f"test_{number}.py"))
    command: list[Any] = [ruff, "format", "--diff", "--isolated", "--line-length", "100", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    assert not done.stdout, done.stdout[:9000]
    assert done.returncode == 0, done.stderr


def looped() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Bare(), "the state is a tests.history.test_pytest_file.Bare"),
        ({"a": [1, {"b": Bare()}]}, "the state['a'][1]['b'] is a"),
        (Account("x", note=Bare()), "the state.note is a"),  # type: ignore[arg-type]  # on purpose
        (Checked(1), "its fields do not make again"),
        (lambda: 1, "cannot be imported by its name"),
        (looped(), "is too deep, or holds itself"),
        (iter([1]), "cannot be written as Python source"),
    ],
)
def test_a_value_that_has_no_source_is_refused_by_its_place(value: Any, said: str) -> None:
    shrunk = Shrunk(
        StateMachine(step=module_step), value, ((Kind.CALL, 1),), SameCrash("X"), 1, True, 1, 1, 1,
        True,
    )  # fmt: skip
    refused = pytest_file(shrunk, "w")
    assert isinstance(refused, Unshrunk)
    assert said in refused.why


def test_a_step_that_no_module_names_is_refused() -> None:
    shrunk = Shrunk(
        StateMachine(step=lambda m, s: (s, m)), 0, ((Kind.CALL, 1),), SameCrash("X"), 1, True, 1, 1,
        1, True,
    )  # fmt: skip
    refused = pytest_file(shrunk, "w")
    assert isinstance(refused, Unshrunk)
    assert "so that a test can import it" in refused.why


@pytest.mark.parametrize(
    ("rule", "python"),
    [
        ("state.held.acc16 < 0", 'state["held"]["acc16"] < 0'),
        ('state.held["acc16"] < 0', 'state["held"]["acc16"] < 0'),
        ("len(state.held) > 10", 'len(state["held"]) > 10'),
        ('"it\'s" in state.held', '"it\'s" in state["held"]'),
        ("state.point.x == 1", 'state["point"].x == 1'),
    ],
)
def test_a_rule_becomes_python_by_what_the_state_is_made_of(rule: str, python: str) -> None:
    assert python_of(rule, {"held": {"acc16": -1}, "point": Point(1)}) == python


@pytest.mark.parametrize("worker", ['a"""b', "a\\", "é\n", "x" * 300])
def test_any_name_of_a_worker_makes_a_file_that_runs(worker: str, tmp_path: Path) -> None:
    path, shrunk = ledger_in(tmp_path)
    del path
    text = written(shrunk, tmp_path, worker)
    compile(text, "test_it.py", "exec")
    assert all(len(line) <= COLUMNS for line in text.splitlines())
