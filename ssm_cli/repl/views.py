"""The verbs of the prompt that are about the screen itself: `find`, `clear`, `copy` and others."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

from ssm_cli.errors import CommandError
from ssm_cli.repl.actions import Actions
from ssm_cli.repl.faces.scrolling import Scrolling
from ssm_cli.repl.model import Model
from ssm_cli.repl.shell.commands import Commands

COPIED_BYTES = 100_000  # at once; terminals take no more


@dataclass(eq=False)
class Views:
    """Carries them out.

    Args:
        actions: what keys do.
        scrolling: what was printed.
        model: what is shown.
        commands: carries out lines; has their results.
        face: changes the face of the session.
        detach: gives the terminal back to the shell.
        only_lines: the terminal can only print lines.
    """

    actions: Actions
    scrolling: Scrolling
    model: Model
    commands: Commands
    _: KW_ONLY
    face: Callable[[str], None]
    detach: Callable[[], None]
    only_lines: bool

    def __post_init__(self) -> None:
        self._app, self._screen = self.actions.app, self.actions.screen
        self.verbs: dict[str, Callable[[str], None]] = {
            "ui": self.face,
            "mouse": lambda _: self.actions.toggle_mouse(),
            "theme": lambda name: setattr(self.model, "theme", name),
            "find": self.actions.seeking.find,
            "find-log": self.actions.seeking.find_in_log,
            "detach": lambda _: self.detach(),
            "clear": lambda _: self._clear(),
            "copy": self._copy,
        }

    def _clear(self) -> None:
        """Empty the output, and the terminal's where that has it."""
        self.model.clear()
        if self._screen.inline and not self.only_lines:
            self._app.renderer.clear()

    def _copy(self, text: str) -> None:
        """Have the terminal take a text into its clipboard (OSC 52).

        Raises:
            CommandError: it is too long for one, or there is none.
        """
        if self.only_lines:
            raise CommandError("this terminal can only print lines: it has no clipboard", column=6)
        data = self.commands.results.substitute(text).encode("utf-8", "surrogateescape")
        if len(data) > COPIED_BYTES:
            most = f"{COPIED_BYTES:,} bytes are taken; `> FILE` takes any"
            raise CommandError(f"{len(data):,} bytes are too many to copy; at most {most}")
        self.scrolling.flush()  # what the face has to write comes before
        self._app.output.write_raw(f"\x1b]52;c;{b64encode(data).decode()}\x07")
        self._app.output.flush()
        self.model.notice(f"copied {len(data):,} bytes, where the terminal allows it", "")
