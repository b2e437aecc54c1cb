"""The reference names every key and every verb of the prompt, and no other."""

from __future__ import annotations

from ssm_cli.repl.actions import HELP
from ssm_cli.repl.shell.verbs import HERE
from tests.docs.test_reference import REFERENCE, rows

PAGE = REFERENCE / "command-line.md"


def test_every_key_is_in_the_reference() -> None:
    told: list[list[str]] = []
    for key, does in HELP:
        if key:
            told.append([key, does])
        else:  # it goes on from the line above
            told[-1][1] += f" {does}"
    assert rows(PAGE, "## Keys of the prompt") == told


def test_every_verb_of_the_prompt_is_in_the_reference() -> None:
    documented = rows(PAGE, "## Verbs of the prompt")
    assert documented == [[f"`{verb.usage}`", verb.help] for verb in HERE]
