"""What simulations of a tree come to, as values that a test asserts things of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Any

import msgspec

from ssm_cli.commands.futures import pool_lines
from ssm_cli.commands.records import instant
from ssm_cli.errors import CommandError
from ssm_cli.history.past import with_past
from ssm_cli.runtime.node import Node
from ssm_cli.simulation.asking import chaos_in, check_policy_in, with_futures
from ssm_cli.simulation.faults import FaultKind, percent_text
from ssm_cli.spec.model import SupervisorSpec
from ssm_cli.testing.nodes import spec_of_tree

FAULTS = 2
SEED = 1
MOST_SHOWN = 4_000  # characters of what is told, in a failed assertion
Tree = SupervisorSpec | str | Path | Node


class Tried(msgspec.Struct, frozen=True):
    """What a simulation came to.

    Attributes:
        survived: no way down, no crash, no difference was found, no bound has stopped the search
            before all was tried, and each part of a rule was known in some state.
        told: all that is told, as `-o json` prints it.
    """

    survived: bool
    told: dict[str, Any]

    def assert_survives(self) -> None:
        """Fail with the timeline of what was found, unless nothing was."""
        if not self.survived:
            way = self.told.get("way") or self.told.get("timeline") or self.told.get("firsts") or []
            other = [self.told.get("test") or self.told]
            rows = way or self.told.get("never") or pool_lines(self.told.get("pools", ())) or other
            lines = [str(row) for row in rows]
            raise AssertionError("\n".join([self._why(bool(way)), *lines])[:MOST_SHOWN])

    def _why(self, is_way: bool) -> str:
        stopped = self.told.get("stopped")
        if stopped and not is_way and not self.told.get("test"):
            return f"stopped after {stopped}, before all was tried; ask for less at once:"
        if self.told.get("never"):
            return "parts of the rule were never known:"
        if "pools" in self.told and not is_way:
            return "nothing was tried, as there is no worker to put a fault into:"
        return "a way down was found:"


def check_policy(tree: Tree, faults: int = FAULTS) -> Tried:
    """Place up to so many faults in a tree in all ways; no code of its workers runs.

    Args:
        tree: a spec, a tree file, or a node that runs, whose tree is looked at as it stands.
        faults: how many at most.

    Raises:
        TreeFileError, SpecError: the tree does not validate.
        CommandError: `faults` is none from 1 to 8, or the tree is none of these.
    """
    told: dict[str, Any]
    if isinstance(tree, Node):
        told = with_futures(tree, instant).perform("check_policy", faults=str(faults))
    else:
        spec = spec_of_tree(tree)
        told = check_policy_in(spec, spec.id, faults)
        told |= {"replay": again("check-policy", tree, told)}
    return Tried(told["survived"] and not told["stopped"], told)


def chaos(
    tree: Tree,
    *,
    seed: int = SEED,
    steps: int = 1_000,
    for_: str | None = None,
    skip: Sequence[str] = (),
    **weights: str | float,
) -> Tried:
    """Give a tree faults and load by a seed, in virtual time; the same seed does the same again.

    Args:
        tree: a spec, or a tree file, which is started for this, without a store; or a node that
            runs, a fork of which is tried.
        seed: what decides.
        steps: how many faults and inputs there are.
        for_: in how much virtual time, as `2h`; by default 3.6 s a step.
        skip: workers that are left out.
        weights: as the options of `ssm chaos`: `kill="kv*=5%"`, `fail_init="1%"`; or a share of the
            steps as a number above 0, at most 1: `crash=0.05`.

    Raises:
        TreeFileError, SpecError: the tree does not validate.
        StartFailed: it does not start.
        CommandError: an argument is none of these, or a worker is not pure.
    """
    given: dict[str, str | None] = {"seed": str(seed), "steps": str(steps), "span": for_}
    given["skip"] = skip if isinstance(skip, str) else ",".join(skip)
    given |= {fault_name(name): weight_word(name, word) for name, word in weights.items()}
    told: dict[str, Any]
    if isinstance(tree, Node):
        told = with_futures(tree, instant).perform("chaos", **given)
    else:
        spec = spec_of_tree(tree)
        told = chaos_in(spec, spec.id, given, instant)
        told |= {"replay": again("chaos", tree, told)}
    return Tried(told["survived"] and not told["stopped"], told)


def fault_name(name: str) -> str:
    """Return the option of a fault that an argument names.

    Raises:
        CommandError: there is no such fault.

    >>> fault_name("fail_init")
    'fail-init'
    """
    known = [kind.value for kind in FaultKind]
    if name.replace("_", "-") in known:
        return name.replace("_", "-")
    names = ", ".join(known).replace("-", "_")
    raise CommandError(f"`{name[:40]}` is no fault; expected one of {names}")


def weight_word(name: str, word: object) -> str:
    """Return a weight as an option takes it.

    Raises:
        CommandError: it is neither a text nor a share of the steps.

    >>> weight_word("crash", 0.05), weight_word("kill", "kv*=1%")
    ('5%', 'kv*=1%')
    """
    if isinstance(word, str):
        return word
    if isinstance(word, int | float) and not isinstance(word, bool) and 0 < word <= 1:
        return f"{percent_text(word)}%"
    expected = 'a share of the steps, above 0 and at most 1, or a text like "kv*=5%"'
    raise CommandError(f"{name} takes {expected}, not `{str(word)[:40]}`")


def again(verb: str, tree: SupervisorSpec | str | Path, told: dict[str, Any]) -> str:
    """Return the command that does the same again; of a tree that is in no file its options."""
    if isinstance(tree, SupervisorSpec):
        return str(told["replay"])
    return f"ssm {verb} {quote(str(tree))} {told['replay']}"


def fuzz(
    node: Node, worker: str, *, seed: int = SEED, steps: int = 20_000, invariant: str = ""
) -> Tried:
    """Look for inputs that crash a worker, or break a rule, from the state that it has in a node.

    Raises:
        CommandError: the worker cannot be fuzzed; says why.
    """
    given = {
        "worker": worker,
        "seed": str(seed),
        "steps": str(steps),
        "invariant": invariant or None,
    }
    told: dict[str, Any] = with_futures(node, instant).perform("fuzz", **given)
    return Tried(not (told["found"] or told["stopped"] or told["never"]), told)


def replay(node: Node, worker: str = "all", code: str | Path | None = None) -> Tried:
    """Step what a node remembers on other code, and compare; `survived` if all is the same.

    Raises:
        Forgotten: no input of the worker is remembered.
        CommandError: the code cannot be loaded.
    """
    file = None if code is None else str(code)
    told: dict[str, Any] = with_past(node, instant).perform("replay", worker=worker, code=file)
    return Tried(told["same"] == told["total"], told)
