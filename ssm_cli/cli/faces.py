"""The options of `ssm run` and `ssm attach` about the prompt: which face it has."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import typer

from ssm_cli.cli.where import flag, option

UI = ("full", "inline", "plain")

Plain = Annotated[bool, flag("a scrolling prompt in place of the full screen", "--plain")]
Ui = Annotated[str | None, option("UI", "full, inline or plain; default: the settings'")]
Ascii = Annotated[bool, flag("draw the screen with ASCII alone", "--ascii")]
Quiet = Annotated[bool, flag("print no reports; `ssm log` shows them", "--quiet")]


class Face(NamedTuple):
    """What the prompt looks like; `ui` is None for what the settings say."""

    ui: str | None
    ascii_only: bool
    quiet: bool


def ui_of(ui: str | None, *, plain: bool) -> str | None:
    """Return `full`, `inline`, `plain`, or None for what the settings say.

    Raises a usage error for a word that is none, and for two that contradict each other.
    """
    if ui is not None:
        one_of("--ui", ui, UI)
    if plain and ui not in (None, "plain"):
        raise typer.BadParameter(f"--plain and --ui {ui} contradict each other; give one of them")
    return "plain" if plain else ui


def one_of(option: str, word: str, words: tuple[str, ...]) -> None:
    """Raise a usage error unless a word is among those that an option takes."""
    if word not in words:
        raise typer.BadParameter(f"{option} takes one of {', '.join(words)}, not `{word}`")
