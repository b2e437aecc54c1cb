"""The reference names every key and every verb of the prompt, and no other."""

from __future__ import annotations

from ssm_cli.repl.keymap import SECTIONS
from ssm_cli.repl.shell.verbs import HERE
from tests.docs.test_reference import REFERENCE, rows

PAGE = REFERENCE / "command-line.md"


def test_every_key_is_in_the_reference() -> None:
    told = [[title, key.shown, key.help] for title, keys in SECTIONS for key in keys if key.shown]
    assert rows(PAGE, "## Keys of the prompt") == told


def test_every_verb_of_the_prompt_is_in_the_reference() -> None:
    documented = rows(PAGE, "## Verbs of the prompt")
    assert documented == [[f"`{verb.usage}`", verb.help] for verb in HERE]
