"""From a tree that runs, and the tree that is wanted, to the steps between them. Pure.

Theory of operation. Three things are compared: the specs that the tree was started by, those that
are wanted, and what stands there. So a child that somebody has started by hand is not taken for one
that is gone from the file, and one that was stopped by hand is not started. What changes are specs,
as OTP's `code_change` of a supervisor changes them; a process is touched where its spec is gone,
new, or another one. The steps, in their order:

    stop      gone, or at another place now: the last started first, with all that is below
    change    flags, options, order: all at once, and no process hears of it
    restart   its code, its arguments or what is kept of it is another: in start order
    start     new: in start order, with all that is below
    nothing   what one might expect to be touched, and is not, with the reason

Source: OTP `supervisor:code_change/3`, `update_childspec/2`; what goes beyond is in
`docs/reference/otp.md`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from hashlib import blake2b
from typing import Literal

import msgspec

from ssm_cli.spec.model import ChildSpec, RemoteSpec, Restart, SupervisorSpec, WorkerSpec
from ssm_cli.supervision.differing import Difference, differences, kind_of, same_code
from ssm_cli.supervision.obstacles import keeps, keeps_below, names_taken, pool_stuck, without_store
from ssm_cli.supervision.standing import (
    Facts,
    Place,
    Standing,
    each,
    is_one,
    places_in_spec,
    places_of,
    settled_tree,
)

Act = Literal["stop", "change", "restart", "start", "nothing"]
DIGEST_BYTES = 6
MOST_NAMED = 5  # children that a reason names
ELSEWHERE = "; it ends first, and runs again where a node fits: see `ssm check`"
NOT_RUNNING = "it does not run; that counts from its next start on"


class PlanStep(msgspec.Struct, frozen=True):
    """One step of a plan: what is done to which node, below which supervisor, and why."""

    act: Act
    id: str
    path: str
    supervisor: str
    why: str


class TreePlan(msgspec.Struct, frozen=True):
    """What it takes to make another tree of one that runs.

    Attributes:
        digest: names the plan together with all that it was made from.
        steps: in the order in which they are carried out; those of `nothing` last.
        same: to how many nodes nothing is done.
        refused: why it cannot be carried out, every complaint; empty if it can.
        held: the workers that are down and stay so, as they cannot go on with what is stored.
    """

    digest: str
    steps: tuple[PlanStep, ...]
    same: int
    refused: tuple[str, ...] = ()
    held: tuple[str, ...] = ()

    @property
    def todo(self) -> tuple[PlanStep, ...]:
        """The steps that do something."""
        return tuple(step for step in self.steps if step.act != "nothing")


class Applied(msgspec.Struct, frozen=True):
    """What came of carrying a plan out.

    Attributes:
        digest: of the plan.
        done: the steps that are done, in their order.
        failed: the step that was not; None if all are done.
        reason: why it was not.
        state: what has become of its node: it is `stopped`, or `restarting`.
        coming: the remote children that were asked for, and do not run yet.
        left: the steps behind it, which were not begun; a second `apply` goes on with them.
        held: the workers that were to start and do not, as they cannot go on with what is stored
            of them; `why` says what to do.
    """

    digest: str
    done: tuple[PlanStep, ...] = ()
    failed: PlanStep | None = None
    reason: str = ""
    left: tuple[PlanStep, ...] = ()
    held: tuple[PlanStep, ...] = ()
    state: str = ""
    coming: tuple[PlanStep, ...] = ()


def plan_tree(
    now: Standing,
    wanted: SupervisorSpec,
    *,
    stores: bool = True,
    known: Collection[str] = (),
    specs_only: bool = False,
) -> tuple[TreePlan, SupervisorSpec]:
    """Return the plan from `now` to `wanted`, and the tree whose specs are to be put in place.

    Args:
        now: the root as it stands.
        wanted: a tree that validates.
        stores: whether there is a store for what is to outlive the process.
        known: workers of which something is stored that they would begin with.
        specs_only: only specs change, as in OTP's `code_change`: no process is stopped or started.
    """
    planning = Planning(now, wanted, known=known, specs_only=specs_only)
    steps = planning.steps()
    refused = tuple(planning.refused(steps, stores=stores))
    touched = {step.id for step in steps if step.act != "nothing"}
    stays = [node for node in each(now) if node.spec.id not in touched]
    held = tuple(node.spec.id for node in stays if node.state == "held")
    return TreePlan(planning.digest(steps), steps, len(stays), refused, held), planning.tree


class Planning:
    """One comparison of what stands there with what is wanted.

    Attributes:
        now, wanted: where each node stands, and where it is wanted, by id.
        tree: what is wanted, with all that is the same as it is now.
    """

    def __init__(
        self, now: Standing, wanted: SupervisorSpec, *, known: Collection[str], specs_only: bool
    ) -> None:
        self._root, self._known, self._specs_only = now, known, specs_only
        self._gone: dict[str, str | None] = {}
        self.tree = settled_tree(now, wanted)
        self.now = {place.node.spec.id: place for place in places_of(now)}
        self.wanted = {place.node.id: place for place in places_in_spec(self.tree)}

    def steps(self) -> tuple[PlanStep, ...]:
        """Return all steps in their order; none if the file is that of another tree."""
        if self._is_other():
            return ()
        stops, found = [*self._stops()], [s for p in self.wanted.values() for s in self._of(p)]
        stays = [step for step in reversed(stops) if step.act == "nothing"]
        return (
            *(step for step in stops if step.act == "stop"),
            *(step for step in found if step.act == "change"),
            *(step for step in found if step.act in ("restart", "start")),
            *(step for step in found if step.act == "nothing"),
            *stays,
        )

    def _is_other(self) -> bool:
        """Whether the roots are not one."""
        root = self._root.spec
        return self.tree.id != root.id or kind_of(self.tree) != kind_of(root)

    # -- what goes -----------------------------------------------------------------------------

    def _stops(self) -> Iterator[PlanStep]:
        """Yield what is stopped, the last started first; what goes with its supervisor is left."""
        for name, place in reversed(self.now.items()):
            why = self._why_gone(name)
            if why is None or (self._goes_above(place) and not why.startswith("moved")):
                continue
            below = with_below(sum(1 for _ in each(place.node)) - 1)
            if self._by_hand(place):
                if not self._by_hand(self.now[place.supervisor]):
                    said = f"started by hand, and not in the file: it stays{below}"
                    yield step_of("nothing", place, said)
            elif self._specs_only:
                yield step_of("nothing", place, f"{why}: it stays, as only specs change")
            else:
                yield step_of("stop", place, f"{why}{below}{self._data(place)}")

    def _why_gone(self, name: str) -> str | None:
        """Return why a node does not stay where it is; None if it does, or is not there."""
        if name not in self._gone:
            self._gone[name] = self._find_why(name)
        return self._gone[name]

    def _find_why(self, name: str) -> str | None:
        place, there = self.now.get(name), self.wanted.get(name)
        if place is None or not place.supervisor:
            return None
        if there is None:
            return "gone from the file"
        if there.above != place.above:
            return f"moved to {there.above}, as a child has one supervisor for life"
        if self._is_anew(there):
            return f"moved to the new {there.supervisor}"
        if kind_of(there.node) != kind_of(place.node.spec):
            return f"it becomes a {kind_of(there.node)}"
        return None

    def _goes_above(self, place: Place) -> bool:
        """Whether a supervisor above goes, and the node with it."""
        above = self.now.get(place.supervisor)
        if above is None:
            return False
        gone = self._why_gone(place.supervisor) is not None
        return (gone and not self._by_hand(above)) or self._goes_above(above)

    def _by_hand(self, place: Place) -> bool:
        """Whether a node, or one above it, was started by hand, and the file has no such node."""
        if not place.own and place.node.spec.id not in self.wanted:
            return True
        above = self.now.get(place.supervisor)
        return above is not None and self._by_hand(above)

    def _is_anew(self, there: Place) -> bool:
        """Whether the supervisor that a node is wanted below is not one that stands there."""
        if not there.supervisor:
            return False
        return there.supervisor not in self.now or self._why_gone(there.supervisor) is not None

    def _data(self, place: Place) -> str:
        """Return what becomes of what is stored of a node, and of all below it."""
        stored = [node.spec.id for node in each(place.node) if node.stored]
        there = {name: self.wanted.get(name) for name in stored}
        gone = [name for name, at in there.items() if at is None or not keeps(at.node)]
        if gone:
            return f"; what is stored of {named(gone)} is kept"
        return "; what is stored of it goes with it" if stored else ""

    # -- what stays, and what comes ------------------------------------------------------------

    def _of(self, there: Place) -> Iterator[PlanStep]:
        """Yield the steps of one node that is wanted, besides its stop elsewhere."""
        name = there.node.id
        here = self.now.get(name)
        if here is None or self._why_gone(name) is not None:
            if not self._is_anew(there):
                yield from self._comes(there, here)
            return
        node, spec = here.node, there.node
        found = differences(node.spec, spec)
        anew = [one for one in differences(node.begun or node.spec, spec) if one.restarts]
        if isinstance(spec, SupervisorSpec):
            found = (*found, *of_table(node, spec))
        if anew:
            yield from self._another(there, node, anew)
        elif found:
            yield step_of("change", there, said_of(found))
            yield from of_dynamic(there, node, found)
        down = node.state == "new" and self._runs(there) and not self._specs_only
        if down and not anew:
            why = "its last start has failed" if node.starts else "it was not started yet"
            yield self._start(there, why)
        elif node.state == "held" and not (anew or found):
            yield step_of("nothing", there, f"it is down, and stays so: {node.trouble}")

    def _comes(self, there: Place, here: Place | None) -> Iterator[PlanStep]:
        """Yield the start of a node that is not there."""
        name, above = there.node.id, self.now[there.supervisor].node
        known = any(child.id == name for child in above.spec.children)
        if here is None and known and not self._runs(there):
            return  # its supervisor makes its table anew when it starts
        if here is None and known and there.node.restart is Restart.TEMPORARY:
            yield step_of("nothing", there, "it has ended: a temporary child is started once")
            return
        why = "it was deleted by hand" if known else "new"
        if here is not None:
            moved = here.above != there.above
            why = f"moved here from {here.above}" if moved else f"now a {kind_of(there.node)}"
        why += with_below(sum(1 for _ in walk_specs(there.node)) - 1)
        if here is None or not here.node.stored:  # else its stop says so
            why += coming_back(there.node, self._known)
        yield self._start(there, why + self._renamed(there))

    def _start(self, there: Place, why: str) -> PlanStep:
        """Return a start, or what stands in its way."""
        if self._specs_only:
            return step_of("change", there, f"{why}: its spec is there, and it is not started")
        if not self._runs(there):
            later = f"{why}: {there.supervisor} does not run, and starts it when it does"
            return step_of("change", there, later)
        return step_of("start", there, why)

    def _another(
        self, there: Place, node: Standing, anew: Sequence[Difference]
    ) -> Iterator[PlanStep]:
        """Yield the restart of a child that is another one, if it is up or about to be."""
        why = said_of(anew)
        if node.stored and keeps(there.node):
            why += "; its stored state goes with it"
        elif node.stored:
            why += "; it begins by `init`, and what is stored of it stays where it is"
        else:
            why += coming_back(there.node, self._known)
        if self._specs_only:
            yield step_of("change", there, f"{why}, from its next start on")
        elif node.state == "waiting":
            yield step_of("change", there, f"{why}; it starts with its sibling")
        elif node.state == "stopped" or not self._runs(there):
            yield step_of("change", there, f"{why}; {NOT_RUNNING}")
        else:
            is_down = node.state in ("held", "new")
            why += "" if is_down or not isinstance(there.node, RemoteSpec) else ELSEWHERE
            yield step_of("start" if is_down else "restart", there, why)

    def _runs(self, there: Place) -> bool:
        """Whether the supervisor of a node that is wanted runs."""
        above = self.now.get(there.supervisor)
        return above is not None and above.node.state == "running"

    def _renamed(self, there: Place) -> str:
        """Return which durable worker a new one may be, renamed; see decision 0024."""
        spec = there.node
        if spec.id in self.now or not keeps(spec):
            return ""
        for name, place in self.now.items():
            gone = place.node.stored and not self._by_hand(place) and name not in self.wanted
            at_place = (place.above, place.number) == (there.above, there.number)
            if gone and (at_place or same_code(place.node.spec.start, spec.start)):
                return f"; it may be {name}, renamed, and is held back until you say so"
        return ""

    # -- what is in the way --------------------------------------------------------------------

    def refused(self, steps: Sequence[PlanStep], *, stores: bool) -> Iterator[str]:
        """Yield why the plan cannot be carried out."""
        root, tree = self._root.spec, self.tree
        if tree.id != root.id:
            yield f"{root.id}: the root is called `{tree.id}` there: that is another tree"
        elif self._is_other():
            yield f"{root.id}: the root becomes a {kind_of(tree)}; stop the tree, and run that one"
        else:
            yield from self._in_the_way({step.id for step in steps if step.act == "stop"})
            yield from () if stores else without_store(tree)
        for name in dict.fromkeys(step.supervisor for step in steps if step.act != "nothing"):
            if name in self.now and self.now[name].node.suspended:
                yield f"{self.now[name].path}: is suspended, and its children change; resume it"

    def _in_the_way(self, stopped: Collection[str]) -> Iterator[str]:
        """Yield what is in the way of nodes that are wanted, once those that go are stopped."""
        for name, place in self.wanted.items():
            gone = self._why_gone(name)
            if gone is not None and self._specs_only:
                yield f"{place.path}: {gone}; that takes more than another spec"
            if gone is None and name in self.now:
                yield from pool_stuck(self.now[name].node, place)
        yield from names_taken(self._root, self.wanted, stopped)

    def digest(self, steps: Sequence[PlanStep]) -> str:
        """Return a digest of the plan: of its steps, what is wanted, and what it is about.

        A restart of a node that has a step, or another child below its supervisor, makes another
        digest; so does another value in the file that the steps do not tell.
        """
        said, facts = blake2b(digest_size=DIGEST_BYTES), Facts()
        names = {name for step in steps for name in (step.id, step.supervisor)}
        parts = [repr((step.act, step.path, step.why)) for step in steps]
        for name in sorted(names & self.now.keys()):
            node = self.now[name].node
            table = [child.spec.id for child in node.children]
            parts.append(repr((name, node.state, node.starts, table)))
        for step in steps:
            if (there := self.wanted.get(step.id)) is not None:
                parts += facts.of(own_of(there.node) if step.act == "change" else there.node)
        for part in parts:
            said.update(part.encode("utf-8", "surrogatepass"))
        return said.hexdigest()


def own_of(spec: ChildSpec) -> ChildSpec:
    """Return the spec of a supervisor without what has steps of its own; any other as it is."""
    if not isinstance(spec, SupervisorSpec) or kind_of(spec) == "pool":
        return spec
    return msgspec.structs.replace(spec, children=())


def step_of(act: Act, place: Place, why: str) -> PlanStep:
    """Return a step about the node at a place."""
    node = place.node
    name = node.spec.id if isinstance(node, Standing) else node.id
    return PlanStep(act, name, place.path, place.supervisor, why)


def of_dynamic(there: Place, node: Standing, found: Sequence[Difference]) -> Iterator[PlanStep]:
    """Yield what happens to the children of a pool whose template is another one."""
    if any(pool_stuck(node, there)):
        return
    if node.children and any(one.key == "template" for one in found):
        worker = isinstance(there.node.children[0], WorkerSpec)
        later = "take the new template at their next start" if worker else "keep what they are"
        why = f"its {len(node.children)} dynamic children stay, and {later}"
        yield step_of("nothing", there, why)
    most, count = getattr(there.node, "max_children", None), len(node.children)
    if most is not None and count > most and any(one.key == "max_children" for one in found):
        why = f"its {count} children stay; none comes while it has {most} or more"
        yield step_of("nothing", there, why)


def coming_back(spec: ChildSpec, known: Collection[str]) -> str:
    """Return of which of a node, and of all below it, something is stored that comes back."""
    found = [one.id for one in walk_specs(spec) if one.id in known]
    if found == [spec.id]:
        return "; what is stored of it comes back"
    return f"; what is stored of {named(found)} comes back" if found else ""


def of_table(node: Standing, wanted: SupervisorSpec) -> Iterator[Difference]:
    """Yield what differs between tables of children as a whole."""
    assert isinstance(node.spec, SupervisorSpec)
    before, after = node.spec.children, wanted.children
    if kind_of(wanted) == "pool":
        if not is_one(before, after):
            said = f"template {after[0].id}: {of_templates(before, after)}"
            stored = [one.spec.id for one in each(node) if one.stored]
            if stored and not keeps_below(after[0]):
                said += f"; {named(stored)} begin by `init` at their next start, and do not come "
                said += "back with the tree; what is stored of them stays where it is"
            yield Difference("template", said)
        return
    known = {child.spec.id for child in node.children}
    order = [child.id for child in after if child.id in known]
    if order != [child.spec.id for child in node.children if child.spec.id in {*order}]:
        yield Difference("order", f"start order {named([child.id for child in after])}")
    if node.state != "running" and not is_one(before, after):
        yield Difference("children", f"children; {NOT_RUNNING}")


def of_templates(before: Sequence[ChildSpec], after: Sequence[ChildSpec]) -> str:
    """Return how the templates of a pool differ."""
    (old,), (new,) = before, after
    if kind_of(old) != kind_of(new):
        return f"a {kind_of(old)} becomes a {kind_of(new)}"
    return said_of(differences(old, new)) or "what is below it"


def said_of(found: Sequence[Difference]) -> str:
    """Return differences as one reason."""
    return ", ".join(one.said for one in found)


def named(names: Sequence[str]) -> str:
    """Return some names; of many, how many more there are.

    >>> named(["a", "b"]), named(list("abcdefg"))
    ('a, b', 'a, b, c, d, e and 2 more')
    """
    shown, more = ", ".join(names[:MOST_NAMED]), len(names) - MOST_NAMED
    return f"{shown} and {more} more" if more > 0 else shown


def with_below(count: int) -> str:
    """Return that so many nodes go with one."""
    return f", with the {count} below it" if count > 0 else ""


def walk_specs(spec: ChildSpec) -> Iterator[ChildSpec]:
    """Yield a spec and those below it that are started with it."""
    yield spec
    if isinstance(spec, SupervisorSpec) and kind_of(spec) != "pool":
        for child in spec.children:
            yield from walk_specs(child)
