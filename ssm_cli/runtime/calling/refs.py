"""Refs: a worker by its name, with the types of its inputs and outputs."""

from __future__ import annotations

from typing import Any, Generic, overload

from ssm_cli.behaviour.callbacks import Callbacks
from ssm_cli.behaviour.dispatch import callback_of
from ssm_cli.behaviour.gen_server import GenServer
from ssm_cli.behaviour.machine import StateMachine
from ssm_cli.behaviour.sizes import cut
from ssm_cli.behaviour.statem import PureStatem
from ssm_cli.behaviour.variables import In, In_contra, Out, Out_co, State
from ssm_cli.errors import NoProc
from ssm_cli.runtime.api import NodeApi
from ssm_cli.runtime.calling.waiting import TIMEOUT_S
from ssm_cli.runtime.durable.code import lasting_name
from ssm_cli.runtime.engine.world import World
from ssm_cli.runtime.performer.intake import need_worker
from ssm_cli.spec.keys import shown
from ssm_cli.spec.model import SupervisorSpec, WorkerSpec, walk


class Ref(Generic[In_contra, Out_co]):
    """A worker of a node, whichever life of it runs: `Ref[In, Out]`. Made by `Node.worker`.

    Attributes:
        name: of the worker.
    """

    __slots__ = ("_node", "name")

    def __init__(self, node: NodeApi, name: str) -> None:
        self._node, self.name = node, name

    def call(self, message: In_contra, timeout_s: float | None = TIMEOUT_S) -> Out_co:
        """Step the worker and return its output; raises as `Node.call` does."""
        output: Out_co = self._node.call(self.name, message, timeout_s)
        return output

    async def acall(self, message: In_contra, timeout_s: float | None = TIMEOUT_S) -> Out_co:
        """`call` for asyncio."""
        output: Out_co = await self._node.acall(self.name, message, timeout_s)
        return output

    def cast(self, message: In_contra) -> None:
        """Write `message` to the queue and go on; raises as `Node.cast` does."""
        self._node.cast(self.name, message)

    def __repr__(self) -> str:
        return f"Ref({self.name})"


class Refs:
    """The part of a node that hands out refs."""

    def __init__(self, node: NodeApi, tree: SupervisorSpec, world: World) -> None:
        self._node, self._tree, self._world = node, tree, world

    @overload
    def worker(self, name: str, code: StateMachine[In, State, Out]) -> Ref[In, Out]: ...
    @overload
    def worker(self, name: str, code: type[GenServer[In, State, Out]]) -> Ref[In, Out]: ...
    @overload
    def worker(self, name: str, code: PureStatem | type[Callbacks] = ...) -> Ref[Any, Any]: ...
    def worker(self, name: str, code: object = None) -> Ref[Any, Any]:
        """Return a ref to a worker, typed by its code, as `node.worker("kv2", kv_store)`.

        Args:
            name: of a worker of the tree; one of those in its spec while it does not run.
            code: what its child spec names as `start`. The ref of a `Statem` or an `Event` takes
                anything, as does one without code.

        Raises:
            NoProc: there is no worker of that name.
            TypeError: its code is another.
        """
        start = self._spec(name).start
        if code is not None and start is not code:
            raise TypeError(
                f"{name} runs {_said(start)}, not {_said(code)}; expected the code "
                f"that its child spec names as `start`"
            )
        return Ref(self._node, name)

    def _spec(self, name: str) -> WorkerSpec:
        if self._world.names:
            known: WorkerSpec = need_worker(self._world, name).spec
            return known
        for path, spec in walk(self._tree):
            if isinstance(spec, WorkerSpec) and name in (spec.id, path):
                return spec
        raise NoProc(f"no worker {cut(name)}", worker=cut(name), reason="noproc")


def _said(code: object) -> str:
    is_code = isinstance(code, StateMachine | PureStatem) or hasattr(code, "__qualname__")
    return lasting_name(callback_of(code)) if is_code else shown(code)
