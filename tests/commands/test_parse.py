from __future__ import annotations

import doctest

import pytest

from ssm_cli.commands import parse, verbs
from ssm_cli.commands.parse import MAX_LINE, Command, parse_line, parse_words
from ssm_cli.errors import CommandError

WORKERS = ("kv1", "kv2", "tree")


def refusal(line: str) -> tuple[int, str]:
    with pytest.raises(CommandError) as caught:
        parse_line(line, WORKERS)
    return caught.value.column, str(caught.value)


def arguments(line: str) -> dict[str, str]:
    command = parse_line(line, WORKERS)
    assert command is not None
    return command.arguments


def test_the_examples_in_the_docstrings_hold() -> None:
    for module in (parse, verbs):
        assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("line", ["", "   ", "\n", "# call kv2", "  # indented"])
def test_a_blank_line_and_a_comment_are_no_command(line: str) -> None:
    assert parse_line(line, WORKERS) is None


def test_the_input_is_the_rest_of_the_line_as_it_stands() -> None:
    assert arguments('call kv2   Store  "a  key" -o # 1 ') == {
        "worker": "kv2",
        "input": 'Store  "a  key" -o # 1 ',
    }


@pytest.mark.parametrize(
    ("written", "group"),
    [
        ("tea", "tea"),
        ('"te a"', "te a"),
        ("'te  a'", "te  a"),
        ('"tea"', "tea"),
        ('"te\'s a"', "te's a"),
        ('te"a', 'te"a'),
    ],
)
def test_a_group_may_stand_in_quotes_as_its_name_may_have_blanks(written: str, group: str) -> None:
    said = 'Heard "a b"  x -o'
    assert arguments(f"publish {written} {said}") == {"group": group, "input": said}
    assert arguments(f"members {written}") == arguments(f"lookup {written}") == {"group": group}
    from_a_shell = parse_words(["publish", group, said], WORKERS)
    assert from_a_shell.arguments == {"group": group, "input": said}


def test_a_group_whose_quotes_do_not_end_leaves_no_input() -> None:
    assert "`publish` needs an INPUT" in refusal('publish "te a Heard x')[1]


def test_a_line_that_begins_with_a_worker_is_a_call_to_it() -> None:
    assert parse_line("kv2 Store x 1\r\n", WORKERS) == Command(
        "call", {"worker": "kv2", "input": "Store x 1"}
    )
    assert arguments("root/storage/kv2 Lookup x")["worker"] == "root/storage/kv2"


def test_a_verb_wins_over_a_worker_of_its_name() -> None:
    assert parse_line("tree", WORKERS) == Command("tree")
    assert arguments("call tree Lookup x")["worker"] == "tree"


def test_a_call_to_a_worker_that_is_not_there_is_a_command_all_the_same() -> None:
    assert arguments("call kv9 Store x 1")["worker"] == "kv9"


def test_options_stand_anywhere_but_in_an_input() -> None:
    assert parse_line("tree -o json", WORKERS) == Command("tree", output="json")
    assert parse_line("log -n 5 -o json", WORKERS) == Command("log", output="json", last=5)
    assert parse_line("state kv2 -o json", WORKERS) == parse_line("state -o json kv2", WORKERS)
    assert parse_line("call --timeout 0.5 -o json kv2 Add -n 1", WORKERS) == Command(
        "call", {"worker": "kv2", "input": "Add -n 1"}, output="json", timeout_s=0.5
    )


def test_two_dashes_end_the_options() -> None:
    assert arguments("state -- -odd")["worker"] == "-odd"
    assert arguments("call -- kv2 -- Lookup") == {"worker": "kv2", "input": "-- Lookup"}


def test_words_of_an_argument_list_mean_what_a_line_means() -> None:
    assert parse_words(["call", "kv2", "Store x 1"], ()) == parse_line("call kv2 Store x 1", ())
    assert parse_words(["call", "kv2", "Store", "x", "1"], ()).arguments["input"] == "Store x 1"
    assert parse_words(["kv2", "Lookup x"], WORKERS) == parse_line("kv2 Lookup x", WORKERS)


def test_an_empty_word_is_an_empty_input() -> None:
    assert parse_words(["call", "kv2", ""], ()).arguments["input"] == ""


def test_aliases_name_the_same_verb() -> None:
    assert parse_line("exit", ()) == parse_line("quit", ()) == Command("quit")


@pytest.mark.parametrize(
    ("line", "column", "says"),
    [
        ("  cal kv2 x", 3, "did you mean `call`?"),
        ("kv3 Store", 1, "did you mean `kv2`?"),
        ("@@@", 1, "`help` lists the commands"),
        ("call", 5, "needs a WORKER"),
        ("call kv2", 9, "needs an INPUT"),
        ("call kv2   ", 9, "write `call WORKER INPUT`"),
        ("kv2", 4, "needs an INPUT"),
        ("state kv2 kv1", 11, "takes no `kv1`"),
        ("tree -o xml", 9, "one of text, json, jsonl, dot"),
        ("tree -o", 8, "needs FORMAT"),
        ("state -o dot kv2", 10, "one of text, json, jsonl"),
        ("tree -x", 6, "has no option `-x`; it has -o"),
        ("log -n five", 8, "a number from 0, not `five`"),
        ("log -n -5", 8, "a number from 0, not `-5`"),
        ("log -n 1000000000", 8, "a number below 1,000,000,000, not `1000000000`"),
        ("call --timeout nan kv2 Lookup x", 16, "a number from 0, not `nan`"),
        ("trace kv2 maybe", 11, "expected `on` or `off`, got `maybe`"),
        ("quit now", 6, "takes no `now`"),
        ("delete-child root", 18, "needs an ID"),
    ],
)
def test_a_mistake_is_named_with_its_column_and_what_to_do(
    line: str, column: int, says: str
) -> None:
    where, message = refusal(line)
    assert (where, says in message) == (column, True), message


def test_no_word_at_all_is_refused() -> None:
    with pytest.raises(CommandError, match="no command given"):
        parse_words([], ())


def test_a_line_beyond_the_bound_is_refused() -> None:
    with pytest.raises(CommandError, match="at most"):
        parse_line("x" * (MAX_LINE + 1), ())


def test_every_verb_has_help_and_is_found_by_its_help_name() -> None:
    page = "\n".join(verbs.help_lines())
    for verb in verbs.TABLE:
        assert verb.usage in page
        assert verbs.help_lines(verb.name)[0].startswith(verb.usage)


@pytest.mark.parametrize(
    "typed",
    [
        'adopt kv1 --why "counted twice" --yes',
        "adopt kv1 --why 'counted twice' --yes",
        "adopt kv1 --why counted twice --yes",
        'adopt --yes --why "counted twice" -- kv1',
    ],
)
def test_a_reason_has_as_many_words_as_it_needs(typed: str) -> None:
    given = parse_line(typed, ["kv1"])
    assert given is not None
    assert given.arguments == {"worker": "kv1", "why": "counted twice", "sure": "yes"}
    assert parse_words(["adopt", "kv1", "--why", "counted twice", "--yes"], ["kv1"]) == given
