"""Trees for the tests of the doors."""

from __future__ import annotations

from ssm_cli import Supervisor, Worker
from ssm_cli.machines.kv import kv_store
from ssm_cli.spec.model import SupervisorSpec


def wide(count: int) -> SupervisorSpec:
    """A supervisor of so many key-value stores, `w0` and so on."""
    return Supervisor("root", children=[Worker(f"w{n}", kv_store) for n in range(count)])
