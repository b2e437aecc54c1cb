"""EXPR: a question about a record, as `state.held.acc16 < 0 and kind == "Release"`.

Python's parser reads it; what is allowed becomes functions here that look at plain data, and the
rest is refused. So it may come from anybody: it calls nothing, and its work has a bound.

A part that a record does not have is not known, and so is all that depends on it: `not` of it, too,
and `and` and `or` unless the other side decides. A record for which the whole is not known does not
count as one for which it holds. `Asking` remembers which parts none had.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from ssm_cli.codec.words import shorten
from ssm_cli.history.compiling import NAMES, Evaluate, Run, Subject, TooMuch, compiled
from ssm_cli.history.grammar import BadExpr, Spelling
from ssm_cli.history.operators import NotKnown, truth
from ssm_cli.history.paths import NoSuchPart

MOST_STEPS = 250_000  # of one evaluation
STATE = ("state",)
MOST_TOLD = 8  # parts that no record had
ALLOWED = (
    "names, `.name`, `[key]`, constants, comparisons, `and or not in`, `+ - * / // %`, "
    "`len abs min max sum any all`"
)


class Expr(msgspec.Struct, frozen=True):
    """An expression that can be asked of records; its value is `text`.

    The names in it, `NAMES`, are given with each record; one that is left out, or is `NOTHING`, is
    not known.
    """

    text: str
    _evaluate: Evaluate

    def holds(self, names: Subject) -> bool:
        """Return whether it is true; what is not known is not.

        Raises:
            BadExpr: it takes more than `MOST_STEPS` steps.

        >>> parse_expr("state.held < 0").holds({"state": {"held": -1}})
        True
        """
        return Asking(self).holds(names)

    def value(self, names: Subject) -> Any:
        """Return its value.

        Raises:
            NoSuchPart: it is not known; says why.
            BadExpr: it takes more than `MOST_STEPS` steps.

        >>> parse_expr("len(state) + 1").value({"state": [1, 2]})
        3
        """
        try:
            return Asking(self).value(names)
        except NotKnown as error:
            raise NoSuchPart(error.say()) from error


class Asking:
    """One question, asked of many records in turn.

    Attributes:
        expr: the question.
    """

    def __init__(self, expr: Expr) -> None:
        self.expr = expr
        self._run = Run()

    def holds(self, names: Subject) -> bool:
        """Return whether it is true of one record, as `Expr.holds`."""
        try:
            return truth(self.value(names))
        except NotKnown:
            return False

    def value(self, names: Subject) -> Any:
        """Return its value for one record, as `Expr.value`, but raise `NotKnown` itself."""
        self._run.begin(names, MOST_STEPS)
        try:
            return self.expr._evaluate(self._run)  # noqa: SLF001 - one noun: the question and its asking
        except TooMuch as error:
            much = f"EXPR takes more than {MOST_STEPS:,} steps: ask about a smaller part"
            raise BadExpr(much, text=self.expr.text, column=1) from error
        except RecursionError as error:
            raise NotKnown(lambda: "what is compared is nested too deeply") from error

    def never(self) -> tuple[str, ...]:
        """Return why parts of it were not known for any record so far, at most `MOST_TOLD`.

        >>> asking = Asking(parse_expr("state.hold < 0"))
        >>> asking.holds({"state": {"held": -1}}), asking.never()
        (False, ('`state` has no .hold; it has held; did you mean `held`?',))
        """
        never = [say for part, say in self._run.unknown.items() if part not in self._run.found]
        return tuple(shorten(say(), 400) for say in never[:MOST_TOLD])


def parse_expr(text: str, given: Collection[str] = tuple(NAMES)) -> Expr:
    """Return the expression that a text spells. Nothing of it is run.

    Args:
        text: what somebody has written.
        given: the names that it will be given; a rule over a state is given `STATE`.

    Raises:
        BadExpr: it spells none, with the column and what is allowed there; or it asks for a name
            that is not given.

    >>> parse_expr('state["a"] > 1 and kind == "Hold"').holds({"state": {"a": 2}, "kind": "Hold"})
    True
    """
    text = text.strip()
    return Expr(text, compiled(Spelling(text, "EXPR", ALLOWED), given))
