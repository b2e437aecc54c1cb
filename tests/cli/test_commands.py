"""All commands alike: help in sections and uncut, `-o json` where they answer, one error style."""

from __future__ import annotations

import io
import json
import os
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from ssm_cli.cli import app
from ssm_cli.cli.environment import Environment
from ssm_cli.cli.help import MORE, SECTIONS, section_of
from ssm_cli.commands.records import json_line
from ssm_cli.commands.verb import Verb
from ssm_cli.commands.verbs import TABLE
from tests import program
from tests.architecture.source import ROOT

TREE = str(ROOT / "trees" / "kv.yaml")
SPEC = '{"worker": "kv9", "start": "ssm_cli.machines.kv:kv_store"}'
PERSONS = {"attach": "a person is there", "node": "goes on until a signal"}
"""The commands that answer nothing, and why."""


@cache
def commands() -> dict[str, Any]:
    """Every command by its words, those of `ssm data` too."""
    root = typer.main.get_command(app.make_app())
    assert isinstance(root, TyperGroup)
    found = dict(root.commands)
    data = found.pop("data")
    assert isinstance(data, TyperGroup)
    return found | {f"data {name}": command for name, command in data.commands.items()}


def run(
    *words: str, stdin: str = "", environ: dict[str, str] | None = None
) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    known = os.environ if environ is None else environ
    code = app.main(words, Environment(io.StringIO(stdin), out, err, known))
    return code, out.getvalue(), err.getvalue()


# -- help ------------------------------------------------------------------------------------------


def test_every_command_has_a_section_and_no_section_has_others() -> None:
    placed = [name for names in SECTIONS.values() for name in names]
    known = {name.partition(" ")[0] for name in commands()} - {"help"}
    assert sorted(placed) == sorted(known)
    assert MORE not in {section_of(name) for name in known}


def test_help_shows_all_commands_in_sections_and_cuts_none() -> None:
    code, out, _ = run("help")
    assert code == 0
    assert "..." not in out.replace("[ARGS]...", "")
    assert max(map(len, out.splitlines())) <= 80
    assert "`ssm help COMMAND`" in out
    found = [line.split()[0] for line in out.splitlines() if line[:2] == "  " and line[2:3].strip()]
    assert {"run", "call", "data", "login"} <= set(found)
    at = [out.index(f"\n{title}:\n") for title in SECTIONS]
    assert at == sorted(at)


