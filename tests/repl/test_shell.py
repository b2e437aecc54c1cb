from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ssm_cli.codec.port import Constructor, Field
from ssm_cli.commands.results import Result
from ssm_cli.errors import CommandError
from ssm_cli.repl.shell import programs
from ssm_cli.repl.shell.config import (
    TEMPLATE,
    Settings,
    config_path,
    expand,
    load_settings,
    write_template,
)
from ssm_cli.repl.shell.pipeline import Pipeline, split
from ssm_cli.repl.shell.programs import edited, filtered
from ssm_cli.repl.shell.results import KEPT, Results
from ssm_cli.repl.shell.seen import Seen
from ssm_cli.repl.shell.verbs import HERE, Local, parse_here

# --- where output goes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "taken_apart"),
    [
        ("kv2 Lookup x", Pipeline("kv2 Lookup x")),
        ("kv2 Lookup x | sort | uniq", Pipeline("kv2 Lookup x", program="sort | uniq")),
        ("tree > out.txt", Pipeline("tree", file="out.txt")),
        ("tree >>  out.txt", Pipeline("tree", file="out.txt", append=True)),
        ('kv2 Store "a | b > c" 1', Pipeline('kv2 Store "a | b > c" 1')),
        ('kv2 Store "a \\" | b" 1', Pipeline('kv2 Store "a \\" | b" 1')),
        ("kv2 Store a|b 1", Pipeline("kv2 Store a|b 1")),
        ("kv2 Store x>1 1", Pipeline("kv2 Store x>1 1")),
    ],
)
def test_marks_count_between_blanks_and_outside_quotes(line: str, taken_apart: Pipeline) -> None:
    assert split(line) == taken_apart


@pytest.mark.parametrize("line", ["tree |", "tree > ", "tree >>"])
def test_a_mark_with_nothing_behind_it_is_refused_and_says_what_is_missing(line: str) -> None:
    with pytest.raises(CommandError, match="needs a"):
        split(line)


# --- numbered results -------------------------------------------------------------------------


def call(output: str, value: object) -> Result:
    return Result("call", (output,), ({"output": output, "value": value},))


def test_a_result_stands_for_its_output_and_a_field_for_its_value() -> None:
    results = Results()
    assert results.add(call("Result 7", {"type": "Result", "value": 7})) == 1
    results.add(call("hello", "hello"))
    results.add(Result("stats", ("...",), ({"steps": 3, "names": ["a b", "c"]},)))
    said = [
        results.substitute(line)
        for line in (
            "kv1 Store x $1.value",
            "kv1 $1",
            "kv1 Store $2 1",
            "kv1 Store $3.names.0 1",
            "kv1 Store key=$2 value=$3.steps",
            'kv1 Store "$1" 1',
            "kv1 Store a$1 1",
        )
    ]
    assert said == [
        "kv1 Store x 7",
        "kv1 Result 7",
        "kv1 Store hello 1",
        'kv1 Store "a b" 1',
        "kv1 Store key=hello value=3",
        'kv1 Store "$1" 1',
        "kv1 Store a$1 1",
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [("kv1 $9", "there is no result \\$9; there is \\$1 to"), ("kv1 $1.nothing", "it has value")],
)
def test_a_result_that_is_not_there_is_refused_at_its_column(line: str, says: str) -> None:
    results = Results()
    results.add(call("Result 7", {"type": "Result", "value": 7}))
    with pytest.raises(CommandError, match=says) as refused:
        results.substitute(line)
    assert refused.value.column == 5


def test_before_the_first_result_there_is_none() -> None:
    with pytest.raises(CommandError, match="there is none yet"):
        Results().substitute("kv1 $1")


def test_old_results_go() -> None:
    results = Results()
    for number in range(KEPT + 5):
        results.add(call(str(number), number))
    with pytest.raises(CommandError, match="\\$6 to"):
        results.substitute("x $5")
    assert results.substitute("x $6") == "x 5"


# --- verbs of the prompt ----------------------------------------------------------------------


def test_each_verb_of_the_prompt_is_read_and_a_worker_of_its_name_goes_before_it() -> None:
    for verb in HERE:
        word = verb.parameters[0].choices[:1] if verb.parameters else ()
        given = word[0] if word else "x" if verb.parameters else ""
        assert parse_here(f"{verb.name} {given}".strip(), ()) == Local(verb.name, given)
        assert parse_here(f"{verb.name} {given}", (verb.name,)) is None


@pytest.mark.parametrize(
    ("line", "column", "says"),
    [
        ("sort nothing", 6, "expected one of start, name"),
        ("ui", 3, "needs more; write `ui full|inline|plain`"),
        ("freeze now", 8, "takes no `now`"),
        ("log -f | head -1", 8, "`log -f` takes no `|`; write `log -f [NAME]`"),
        ("sort name > x", 11, "`sort` takes no `>`"),
        ("open a b", 8, "takes no `b`"),
        ("  sort", 7, "needs more"),
    ],
)
def test_what_is_wrong_with_a_verb_of_the_prompt_is_said_at_its_column(
    line: str, column: int, says: str
) -> None:
    with pytest.raises(CommandError) as refused:
        parse_here(line, ())
    assert refused.value.column == column
    assert says in str(refused.value)


