"""The commands about files: `ssm check`, `ssm schema`, `ssm new`."""

from __future__ import annotations

from contextlib import suppress
from errno import EEXIST
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssm_cli.cli.cluster.access import Cluster
from ssm_cli.cli.environment import Environment
from ssm_cli.cli.printer import answer, did
from ssm_cli.cli.where import Output, flag
from ssm_cli.errors import CommandError, TreeFileError, counted
from ssm_cli.exit_codes import ExitCode
from ssm_cli.private import PUBLIC, unwritten, write_private

if TYPE_CHECKING:
    from ssm_cli.spec.model import SupervisorSpec


def check(
    env: Environment,
    tree: Annotated[str, typer.Argument(metavar="TREE", help="a tree file, .yaml or .py")],
    *,
    policy: Annotated[
        bool, flag("also tell of limits that cannot work, with numbers", "--policy")
    ] = False,
    cluster: Cluster = None,
    output: Output = None,
) -> int:
    """Validate a tree file without starting it; prints every complaint, and who would host what."""
    from ssm_cli.spec.load import load_tree  # noqa: PLC0415 - not needed for help
    from ssm_cli.spec.model import RemoteSpec, WorkerSpec, walk  # noqa: PLC0415 - as above

    head = {"v": 1, "type": "check", "tree": tree}
    try:
        root = load_tree(tree)
    except TreeFileError as error:
        if output in (None, "text"):
            raise
        answer(env, output, (), [head | {"ok": False, "complaints": list(error.complaints)}])
        return ExitCode.USAGE
    specs = [spec for _, spec in walk(root)]
    remote = [spec for spec in specs if isinstance(spec, RemoteSpec)]
    workers = sum(isinstance(spec, WorkerSpec) for spec in specs)
    supervisors = len(specs) - workers - len(remote)
    counts = [counted(supervisors, "supervisor"), counted(workers, "worker")]
    places: list[str] = []
    if remote:
        from ssm_cli.cli.cluster.asking import where_to  # noqa: PLC0415 - for clusters alone

        counts.append(f"{len(remote)} remote")
        places = where_to(env, cluster, remote, Path(tree).parent)
    record: dict[str, object] = head | {"ok": True, "supervisors": supervisors, "workers": workers}
    record |= {"remote": len(remote), "places": places}
    lines = [f"{tree}: ok, {', '.join(counts)}", *places]
    limits = _limits(root, record) if policy else []
    answer(env, output, [*lines, *limits], [record])
    return ExitCode.NOT_RUNNING if limits else ExitCode.DONE


def _limits(root: SupervisorSpec, record: dict[str, object]) -> list[str]:
    """Return a line for each limit of a tree that cannot work; put them into the record, too."""
    from ssm_cli.simulation.limits import limit_complaints  # noqa: PLC0415 - rare

    found = limit_complaints(root)
    record["limits"] = [{"path": c.path, "rule": c.rule, "text": c.text} for c in found]
    return [f"{c.path}: {c.text}" for c in found]


def schema(env: Environment, *, output: Output = None) -> int:
    """Print the JSON Schema of a tree file, for editors."""
    import json  # noqa: PLC0415 - only here

    from ssm_cli.spec.schema import json_schema  # noqa: PLC0415 - only here

    made = json_schema()
    answer(env, output, json.dumps(made, indent=2, ensure_ascii=False).split("\n"), [made])
    return ExitCode.DONE


def new(
    env: Environment,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="made if it is not there")],
    *,
    output: Output = None,
) -> int:
    """Write a tree, a worker, its test and a README to start from; overwrite nothing."""
    there = [name for name in FILES if (folder / name).exists()]
    if there:
        raise CommandError(
            f"{folder} already has {', '.join(there)}; name another folder, or move them away"
        )
    _write_all(folder)
    files = [str(folder / name) for name in FILES]
    lines = [*(f"wrote {file}" for file in files), f"next: ssm run {folder / 'tree.yaml'}"]
    return did(env, output, "new", lines, files=files)


def _write_all(folder: Path) -> None:
    """Write all of `FILES`, or none: after a failure it can be tried again."""
    made, written = not folder.exists(), list[Path]()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in FILES.items():
            if not write_private(folder / name, text, anew=True, mode=PUBLIC):
                raise FileExistsError(EEXIST, "it is there already", str(folder / name))
            written.append(folder / name)
    except OSError as error:
        with suppress(OSError):
            for path in written:
                path.unlink()
            if made:
                folder.rmdir()
        said = unwritten(error.filename or folder, error)
        raise type(said)(f"{said}; name another folder") from error


# -- what `ssm new` writes: a small tree that runs, crashes, heals and is tested ------------------

TREE = """\
# Run it with: ssm run tree.yaml
supervisor: root
strategy: one_for_one
intensity: 3            # more than 3 restarts ...
period: 5               # ... within 5 seconds, and the supervisor gives up
children:
  - worker: counter1
    start: ./worker.py:counter
  - worker: counter2
    start: ./worker.py:counter
    args: {start: 100}
"""

WORKER = '''\
"""A counter: a worker as a pure step from an input and a state to a state and an output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ssm_cli import StateMachine


@dataclass(frozen=True)
class Add:
    """Add `amount`."""

    amount: int = 1


@dataclass(frozen=True)
class Divide:
    """Divide by `by`; 0 crashes the worker, and its supervisor starts it again."""

    by: int


@dataclass(frozen=True)
class Count:
    """The output: the count so far."""

    value: int


def init(name: str, args: Mapping[str, Any]) -> int:
    """The first state, from the `args` of the tree file."""
    return int(args.get("start", 0))


def step(message: Add | Divide, state: int) -> tuple[int, Count]:
    """The next state and the output."""
    match message:
        case Add(amount):
            count = state + amount
        case Divide(by):
            count = state // by
    return count, Count(count)


counter = StateMachine(step=step, init=init, inputs=Add | Divide, outputs=Count)
'''

TEST = '''\
"""The worker alone, then the worker in its tree. Run it with: python -m pytest"""

from __future__ import annotations

from pathlib import Path

import pytest
from worker import Add, Count, Divide, init, step

from ssm_cli import CalleeCrashed, Node, load_tree


def test_a_step_counts() -> None:
    assert step(Add(2), init("counter1", {"start": 40})) == (42, Count(42))


def test_a_crash_is_healed() -> None:
    with Node(load_tree(Path(__file__).with_name("tree.yaml"))) as node:
        assert node.call("counter1", b"Add 5") == b"Count 5"
        assert node.call("counter1", Add(2)) == Count(7)
        with pytest.raises(CalleeCrashed) as crash:
            node.call("counter1", Divide(0))
        assert isinstance(crash.value.error, ZeroDivisionError)
        assert node.call("counter1", b"Add") == b"Count 1"
        assert node.call("counter2", b"Add") == b"Count 101"
'''

README = """\
# A tree of supervised state machines

| file | what it is |
|---|---|
| `tree.yaml` | the tree: who supervises whom, and what is restarted when one ends |
| `worker.py` | the worker: a pure step, its inputs and its outputs |
| `test_worker.py` | its test: `python -m pytest` |

Run it, break it, watch it heal:

    ssm run tree.yaml
    counter1 Add 5
    counter1 Divide 0
    counter1 Add
    tree

Check the tree file with `ssm check tree.yaml`. Ask it from a script:

    ssm call --tree tree.yaml counter1 "Add 5" "Add 7"
"""

FILES = {"tree.yaml": TREE, "worker.py": WORKER, "test_worker.py": TEST, "README.md": README}
"""The files by their names, in the order in which they are written."""
