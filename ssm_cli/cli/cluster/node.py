"""`ssm node`: a node of a cluster."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Annotated

import typer

from ssm_cli.cli.cluster.access import Cluster
from ssm_cli.cli.environment import Environment
from ssm_cli.cli.where import option, seconds_option

NAME = re.compile(r"[\w.-]{1,200}")


def node(
    env: Environment,
    *,
    cluster: Cluster = None,
    name: Annotated[str | None, option("NAME", "default: this computer's name")] = None,
    label: Annotated[list[str] | None, option("KEY=VALUE", "for `place`; repeatable")] = None,
    drain: Annotated[
        float,
        seconds_option(
            "how long subtrees that no other node takes run on, once it is to end", endless=True
        ),
    ] = 20.0,
    directory: Annotated[str, option("DIR", "where tree files and modules are", "--dir")] = ".",
) -> int:
    """Host subtrees for the trees of a cluster; without --cluster, start a server for it here."""
    labels = labels_of(label or [])
    called = name if name is not None else socket.gethostname().partition(".")[0]
    if NAME.fullmatch(called) is None:
        raise typer.BadParameter(f"--name takes letters, digits, `_`, `.` and `-`, not {called!r}")
    if not Path(directory).is_dir():
        raise typer.BadParameter(f"--dir takes a folder, and {directory} is none")
    from ssm_cli.cli.cluster.running import run_node  # noqa: PLC0415 - not needed for help

    return run_node(
        env, cluster, called, labels, folder=str(Path(directory).resolve()), drain_s=drain
    )


def labels_of(given: list[str]) -> dict[str, str]:
    """Parse labels of the form `KEY=VALUE`.

    >>> labels_of(["zone=b"])
    {'zone': 'b'}
    """
    for text in given:
        if "=" not in text or text.startswith("="):
            raise typer.BadParameter(f"--label takes KEY=VALUE, not `{text}`")
    return dict(text.split("=", 1) for text in given)
