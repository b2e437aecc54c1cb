"""The one judge of specs: every way into a node asks it, before anything starts.

`load_tree` reports what `check_spec` finds in a file; `Node(...)` makes a `Judge` of its tree, and
`start_child` asks that one about each child. The rules themselves stand in `validate` and `code`.

What OTP's supervisor refuses itself when it starts (flags, restart, shutdown, significant, names
given twice) is left to the start, which fails with OTP's term, unless something else is wrong as
well: `Node(...)` raises for all that OTP does not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from ssm_cli.errors import SpecError
from ssm_cli.spec.keys import WORKER, fault, sentence, shown
from ssm_cli.spec.model import AutoShutdown, ChildSpec, Strategy, SupervisorSpec, WorkerSpec
from ssm_cli.spec.problems import Problem
from ssm_cli.spec.rules import args_fault
from ssm_cli.spec.validate import (
    Checker,
    Sound,
    Taken,
    check_childspecs,
    check_supervisor,
)

MAX_IN_MESSAGE = 20  # complaints that the text of an error repeats


def complaints_text(title: str, complaints: Sequence[str]) -> str:
    """Return the text of an error: the complaint if there is one, else a list under a title.

    >>> complaints_text("root", ["root.intensity: is -1"])
    'root.intensity: is -1'
    """
    if len(complaints) == 1:
        return complaints[0]
    lines = [f"{title} has {len(complaints)} mistakes:", *complaints[:MAX_IN_MESSAGE]]
    if len(complaints) > MAX_IN_MESSAGE:
        lines.append(f"... and {len(complaints) - MAX_IN_MESSAGE} more")
    return "\n".join(lines)


def complaints_of(problems: Sequence[Problem]) -> tuple[str, ...]:
    """Return each problem as `PATH: what is wrong; expected ...`."""
    return tuple(f"{problem.path}: {problem.message}" for problem in problems)


class Refusal(msgspec.Struct, frozen=True):
    """Why a child is not started: the error term, and every complaint.

    `own` says that its own spec is wrong, which OTP finds before it looks for its name.
    """

    term: object
    complaints: tuple[str, ...]
    own: bool


def judged_alone(spec: object) -> Refusal | None:
    """Judge a child apart from its tree, before it is sent to a node that judges it in full."""
    above = SupervisorSpec("root", auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)
    return Judge(above).child(spec, above, "root", 1, lambda _name: None)


class Judge:
    """The judge of one node: of its tree when the node is made, then of its new children.

    Most workers share their options and their code. What was found sound is remembered by
    identity, so that each is looked into once.

    Args:
        tree: the tree of the node; any object.

    Attributes:
        sound: nothing is wrong with the tree, so that its supervisors need not look at their
            specs when they start.
        complaints: what is wrong with it, if OTP's supervisor is to say so when it starts.

    Raises:
        SpecError: something is wrong with it that OTP does not judge.
    """

    def __init__(self, tree: object) -> None:
        if not isinstance(tree, SupervisorSpec):
            wrong = sentence(f"tree: is {shown(tree)}", "a Supervisor")
            raise SpecError(f"a tree is a Supervisor, got {shown(tree)}", complaints=(wrong,))
        self._seen = Sound()
        self._tree, self._declared = tree, frozenset[str]()
        problems = [*Checker(self._seen).supervisor(tree, "", 1, 1)]
        self.complaints = complaints_of(problems)
        self.sound = not problems
        if not all(problem.otp for problem in problems):
            raise SpecError(
                complaints_text("the tree", self.complaints), complaints=self.complaints
            )

    def child(
        self,
        spec: object,
        parent: SupervisorSpec,
        path: str,
        depth: int,
        taken: Taken,
    ) -> Refusal | None:
        """Judge a child that is to start below `parent`; None if nothing is wrong.

        Args:
            spec: the child; any object.
            parent: the spec of its supervisor.
            path: the path of its supervisor.
            depth: how many levels of supervisors there are down to that one, itself included.
            taken: gives the path of the node that has a name already. The child's own name is
                not asked for: OTP has words for that (`already_started`, `already_present`).
        """
        checker = Checker(self._seen, taken)
        problems = [*checker.child(spec, parent, path, 0, depth)]
        if not problems:
            return None
        complaints = complaints_of(problems)
        term = check_childspecs([spec], parent.auto_shutdown)  # type: ignore[list-item]  # any object
        if term is not None:
            return Refusal(term, complaints, own=True)
        if isinstance(spec, SupervisorSpec) and all(problem.otp for problem in problems):
            term = check_supervisor(spec, taken)
        return Refusal(
            {"invalid_child_spec": spec} if term is None else term, complaints, own=False
        )

    def declares(self, name: str) -> bool:
        """Whether the tree has a node of that name, templates and what they make left out."""
        self._declared = self._declared or frozenset(declared(self._tree))
        return name in self._declared

    def knows(self, spec: object) -> bool:
        """Whether this is a worker all of whose parts were found sound, so that it is sound."""
        return (
            type(spec) is WorkerSpec
            and spec.start in self._seen
            and spec.options in self._seen
            and spec.options.significant is False
            and args_fault(spec.args) is None
            and fault(WORKER["worker"], spec.id) is None
        )


def declared(spec: ChildSpec) -> Iterator[str]:
    """Yield the names of the nodes that a tree starts by itself."""
    yield spec.id
    if isinstance(spec, SupervisorSpec) and spec.strategy is not Strategy.SIMPLE_ONE_FOR_ONE:
        for child in spec.children:
            yield from declared(child)