@pytest.mark.parametrize("words", list(commands()))
def test_help_explains_a_command_as_its_own_option_does(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run("help", *words.split())
    assert (code, err) == (0, "")
    run(*words.split(), "--help")
    assert out == capsys.readouterr().out
    assert out.startswith(f"Usage: ssm {words} ")


@pytest.mark.parametrize("words", [["bogus"], ["data", "bogus"], ["call", "x"], ["\x1b[31m"]])
def test_help_of_no_command_says_so(words: list[str]) -> None:
    code, out, err = run("help", *words)
    assert (code, out) == (2, "")
    assert err.startswith("ssm: `")
    assert "is no command" in err
    assert "\x1b" not in err


def test_help_without_a_command_is_that_of_the_program(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run("--help")
    assert run("help")[1] == capsys.readouterr().out


# -- one error style -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "bogus", "sate", "call", "call kv1", "ls extra", "ls --bogus", "ls -o xml", "tree -o x",
        "tree --nope", "run", "run --nope", "run x --ui foo", "run x -o dot", "run x --detach",
        "wait", "wait w --timeout x", "wait w --timeout -1", "wait w --timeout nan",
        "wait w --timeout inf", "node --drain nan", "node --drain -1", "wait w --for x",
        "data", "data bogus",
        "data ls -o dot", "data quarantine --retry x", "attach a b", "attach a --name b", "--nope",
        "state", "set kv1", "trace kv1 maybe", "help bogus", "move a", "new",
        "node --label x", "log -n x", "call --timeout x kv1 y", "--install-completion tcsh",
        "--show-completion=csh", "--install-completion zsh bash", "login",
        "login http://kv.example",
        "tree --url nonsense", "call --tree a --name b kv1 x", "check", "script",
        "chaos {kv} --seed x", "chaos {kv} --kill 5", "chaos {kv} --nope",
        "chaos {kv} --kill nobody=5%", "chaos {kv} --name kv", "chaos {kv} --at 3",
        "chaos {kv} --data x",
        "check-policy {kv} --faults 9",
        "fuzz", "fuzz kv1 --tree {kv} --seed x", "set kv1 --tree {kv} x",
        "edit 1 --tree {kv} x",
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line_in_one_style(words: str) -> None:
    code, out, err = run(*words.format(kv=TREE).split())
    assert code == 2
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(("ssm: ", "column "))
    assert not line.startswith("column 1:")  # what has no place in a line names none
    assert "Error" not in line
    assert "Traceback" not in line


# -- -o json ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [w for w in commands() if w not in PERSONS])
def test_every_command_that_answers_takes_o_json(words: str) -> None:
    options = {o for parameter in commands()[words].params for o in parameter.opts}
    assert {"-o", "--output"} <= options


ANSWERS = {
    "call": "kv1 Store\\ x\\ 1", "cast": "kv1 Store\\ x\\ 1", "state": "kv1", "set": 'kv1 {"a":1}',
    "suspend": "kv1", "resume": "kv1", "trace": "kv1 on", "status": "kv1", "keep": "kv1 5",
    "change-code": "kv1 1", "crash": "", "stats": "kv1", "kill": "kv1", "stop-process": "kv1",
    "tree": "", "log": "-n 1", "start-child": f"storage {SPEC}", "terminate-child": "root kv1",
    "restart": "kv1", "restart-child": "root kv1", "delete-child": "root kv1",
    "which-children": "root", "count-children": "root", "get-childspec": "root kv1",
    "script": "{script}", "history": "", "at": "1", "back": "--at 2", "next": "--at 1",
    "diff": "1", "blame": "kv1 x", "when": "kv1 state.x > 0", "why": "1",
    "fork": "1", "drop": "", "without": "1", "edit": "1 Store\\ x\\ 2", "advance": "1s",
    "adopt": "kv1 --why test", "reload": "--no", "rollback": "", "shadow": "kv1", "promote": "kv1",
    "replay": "all", "shrink": "", "report": "{script}.html",
    "save": "{script}.past", "timeline": "", "forks": "", "break": "kv3 state.x > 9", "breaks": "",
    "unbreak": "all", "continue": "", "groups": "", "members": "g", "lookup": "g", "publish": "g x",
    "apply": "--dry-run", "chaos": "--steps 5", "check-policy": "--faults 1",
    "fuzz": "kv1 --steps 5",
}  # fmt: skip
"""Words of each verb that asks a tree; a refusal of it is an answer, too."""


def words_of(text: str) -> list[str]:
    if text.startswith(("kv1 Store", "storage ", "kv1 {")):
        head, _, rest = text.partition(" ")
        return [head, rest.replace("\\ ", " ")]
    return text.split()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A tree that runs in the background, and the variables by which it is found."""
    folder = tmp_path_factory.mktemp("t")
    environ = {
        **os.environ, "XDG_RUNTIME_DIR": str(folder), "XDG_STATE_HOME": str(folder / "state"),
        "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    started = program.ssm("run", TREE, "--headless", "--detach", "-o", "json", env=environ)
    assert json.loads(started.stdout)["name"] == "kv"
    yield environ
    program.ssm("stop", env=environ)


def records(out: str) -> list[Any]:
    assert out
    assert out.isascii() or all(
        unicodedata.category(c) not in ("Cc", "Cf") for c in out if c != "\n"
    )
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize("verb", list(ANSWERS))
@pytest.mark.parametrize("where", ["running", "here"])
def test_a_verb_answers_json_and_nothing_else(
    tree: dict[str, str], tmp_path: Path, verb: str, where: str
) -> None:
    (tmp_path / "s").write_text("call kv1 Store x 1\ntree\n")
    words = words_of(ANSWERS[verb].replace("{script}", str(tmp_path / "s")))
    more = ["--tree", TREE] if where == "here" else []
    code, out, err = run(verb, "-o", "json", *more, *words, environ=tree)
    if verb == "crash" and code == 0:
        assert out == "" or records(out)
    else:
        assert records(out), err
    assert err == ""


def test_the_table_of_verbs_is_whole() -> None:
    asked = {verb.name for verb in TABLE if verb.asks}
    assert asked - set(ANSWERS) == {"stop"}


@pytest.mark.parametrize(
    "words",
    [
        ["ls"], ["wait", "kv1"], ["schema"], ["check", TREE], ["help"], ["help", "call"],
        ["help", "data", "ls"], ["new", "{new}"], ["data", "ls"], ["login", "kv.example"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_another_command_answers_json_and_nothing_else(
    tree: dict[str, str], tmp_path: Path, words: list[str]
) -> None:
    given = [word.format(new=tmp_path / "new") for word in words]
    tokens = {"SSM_TOKEN_FILE": str(tmp_path / "tokens")}
    code, out, err = run(*given, "-o", "json", environ={**tree, **tokens}, stdin="t" * 20)
    assert (code, err) == (0, "")
    if words != ["data", "ls"]:  # there is none, so there is no line
        assert len(records(out)) == 1


def test_check_answers_json_where_it_refuses(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("supervisor: root\nchildren: [{worker: a}]\nstrategy: x\n")
    code, out, err = run("check", str(bad), "-o", "json")
    (record,) = records(out)
    assert (code, err, record["ok"]) == (2, "", False)
    assert all(line.startswith(f"{bad}:") for line in record["complaints"])
    assert len(record["complaints"]) == 2


def test_the_commands_of_data_answer_json(tmp_path: Path) -> None:
    durable = tmp_path / "kv.yaml"
    durable.write_text(
        'supervisor: r\nchildren: [{worker: a, start: "ssm_cli.machines.kv:kv_store", '
        "persist: journal}]\n"
    )
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    assert run("call", "--tree", str(durable), "a", "Store x 1", environ=environ)[0] == 0
    for words in (
        ["ls"], ["ls", "kv"], ["verify"], ["verify", "--tree", str(durable)], ["export"],
        ["backup", str(tmp_path / "copy")], ["quarantine"], ["compact"],
    ):  # fmt: skip
        code, out, err = run("data", *words, "-o", "json", environ=environ)
        assert (code, err) == (0, ""), words
        assert all("v" in record for record in records(out))


HOSTILE = (
    "a\x00\x1b\x7f\x80\x9b\xa0\xad\u061c\u200b\u200d\u200e\u2028\u2029\u202e\u2066\ufeff\U000e0001"
)


@pytest.mark.parametrize("character", HOSTILE[1:], ids=ascii)
def test_json_has_no_character_that_does_not_print(character: str) -> None:
    line = json_line({character: [f"x{character}y"]})
    assert line.isprintable()
    assert json.loads(line) == {character: [f"x{character}y"]}


def test_json_leaves_what_prints_as_it_is() -> None:
    assert json_line({"a": 'é ☃ 😀 \\ " \n'}) == '{"a":"é ☃ 😀 \\\\ \\" \\n"}'


def test_hostile_text_of_a_worker_is_escaped_in_json(tree: dict[str, str]) -> None:
    given = f'Store "{HOSTILE[3:]}" 1'
    code, out, _ = run("call", "kv2", given, "-o", "json", environ=tree)
    assert code == 0
    assert out.removesuffix("\n").isprintable()
    assert json.loads(out)["input"] == given
    assert run("state", "kv2", "-o", "json", environ=tree)[1].removesuffix("\n").isprintable()


# -- completion ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["--install-completion", "zsh"], ".zfunc/_ssm: #compdef ssm"),
        (["--install-completion=zsh"], ".zfunc/_ssm: #compdef ssm"),
        (["--install-completion", "bash"], ".bash_completions/ssm.sh: complete -o default"),
        (["--install-completion", "fish"], ".config/fish/completions/ssm.fish: complete -"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/zsh", "/bin/sh", ""])
def test_completion_is_of_the_shell_that_is_named_whatever_the_present_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], place: str, shell: str
) -> None:
    file, _, holds = place.partition(": ")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", shell)
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    assert str(tmp_path / file) in out
    assert holds in (tmp_path / file).read_text()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "pwsh"])
def test_the_completion_of_any_shell_is_printed(shell: str) -> None:
    code, out, err = run("--show-completion", shell)
    assert (code, err) == (0, "")
    assert "_SSM_COMPLETE" in out


# -- misspelt options ------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [verb for verb in TABLE if verb.asks], ids=lambda verb: verb.name)
def test_a_misspelt_option_behind_the_words_of_a_verb_is_refused_and_the_nearest_named(
    verb: Verb,
) -> None:
    words = ["1" for _ in verb.parameters]
    code, out, err = run(verb.name, *words, "--outptu", "json", "--tree", TREE)
    assert (code, out) == (2, "")
    assert "no such option: --outptu" in err or "no option `--outptu`" in err
    assert "--output" in err


@pytest.mark.parametrize("word", ["--text", "-x"])
def test_an_input_that_begins_with_a_dash_goes_behind_two(word: str) -> None:
    assert run("call", "kv1", "Lookup x", word, "--tree", TREE)[:2] == (2, "")
    assert run("call", "--tree", TREE, "--", "kv1", word)[0] == 6
    assert "VALUE is no JSON" in run("set", "--tree", TREE, "kv1", "--", word)[2]


def test_an_option_before_the_command_is_told_where_it_belongs() -> None:
    code, _, err = run("--name", "x", "tree")
    assert code == 2
    assert err == "ssm: no such option: --name before a command; options stand behind it\n"


def test_a_number_below_zero_is_a_word_and_no_option() -> None:
    code, _, err = run("set", "kv1", "-1", "--tree", TREE)
    assert (code, "VALUE is no dict" in err) == (2, True)
