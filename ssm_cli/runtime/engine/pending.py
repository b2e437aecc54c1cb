"""`Pending`: a call on its way. It ends in exactly one outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ssm_cli.errors import CallError


class Pending:
    """A call on its way.

    Attributes:
        done: whether the outcome is there; whatever comes later is dropped.
        value: the output, where the outcome is `replied`.
        error: the error of any other outcome.
        notify: called once with this object at the very moment of the outcome.
    """

    __slots__ = ("done", "error", "notify", "value")

    def __init__(self, notify: Callable[[Pending], None] | None = None) -> None:
        self.done = False
        self.value: Any = None
        self.error: CallError | None = None
        self.notify = notify

    def resolve(self, value: Any) -> None:
        """The outcome is `replied` with `value`."""
        if not self.done:
            self.value = value
            self.done = True
            if self.notify is not None:
                self.notify(self)

    def fail(self, error: CallError) -> None:
        """The outcome is that of `error`."""
        if not self.done:
            self.error = error
            self.done = True
            if self.notify is not None:
                self.notify(self)

    def result(self) -> Any:
        """The output; raises the error of any other outcome. Only once `done`."""
        if self.error is not None:
            raise self.error
        return self.value
