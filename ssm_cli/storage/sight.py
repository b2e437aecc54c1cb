"""Sight: how stored states of a worker are shown, without what its code hides, if that is known."""

from __future__ import annotations

import difflib
import json
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Behaviour
from ssm_cli.behaviour.visible import does_hide, redacted_by, visible
from ssm_cli.codec.classes import Inexact
from ssm_cli.codec.json import jsonable
from ssm_cli.errors import message_of
from ssm_cli.runtime.durable.records import Code
from ssm_cli.runtime.durable.snapshots import Saved
from ssm_cli.runtime.durable.values import Values, plain_of

MOST_LINES = 20  # of a difference
AS_STORED = "states are shown as they are stored; with --tree FILE without what their code hides"


class Sight:
    """How states of one worker are shown.

    Args:
        code: its behaviour, and what reads its values; None where no tree is known.
    """

    def __init__(self, code: tuple[Behaviour, Values] | None) -> None:
        self._code = code
        self.hides = code is not None and does_hide(code[0])

    @property
    def notes(self) -> list[str]:
        """What must be known of what is shown, a line each."""
        return [] if self._code is not None else [AS_STORED]

    def text(self, state: bytes | None, at: int | None = None) -> str:
        """Return a state as JSON, for people; it was written up to the record `at`, or now.

        >>> Sight(None).text(None)
        'none'
        """
        if state is None:
            return "none"
        try:
            return json.dumps(self._data(state, at), ensure_ascii=False)
        except (Inexact, msgspec.MsgspecError) as error:
            return f"<it cannot be shown: {message_of(error)}>"
        except Exception as error:  # noqa: BLE001 - user code: what makes a value, and what hides
            size, why = f"{len(state):,} bytes", type(error).__name__
            return f"<{size} that the code that is here does not show: {why}>"

    def saved(self, saved: Saved | None) -> str:
        """Return the text of a saved state; `none` where there is none."""
        has = saved is not None and saved.has
        return self.text(saved.state, saved.written()) if saved and has else "none"

    def difference(
        self, before: bytes | None, after: bytes | None, at: int | None = None
    ) -> list[str]:
        """Return what is different between two states, a line each; `at` is of the first.

        >>> Sight(None).difference(None, None)
        ['  nothing']
        """
        was, now = self._lines(before, at), self._lines(after, None)
        found = [
            f"  {line}"
            for line in difflib.unified_diff(was, now, n=0, lineterm="")
            if not line.startswith(("---", "+++", "@@"))
        ]
        more = len(found) - MOST_LINES
        told = [f"  ... and {more} more lines"] if more > 0 else []
        return [*found[:MOST_LINES], *told] or ["  nothing"]

    def _data(self, state: bytes, at: int | None) -> Any:
        """Return a state as JSON-ready data. Runs user code, and raises what that raises."""
        if self._code is None or not self.hides:
            return jsonable(plain_of(state))
        behaviour, values = self._code
        return jsonable(visible(redacted_by(behaviour, values.revive(state, Code(), at))))

    def _lines(self, state: bytes | None, at: int | None) -> list[str]:
        """Return a state as lines of JSON, one for each part."""
        if state is None:
            return []
        text = self.text(state, at)
        if text.startswith("<"):
            return [text]
        return json.dumps(json.loads(text), indent=1, ensure_ascii=False).splitlines()
