"""Travel along the timeline: the keys and clicks that go to another place in time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ssm_cli.errors import SsmError, message_of
from ssm_cli.repl.model import Model
from ssm_cli.repl.shell.commands import Commands
from ssm_cli.repl.timeline import Data


class Travel:
    """Goes to places in time without a line of output: the timeline shows where.

    Args:
        model: shows tree and log of the place.
        commands: what is typed is about the place, too.

    Attributes:
        actions: what the keys of the timeline do, by name.
    """

    def __init__(self, model: Model, commands: Commands) -> None:
        self._model = model
        self._commands = commands
        row = model.timeline
        self.actions: dict[str, Callable[[], None]] = {
            "timeline": self.toggle,
            "earlier": partial(self._go, lambda: row.step(-1)),
            "later": partial(self._go, lambda: row.step(1)),
            "earlier_crash": partial(self._go, lambda: row.step(-1, crash=True)),
            "later_crash": partial(self._go, lambda: row.step(1, crash=True)),
            "earliest": partial(self.go_to, "start"),
            "latest": partial(self.go_to, "now"),
        }

    def toggle(self) -> None:
        """F10: show the timeline above the prompt, or no longer."""
        self._model.timeline.toggle()
        self._model.touch()

    def go_to(self, where: str) -> None:
        """Go to a place: a record, `start`, `now`."""
        self._go(lambda: self._model.timeline.go(where))

    def _go(self, step: Callable[[], Data]) -> None:
        """Go where a step leads, once no command is carried out."""
        self._commands.when_free(partial(self._step, step))

    def _step(self, step: Callable[[], Data]) -> None:
        try:
            self._commands.results.go(step())
        except SsmError as error:
            self._model.notice(message_of(error))
        self._model.stand(self._commands.results.place)
        self._model.touch()