# --- keys seen before -------------------------------------------------------------------------

STORE = Constructor("Store", (Field("key", "str"), Field("value", "int")))


def test_the_keys_of_inputs_and_replies_are_remembered_the_last_one_first() -> None:
    seen = Seen()
    seen.note_input("kv1", "Store apple 1", (STORE,))
    seen.note_input("kv1", "Store avocado 1", (STORE,))
    seen.note_reply("kv1", {"type": "Keys", "keys": ["cherry", "avocado"]})
    seen.note_reply("kv1", {"melon": {"ripe": 1}})
    assert seen.words("kv1", "a") == ["avocado", "apple"]
    assert set(seen.words("kv1", "")) == {"apple", "avocado", "cherry", "melon", "ripe"}
    assert seen.words("kv2", "") == []


def test_what_would_break_a_menu_is_not_remembered() -> None:
    seen = Seen()
    seen.note_reply("kv1", ["\x1b[2J", "x" * 1000, "a b", ""])
    assert seen.words("kv1", "") == []


# --- programs ---------------------------------------------------------------------------------


def test_a_program_gets_the_output_and_its_own_is_shown_without_a_thread() -> None:
    text, code = asyncio.run(filtered("tr a-z A-Z; exit 3", b"result 1\n"))
    assert (text, code) == ("RESULT 1\n", 3)
    assert threading.enumerate() == [threading.main_thread()]


def test_a_program_that_floods_is_read_up_to_the_bound_and_refused_beyond_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(programs, "OUTPUT_BYTES", 300_000)
    text, code = asyncio.run(filtered("head -c 300000 /dev/zero | tr '\\0' x", b""))
    assert (len(text), code) == (300_000, 0)
    with pytest.raises(CommandError, match="writes more than"):
        asyncio.run(filtered("yes", b""))


def test_a_program_that_is_no_longer_waited_for_is_ended() -> None:
    async def story() -> None:
        task = asyncio.create_task(filtered("exec sleep 1000", b""))
        await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 60)

    asyncio.run(story())


def editor(folder: Path, program: str) -> dict[str, str]:
    script = folder / "editor.py"
    script.write_text(f"import pathlib, sys\nfile = pathlib.Path(sys.argv[1])\n{program}\n")
    return {"EDITOR": f"{sys.executable} {script}"}


def test_what_the_editor_leaves_is_taken(tmp_path: Path) -> None:
    environ = editor(tmp_path, "file.write_text(file.read_text().upper())")
    assert asyncio.run(edited("state", ".json", environ)) == "STATE"


def test_an_editor_that_fails_changes_nothing(tmp_path: Path) -> None:
    assert asyncio.run(edited("state", ".json", editor(tmp_path, "sys.exit(1)"))) is None


def test_an_editor_that_is_not_there_is_said_by_name() -> None:
    with pytest.raises(CommandError, match="cannot run no-such-editor: No such file"):
        asyncio.run(edited("state", ".json", {"VISUAL": "no-such-editor"}))


# --- settings ---------------------------------------------------------------------------------


def settings(folder: Path, text: str) -> Settings:
    environ = {"XDG_CONFIG_HOME": str(folder)}
    path = config_path(environ)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return load_settings(environ)


def test_without_a_file_the_defaults_hold_and_the_written_file_says_the_same(
    tmp_path: Path,
) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert load_settings(environ) == Settings()
    path, written = write_template(environ)
    assert written
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_settings(environ) == Settings()
    assert write_template(environ) == (path, False)


def test_every_setting_is_explained_in_the_template_with_its_default(tmp_path: Path) -> None:
    lines = [line.removeprefix("# ") for line in TEMPLATE.splitlines() if " = " in line]
    head = lines[: lines.index('l = "log -n 20"')]
    assert settings(tmp_path, "\n".join(head)) == Settings()
    assert {line.partition(" ")[0] for line in head} == {
        name for name in Settings.__struct_fields__ if name != "aliases"
    }


def test_settings_are_read(tmp_path: Path) -> None:
    read = settings(tmp_path, 'editing = "vi"\nmouse = false\n[aliases]\nl = "log -n 20"\n')
    assert (read.editing, read.mouse, read.aliases) == ("vi", False, {"l": "log -n 20"})
    assert expand("l -o json", read.aliases) == "log -n 20 -o json"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('ui = "ful"', "Invalid enum value 'ful' - at `\\$.ui`"),
        ("colour = 1", "unknown field `colour`"),
        ("ui = \n", "line 1"),
        ("#" * 300_000, "longer than 262144 bytes"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(CommandError, match=says):
        settings(tmp_path, text)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
def test_settings_that_are_no_file_are_refused_and_not_waited_for(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    """A pipe that nobody writes into held the whole tree."""
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    config_path(environ).parent.mkdir()
    make(config_path(environ))
    with pytest.raises(CommandError, match="cannot read the settings"):
        load_settings(environ)
