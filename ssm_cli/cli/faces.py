"""The options of `ssm run` and `ssm attach` about the prompt: which face it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from ssm_cli.cli.where import flag, option

UI = ("full", "inline", "plain")
Plain = Annotated[bool, flag("a scrolling prompt in place of the full screen", "--plain")]


@dataclass(frozen=True)
class Face:
    """What the prompt looks like; `ui` is None for what the settings say.

    Raises a usage error for a word that is none, and for two that contradict each other.
    """

    plain: Plain = False
    ui: Annotated[str | None, option("UI", "full, inline or plain; default: the settings'")] = None
    ascii_only: Annotated[bool, flag("draw the screen with ASCII alone", "--ascii")] = False
    quiet: Annotated[bool, flag("print no reports; `ssm log` shows them", "--quiet")] = False

    def __post_init__(self) -> None:
        if self.ui is not None:
            one_of("--ui", self.ui, UI)
        if self.plain and self.ui not in (None, "plain"):
            clash = f"--plain and --ui {self.ui} contradict each other; give one of them"
            raise typer.BadParameter(clash)

    @property
    def shown(self) -> dict[str, Any]:
        """It as the arguments of a session."""
        ui = "plain" if self.plain else self.ui
        return {"ui": ui, "ascii_only": self.ascii_only, "quiet": self.quiet}


def one_of(spelling: str, word: str, words: tuple[str, ...]) -> None:
    """Raise a usage error unless a word is among those that an option takes."""
    if word not in words:
        raise typer.BadParameter(f"{spelling} takes one of {', '.join(words)}, not `{word}`")
