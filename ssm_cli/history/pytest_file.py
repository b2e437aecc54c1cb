"""A test for pytest that fails as a worker did, and passes once the fault is mended.

Where it does not begin with the state of `init`, the fault may lie before it; then it says so.
It needs nothing of what was recorded: its state and inputs are literals, and it imports the module
of the worker by its file. It needs `ssm_cli` only where the worker itself does.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ssm_cli.behaviour.callbacks import Callbacks
from ssm_cli.behaviour.dispatch import Kind, advance, callback_of, of_step
from ssm_cli.behaviour.gen_server import GenServer
from ssm_cli.behaviour.results import Caller
from ssm_cli.behaviour.statem import PureStatem
from ssm_cli.errors import counted
from ssm_cli.history.layout import COLUMNS, Group, Source, flat, laid_out
from ssm_cli.history.literals import Literals, Unwritable, text_source
from ssm_cli.history.naming import Imports
from ssm_cli.history.shrink import Shrunk, Unshrunk
from ssm_cli.history.trials import Broken

HANG_S = 10  # after which a test ends that waits for a step that runs away

FROM_A_STATE = """ It begins with a state that the worker had: where that
state is wrong already, mend what led to it, and shrink that."""

line_of = partial(laid_out, indent=4)


def pytest_file(shrunk: Shrunk, worker: str, beside: Path | None = None) -> str | Unshrunk:
    """Return the text of a test file for what was shrunk; or why it cannot be written.

    Args:
        shrunk: what to write down.
        worker: its name, for the heading.
        beside: the folder of the file, so that its paths are relative; absolute ones otherwise.
    """
    try:
        return Writing(shrunk, worker, beside).text()
    except Unwritable as error:
        return Unshrunk(f"{worker}: no test can be written of this: {error}")


class Writing:
    """One test file while it is written."""

    def __init__(self, shrunk: Shrunk, worker: str, beside: Path | None) -> None:
        self._shrunk, self._worker = shrunk, worker
        behaviour = shrunk.behaviour
        self._is_server = isinstance(behaviour, Callbacks)
        module = getattr(callback_of(behaviour), "__module__", None)
        self._names = Imports(str(module), beside)
        self._literals = Literals(self._names.of)
        self._hangs = not isinstance(shrunk.goal, Broken) and shrunk.goal.error == "StepTimeout"
        self._judges = not isinstance(shrunk.goal, Broken) and shrunk.goal.is_answered

    def text(self) -> str:
        """Return the file."""
        body = [self._start(), *self._calls(), *self._end()]
        header = self._names.header(("faulthandler",) if self._hangs else ())
        parts = [f"{self._heading()}\n\n{header}".rstrip(), "\n".join([self._def(), *body])]
        return "\n\n\n".join(parts) + "\n"

    def _fault(self) -> str:
        goal = self._shrunk.goal
        if isinstance(goal, Broken):
            return "a broken rule"
        place = f" in {goal.place.function}" if goal.place else ""
        return f"{goal.error}{place}"

    def _heading(self) -> str:
        count = counted(len(self._shrunk.inputs), "input")
        said = f"{self._worker}: {self._fault()}, after {count}"
        said = re.sub(r"[^ -~]|[\\\\\"]", "?", said)[: COLUMNS - 5]
        whence = "" if self._shrunk.from_init else FROM_A_STATE
        return f'"""{said}.\n\nPasses once that is mended.{whence}\n"""'

    def _def(self) -> str:
        spread = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", f"{self._worker} {self._fault()}")
        words = re.sub(r"\W+", "_", spread, flags=re.ASCII)
        return f"def test_{words.strip('_').lower()[:80]}():"

    def _start(self) -> str:
        lines = []
        if self._is_server:
            lines.append(f"    server = {self._server()}")
        if self._is_server and any(kind is Kind.CALL for kind, _ in self._shrunk.inputs):
            lines.append(f"    caller = {self._names.of(Caller)}(1, [])")
        source = self._literals.source(self._shrunk.state, "the state")
        lines.append(line_of(source, before="state = "))
        return "\n".join(lines)

    def _calls(self) -> list[str]:
        lines = []
        step = "" if self._is_server else self._step()
        last = len(self._shrunk.inputs) - 1
        for number, (kind, message) in enumerate(self._shrunk.inputs):
            given = self._literals.source(message, f"input {number + 1}")
            if number == last and self._hangs:
                lines.append(f"    faulthandler.dump_traceback_later({HANG_S}, exit=True)")
            if number == last and self._judges:
                lines.append(line_of(self._judged(kind, given), before="outcome = "))
                lines.append("    assert outcome.stop is None, outcome.stop")
            elif self._is_server:
                call = self._asked(kind, given)
                lines.append(line_of(call, before="state = ", after=".state"))
            else:
                call = Group(f"{step}(", [("", given), ("", "state")], ")")
                lines.append(line_of(call, before="state, *_ = "))
        return lines

    def _judged(self, kind: Kind, given: Source) -> Group:
        """Return the call that tells what the answer to an input means."""
        if self._is_server:
            return self._asked(kind, given, judges=True)
        step = Group(f"{self._step()}(", [("", given), ("", "state")], ")")
        return Group(f"{self._names.of(of_step)}(", [("", step)], ")")

    def _asked(self, kind: Kind, given: Source, *, judges: bool = False) -> Group:
        """Return the call of the callback for an input.

        A `Statem` is asked through its loop, and so is any where the call `judges` the answer.
        """
        is_call = kind is Kind.CALL
        if isinstance(self._shrunk.behaviour, GenServer) and not judges:
            items = [("", given), *([("", "caller")] if is_call else []), ("", "state")]
            return Group(f"server.handle_{kind.name.lower()}(", items, ")")
        how, caller = f"{self._names.of(Kind)}.{kind.name}", "caller" if is_call else "None"
        items = [("", "server"), ("", how), ("", given), ("", caller), ("", "state")]
        return Group(f"{self._names.of(advance)}(", items, ")")

    def _step(self) -> str:
        """Return the text that names the step: the function, or that of a machine in its module."""
        machine: Any = self._shrunk.behaviour
        step = machine.step
        try:
            return self._names.of(step)
        except Unwritable:
            return f"{self._machine(machine)}.step"

    def _server(self) -> str:
        """Return the text that makes the server, or names a `PureStatem` in its module."""
        server: Any = self._shrunk.behaviour
        if isinstance(server, PureStatem):
            return self._machine(server)
        return f"{self._names.of(type(server))}()"

    def _machine(self, machine: Any) -> str:
        for module, known in sys.modules.copy().items():
            for name, value in [*getattr(known, "__dict__", {}).items()]:
                if value is machine:
                    return self._names.attribute(module, name, machine)
        raise Unwritable(
            "the step", "is not at the top of a module; name it there, so that a test can import it"
        )

    def _end(self) -> list[str]:
        goal = self._shrunk.goal
        if self._hangs:
            return ["    faulthandler.cancel_dump_traceback_later()"]
        if not isinstance(goal, Broken):
            return []
        rule = python_of(goal.text, self._shrunk.after)
        line = f"    assert not ({rule})"
        return [line if len(line) <= COLUMNS else f"    assert not (\n        {rule}\n    )"]


class InPython(ast.NodeTransformer):
    """Turns an expression over plain data into one of Python: names in dicts become their keys."""

    def __init__(self, state: Any) -> None:
        self._state = state

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """Return an attribute, or the item of a dict."""
        held = self._value(node.value)
        inside = self.visit(node.value)
        if isinstance(held, Mapping):
            return ast.Subscript(inside, ast.Name(flat(text_source(node.attr))), ast.Load())
        return ast.Attribute(inside, node.attr, ast.Load())

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        """Return a constant as a literal of ours."""
        known = node.value
        return ast.Name(flat(text_source(known))) if isinstance(known, str | bytes) else node

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Return a name that a test knows."""
        if node.id in ("input", "kind"):
            raise Unwritable("the rule", f"asks for `{node.id}`, which a state does not have")
        return node

    def _value(self, node: ast.expr) -> Any:
        """Return what a chain of names and items below `state` is; None if there is none."""
        match node:
            case ast.Name(id="state"):
                return self._state
            case ast.Attribute(value=inner, attr=name):
                held = self._value(inner)
                return held.get(name) if isinstance(held, Mapping) else getattr(held, name, None)
            case ast.Subscript(value=inner, slice=ast.Constant(value=key)):
                held = self._value(inner)
                try:
                    return held[key]
                except (LookupError, TypeError):
                    return None
        return None


def python_of(expression: str, state: Any) -> str:
    """Return an expression over a state as Python source, by what that state is made of.

    >>> python_of("state.held.acc16 < 0", {"held": {"acc16": -1}})
    'state["held"]["acc16"] < 0'
    """
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        raise Unwritable("the rule", "is no expression") from error
    return ast.unparse(InPython(state).visit(tree))
