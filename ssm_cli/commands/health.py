"""Whether everything runs that should: the question behind exit code 3 of `ssm tree`."""

from __future__ import annotations

from ssm_cli.errors import SsmError
from ssm_cli.runtime.api import NodeApi
from ssm_cli.runtime.views import NodeView


def all_run(root: NodeView, api: NodeApi) -> bool:
    """Whether every node that should run does.

    A node that is suspended is held on purpose. One that is stopped should run if it is the root
    or permanent: a transient child that is stopped has ended as it may, and a temporary one
    leaves the tree when it ends. What waits for a restart or cannot be reached should run.
    """
    return root.state in ("running", "suspended") and _children_run(root, api)


def _children_run(view: NodeView, api: NodeApi) -> bool:
    for child in view.children:
        match child.state:
            case "restarting" | "unreachable":
                return False
            case "stopped":
                if _permanent(api, view.path, child.id):
                    return False
            case _:
                if not _children_run(child, api):
                    return False
    return True


def _permanent(api: NodeApi, supervisor: str, child: str) -> bool:
    """Whether the spec of a stopped child wants it to run always; one without a spec does not."""
    try:
        return api.get_childspec(supervisor, child).restart == "permanent"
    except SsmError:
        return False  # the spec was deleted since the tree was asked: nothing wants it to run
