"""Another tree in the place of the one that runs: what it would take, and doing it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ssm_cli.errors import CommandError, SpecError
from ssm_cli.runtime.calling.requests import Requests
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.intake import forbid_reentry
from ssm_cli.spec.judge import Judge, complaints_text
from ssm_cli.spec.load import load_tree
from ssm_cli.spec.model import SupervisorSpec
from ssm_cli.supervision.planning import Applied, TreePlan

WantedTree = SupervisorSpec | str | Path | None


class Changing:
    """The part of a node that makes another tree of it.

    Args:
        file: returns the tree file of the node; "" where none is known.
    """

    def __init__(self, world: World, requests: Requests, file: Callable[[], str]) -> None:
        self._world = world
        self._requests = requests
        self._file = file

    def plan(self, tree: WantedTree = None, *, specs_only: bool = False) -> TreePlan:
        """Return what `apply` would do; nothing is done.

        Args:
            tree: the tree that is wanted, or its file; None for the file of the node.
            specs_only: as for `apply`.

        Raises:
            SpecError, TreeFileError: it does not validate; with every complaint.
            CommandError: no file is known.
            CalledFromStep: a step plans for its own node.
        """
        root, wanted = self._wanted(tree)
        found: TreePlan = self._requests.ask(root, "plan_tree", wanted, specs_only)
        return found

    def apply(
        self,
        tree: WantedTree = None,
        *,
        plan: TreePlan | str = "",
        specs_only: bool = False,
    ) -> Applied:
        """Make the tree that runs the one that is wanted; what did not change is not touched.

        Stops what is gone, in reverse start order, changes specs in place, and starts what is new
        and restarts what is another, in start order; up to a start that fails. See `TreePlan`.

        Args:
            tree: the tree that is wanted, or its file; None for the file of the node.
            plan: what was agreed to, or its digest: another plan is not carried out. Without it
                whatever it takes is done.
            specs_only: as OTP's `code_change` of a supervisor: only specs change. What runs goes
                on; its new spec counts from its next start on, and what is new is not started.

        Raises:
            SupervisorError: `refused`: it cannot be done, with every complaint; `stale`: the plan
                is another one by now. Nothing was done.
            SpecError, TreeFileError, CommandError, CalledFromStep: as `plan`.
        """
        root, wanted = self._wanted(tree)
        digest = plan if isinstance(plan, str) else plan.digest
        done: Applied = self._requests.ask(root, "apply_tree", wanted, digest, specs_only)
        return done

    def wanted_tree(self, tree: WantedTree = None) -> SupervisorSpec:
        """Return a tree that is wanted, checked in full; raises as `plan`."""
        if tree is None:
            tree = self._file()
            if not tree:
                raise CommandError("this tree was made by a program, of no file: name one")
        if not isinstance(tree, SupervisorSpec):
            tree = load_tree(tree, in_use=True)
        complaints = Judge(tree).complaints
        if complaints:
            raise SpecError(complaints_text("the tree", complaints), complaints=complaints)
        return tree

    def _wanted(self, tree: WantedTree) -> tuple[str, SupervisorSpec]:
        forbid_reentry(self._world)
        return self._world.root.spec.id, self.wanted_tree(tree)
