"""The commands about files: `ssm check`, `ssm schema`, `ssm new`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssm_cli.cli.environment import Environment
from ssm_cli.cli.templates import FILES
from ssm_cli.errors import CommandError


def check(
    ctx: typer.Context,
    tree: Annotated[str, typer.Argument(metavar="TREE", help="a tree file, .yaml or .py")],
) -> int:
    """Validate a tree file without starting it; prints every complaint."""
    from ssm_cli.spec.load import load_tree  # noqa: PLC0415 - not needed for help
    from ssm_cli.spec.model import WorkerSpec, walk  # noqa: PLC0415 - as above

    kinds = [isinstance(spec, WorkerSpec) for _, spec in walk(load_tree(tree))]
    workers, supervisors = kinds.count(True), kinds.count(False)
    env: Environment = ctx.obj
    env.stdout.write(
        f"{tree}: ok, {_count(supervisors, 'supervisor')}, {_count(workers, 'worker')}\n"
    )
    return 0


def schema(ctx: typer.Context) -> int:
    """Print the JSON Schema of a tree file, for editors."""
    import json  # noqa: PLC0415 - only here

    from ssm_cli.spec.schema import json_schema  # noqa: PLC0415 - only here

    env: Environment = ctx.obj
    env.stdout.write(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
    return 0


def new(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="made if it is not there")],
) -> int:
    """Write a tree, a worker, its test and a README to start from; overwrite nothing."""
    there = [name for name in FILES if (folder / name).exists()]
    if there:
        raise CommandError(
            f"{folder} already has {', '.join(there)}; name another folder, or move them away"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in FILES.items():
            with (folder / name).open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise CommandError(
            f"cannot write {error.filename or folder}: {error.strerror}; name another folder"
        ) from error
    env: Environment = ctx.obj
    lines = [f"wrote {folder / name}" for name in FILES]
    env.stdout.write("\n".join([*lines, f"next: ssm run {folder / 'tree.yaml'}"]) + "\n")
    return 0


def _count(number: int, noun: str) -> str:
    """A number and what is counted.

    >>> _count(1, "worker"), _count(2, "worker")
    ('1 worker', '2 workers')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
