from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from ssm_cli.machines.kv import kv_store
from ssm_cli.repl.prompt.complete import LineCompleter, LineLexer, LineReader
from ssm_cli.repl.prompt.line import Line, read_line
from ssm_cli.repl.prompt.reading import read
from ssm_cli.repl.shell.names import OFFERED, Names, Workers
from ssm_cli.runtime.clock import ManualClock
from ssm_cli.runtime.node import Node
from ssm_cli.spec.load import load_tree
from ssm_cli.spec.model import Supervisor, Worker
from tests.repl.conftest import kv_tree, many_workers

NAMES = Names(kv_tree().start())


def offered(text: str, *, anywhere: bool = False) -> list[str]:
    return [candidate.text for candidate in read_line(text, NAMES, anywhere=anywhere).candidates]


def wrong(text: str) -> str:
    """The problem of a line with the stretch that is wrong; empty if more typing may help."""
    problem = read_line(text, NAMES).problem
    if problem is None or not problem.wrong:
        return ""
    return f"{text[problem.start : problem.end]}: {problem.message}"


def lit(line: Line) -> list[str]:
    return [part.strip() for part, marked in line.signature if marked]


def completions(text: str, *, asked: bool) -> list[tuple[str, str, int]]:
    completer = LineCompleter(LineReader(NAMES))
    event = CompleteEvent(completion_requested=asked)
    found = completer.get_completions(Document(text, len(text)), event)
    return [(one.text, one.display_meta_text, one.start_position) for one in found]


@pytest.mark.parametrize(
    ("text", "candidates"),
    [
        ("sus", ["suspend"]),
        ("kv", ["kv1", "kv2", "kv3"]),
        ("call kv", ["kv1", "kv2", "kv3"]),
        ("call ", ["kv1", "kv2", "kv3"]),
        ("kv2 ", ["Store", "Lookup"]),
        ("kv2 L", ["Lookup"]),
        ("cast kv2 St", ["Store"]),
        ("call --timeout 3 kv2 St", ["Store"]),
        ("which-children st", ["storage"]),
        ("restart-child storage ", ["kv2", "kv3"]),
        ("kill ", ["kv1", "kv2", "kv3", "root", "storage"]),
        ("trace kv1 o", ["on", "off"]),
        ("tree -", ["-o", "--at", "--in"]),
        ("log --l", ["--last"]),
        ("tree -o j", ["json", "jsonl"]),
        ("help which", ["which-children"]),
        ("tree -o json x", []),
        ("bogus ", []),
        ("# kv", []),
    ],
)
def test_the_word_being_typed_may_go_on_as(text: str, candidates: list[str]) -> None:
    assert offered(text) == candidates


def test_names_with_the_letters_of_the_word_in_its_order_are_offered_last_when_asked_for() -> None:
    workers = [Worker(name, kv_store) for name in ("session-00042", "s42", "kv42s", "ses42")]
    names = Names(Node(Supervisor("root", children=workers)).start())
    assert names.matching("worker", "s42", anywhere=True) == ["s42", "ses42", "session-00042"]
    assert names.matching("worker", "s42", anywhere=False) == ["s42"]


def test_names_that_contain_the_word_are_offered_when_asked_for() -> None:
    assert offered("call v2") == []
    assert offered("call v2", anywhere=True) == ["kv2"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("kv9 ", "kv9: `kv9` is neither a command nor a worker; did you mean `kv1`?"),
        ("call kv9 Store", "kv9: no worker `kv9`; did you mean `kv3`?"),
        ("which-children kv1 ", "kv1: no supervisor `kv1`"),
        ("kv2 Store x a ", "a: Store: value: expected an integer, got `a`"),
        ("tree -o xml ", "xml: `-o` takes one of text, json, jsonl, dot, not `xml`"),
        ("tree extra ", "extra: `tree` takes no `extra`; write `tree`"),
    ],
)
def test_what_is_wrong_is_told_with_the_word_that_is(text: str, problem: str) -> None:
    assert wrong(text).startswith(problem.removesuffix("`kv1`?").removesuffix("`kv3`?"))


@pytest.mark.parametrize(
    "text",
    [
        "k",
        "kv",
        "ca",
        "call",
        "call ",
        "call k",
        "call kv2",
        "kv2 St",
        "kv2 Store x",
        "kv2 Store x -",
    ],
)
def test_a_line_that_can_still_become_a_command_is_not_called_wrong(text: str) -> None:
    assert wrong(text) == ""


@pytest.mark.parametrize(
    ("text", "current"),
    [
        ("call ", ["WORKER"]),
        ("call kv2", ["WORKER"]),
        ("call kv2 Store ", ["key: str"]),
        ("kv2 Store x ", ["value: int"]),
        ("kv2 Store value=1 ", ["key: str"]),
        ("kv2 Store x 1 ", []),
        ("at ", ["RECORD|TIME|crash|FORK"]),
        ("diff 1 ", ["[B]"]),
    ],
)
def test_the_signature_marks_what_is_being_typed(text: str, current: list[str]) -> None:
    assert lit(read_line(text, NAMES)) == current


def test_an_empty_line_offers_nothing_unless_asked() -> None:
    assert completions("", asked=False) == []
    asked = [text for text, _, _ in completions("", asked=True)]
    assert asked[0] == "call"
    assert asked[-3:] == ["kv1", "kv2", "kv3"]


def test_a_constructor_is_offered_with_its_signature() -> None:
    assert completions("kv2 Sto", asked=False) == [("Store", "(key: str, value: int)", -3)]


def test_what_is_complete_is_not_offered_again_while_typing() -> None:
    assert completions("call kv2", asked=False) == []


