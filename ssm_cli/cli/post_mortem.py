"""The past of a tree whose root gave up, in a file; the last few of each tree stay."""

from __future__ import annotations

import glob
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ssm_cli.cli.environment import Environment, state_folder
from ssm_cli.cli.where import say
from ssm_cli.errors import SsmError, message_of
from ssm_cli.history.saved.file import write_past
from ssm_cli.history.saved.keeping import bytes_of_past

if TYPE_CHECKING:
    from ssm_cli.runtime.node import Node

MOST_KEPT = 5  # files of one tree
STAMP = "[0-9]" * 8 + "T" + "[0-9]" * 12  # as glob has it
POST_MORTEM_S = 2.0  # the exit of the process waits meanwhile


def save_post_mortem(env: Environment, node: Node) -> None:
    """Save the past of a tree that gave up, and say where; never raise for what goes wrong."""
    if node.recorder() is None:
        return
    folder = state_folder(env.environ) / "past"
    try:
        data, facts = bytes_of_past(node, POST_MORTEM_S)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        stamp = f"{datetime.fromtimestamp(facts.at_s, UTC):%Y%m%dT%H%M%S%f}"
        path = folder / f"{node.name}-{stamp}.past"
        write_past(path, data)
        for old in sorted(folder.glob(f"{glob.escape(node.name)}-{STAMP}.past"))[:-MOST_KEPT]:
            old.unlink(missing_ok=True)
    except (SsmError, OSError) as error:
        say(env, f"the past of {node.name} is not saved: {message_of(error)}")
        return
    say(env, f"the past of {node.name} is saved: `ssm open {path}`")