def test_a_known_word_is_coloured_and_a_wrong_one_marked() -> None:
    lexer = LineLexer(LineReader(NAMES))
    fragments = lexer.lex_document(Document("call kv2 Store x a "))(0)
    assert "".join(text for _, text, *_ in fragments) == "call kv2 Store x a "
    styles = {text: style for style, text, *_ in fragments}
    assert "verb" in styles["c"]
    assert "input" in styles["S"]
    assert fragments[17][0] == "class:wrong"


def test_a_worker_may_be_given_by_its_path() -> None:
    assert wrong("call root/storage/kv2 Store x 1") == ""
    assert offered("call root/storage/kv2 Sto") == ["Store"]


def test_a_menu_has_a_bound_and_finds_its_names_by_bisection() -> None:
    names = Names(many_workers(5_000).start())
    assert names.matching("worker", "w04", anywhere=False)[0] == "w0400"
    assert len(names.matching("worker", "w", anywhere=False)) == OFFERED
    assert len(names.matching("worker", "0", anywhere=True)) == OFFERED
    assert names.has("worker", "w4999")
    assert not names.has("worker", "w5000")


def test_the_grammar_sees_every_worker_but_is_handed_only_near_ones() -> None:
    workers = Workers(Names(many_workers(5_000).start()), "w")
    assert len(workers) == 5_000
    assert "w4999" in workers
    assert len(list(workers)) == OFFERED


def test_an_unknown_worker_has_no_constructors_and_an_unknown_supervisor_no_children() -> None:
    assert NAMES.constructors("kv9") == ()
    assert NAMES.children("kv9") == []


def test_names_are_asked_for_again_once_they_are_forgotten() -> None:
    node = kv_tree().start()
    names = Names(node)
    before = names.all("worker")
    assert names.all("worker") is before
    names.forget()
    assert names.all("worker") is not before


@given(st.text(alphabet="kvcalltreeStoreLookup-o0123456789 =\"'[]{}#/\\\x1b\u4e2d", max_size=60))
def test_any_line_can_be_read(text: str) -> None:
    line = read_line(text, NAMES, anywhere=True)
    assert 0 <= line.start <= len(text)
    assert all(0 <= token.start <= token.end <= len(text) for token in line.tokens)
    lexed = LineLexer(LineReader(NAMES)).lex_document(Document(text))(0)
    assert "".join(fragment[1] for fragment in lexed) == text


# --- what a prompt adds to a command --------------------------------------------------------------


def reading(text: str) -> Line:
    return read(text, NAMES, {"look": "kv1 Lookup", "l": "log -n"})


@pytest.mark.parametrize(
    ("text", "stretch"),
    [
        ("time kv1 Store x a ", "a"),
        ("watch kv1 Store x a ", "a"),
        ("time time kv1 Store x a ", "a"),
        ("look x y ", "y"),
        ("kv1 Stor | grep x", "Stor"),
        ("sort nothing ", "nothing"),
    ],
)
def test_what_is_wrong_inside_is_marked_at_its_own_place(text: str, stretch: str) -> None:
    problem = reading(text).problem
    assert problem is not None
    assert problem.wrong
    assert text[problem.start : problem.end] == stretch


@pytest.mark.parametrize(
    "text",
    [
        "kv1 Store x $1", "kv1 Store x $1.value", "kv1 Lookup x | grep 1", "tree > file",
        "look x", "l 5", "look", "time kv1 Lookup x", "ui plain", "filter x", "freeze", "edit kv1",
    ],
)  # fmt: skip
def test_what_the_prompt_takes_is_not_called_wrong(text: str) -> None:
    problem = reading(text).problem
    assert problem is None or not problem.wrong, problem


@pytest.mark.parametrize(
    ("text", "candidates"),
    [
        ("time ca", ["call", "cast"]),
        ("ui p", ["plain"]),
        ("sort r", ["restarts", "rate"]),
        ("loo", ["lookup", "look"]),
        ("look ", []),
        ("kv1 Lookup x | gr", []),
        ("open st", ["storage"]),
    ],
)
def test_inside_it_goes_on_as_it_would_outside(text: str, candidates: list[str]) -> None:
    assert [candidate.text for candidate in reading(text).candidates] == candidates


@given(st.lists(st.sampled_from(["time", "look", "l", "|", ">", "$1", "kv1", "Store", '"', "x"])))
def test_any_line_of_a_prompt_can_be_read(words: list[str]) -> None:
    text = " ".join(words)
    line = reading(text)
    assert all(0 <= token.start <= token.end <= len(text) for token in line.tokens)
    assert line.problem is None or 0 <= line.problem.start <= line.problem.end


def test_a_path_goes_on_with_the_parts_of_the_workers_state() -> None:
    with Node(load_tree("trees/kv.yaml"), clock=ManualClock()) as node:
        node.replace_state("kv2", lambda _: {"held": 1, "holds": 2, "a b": 3})
        names = Names(node)
        line = read_line("blame kv2 ho", names)
        assert [candidate.text for candidate in line.candidates] == ["holds"]
        assert names.parts("kv2", "") == ["held", "holds"]
        assert names.parts("kv2", "held.x") == []
        assert names.parts("kv9", "") == []
        node.replace_state("kv2", lambda _: {"new": 1})
        names.forget_states()
        assert names.parts("kv2", "n") == ["new"]


@pytest.mark.parametrize("text", ["edit 2 Store x 1", "edit 2 ", "without 2 3", "without "])
def test_an_input_of_a_record_is_not_that_of_a_worker_whose_name_is_known(text: str) -> None:
    assert wrong(text) == ""
