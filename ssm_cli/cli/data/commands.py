"""`ssm data`: the stored data of trees, running or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssm_cli.cli.data.place import folder_of, own_folder
from ssm_cli.cli.environment import Environment, state_folder
from ssm_cli.cli.printer import answer, consents, did
from ssm_cli.cli.where import Output, flag, option, say
from ssm_cli.commands.records import json_line
from ssm_cli.commands.text import table, visible
from ssm_cli.errors import CommandError, StorageError, counted
from ssm_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from ssm_cli.http.client.node import HttpNode
    from ssm_cli.spec.model import SupervisorSpec
    from ssm_cli.storage.folder import FolderStore
    from ssm_cli.storage.repair import Repairing

HEAD = ("NAME", "SIZE", "RECORDS", "STATES", "ASIDE", "REFUSED", "IN USE", "FOLDER")

Tree = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="the tree's name; default: the only one")
]
Folder = Annotated[Path | None, option("DIR", "the folder, in place of the name", "--data")]

File = Annotated[str | None, option("FILE", "the tree, with the code that is here", "--tree")]
AsNew = Annotated[bool, flag("take what the code that is here makes of it", "--as-new")]
FromSaved = Annotated[bool, flag("go on with the saved state", "--from-saved")]
State = Annotated[str | None, option("JSON", "go on with this state", "--state")]
Rename = Annotated[
    tuple[str, str] | None, option("OLD NEW", "a name has become another", "--rename")
]
Forget = Annotated[bool, flag("begin by init", "--forget")]
Yes = Annotated[bool, flag("do not ask", "--yes")]


def list_data(
    env: Environment, tree: Tree = None, *, data: Folder = None, output: Output = None
) -> int:
    """List the data of all trees; of one: its states, what was set aside, its quarantine."""
    from ssm_cli.cli.data import shown  # noqa: PLC0415 - SQLite is not needed for help

    if tree is not None or data is not None:
        with store_of(env, tree, data) as store:
            answer(env, output, shown.one(store), [shown.one_record(store)])
        return ExitCode.DONE
    rows = [shown.summary(folder) for folder in folders_in(env)]
    answer(env, output, table([HEAD, *(shown.row(row) for row in rows)]), rows)
    if not rows and output != "json":
        where = state_folder(env.environ) / "data"
        say(env, f"there is no data in {where}; a folder of `run --data DIR` is seen by --data DIR")
    return ExitCode.DONE


def verify(
    env: Environment,
    tree: Tree = None,
    *,
    data: Folder = None,
    file: Annotated[str | None, option("FILE", "step its inputs again, too", "--tree")] = None,
    output: Output = None,
) -> int:
    """Check all that is kept: every checksum, the chain, and, with --tree, every step again."""
    from ssm_cli.storage.verify import verify as look  # noqa: PLC0415 - as above

    spec = _loaded(file)
    with store_of(env, tree, data) as store:
        verdict = look(store, spec)
        where = store.where()
    if verdict.problems:
        wrong = StorageError(f"{where}: {verdict.problems[0]}")
        wrong.excerpt = tuple(verdict.problems[1:])
        raise wrong
    again = "" if spec is None else f", {verdict.stepped} stepped again with the same results"
    read = f"{counted(verdict.records, 'record')}, {counted(verdict.inputs, 'input')}"
    line = f"{where}: ok, {read}{again}"
    return did(
        env, output, "data verify", [line], folder=where, records=verdict.records,
        inputs=verdict.inputs, stepped=verdict.stepped,
    )  # fmt: skip


def export(
    env: Environment,
    tree: Tree = None,
    *,
    data: Folder = None,
    worker: Annotated[str | None, option("NAME", "only records of this worker", "--worker")] = None,
    output: Output = None,
) -> int:
    """Print the journal, one JSON record a line, oldest first."""
    del output  # JSON is the one form that it has
    from ssm_cli.storage.contents import contents, history, stored_text  # noqa: PLC0415 - as above

    with store_of(env, tree, data) as store:
        known = {saved.worker for saved in contents(store).states} if worker is not None else {""}
        for seq, record in history(store):
            known.add(getattr(record, "worker", ""))
            if worker is None or worker == getattr(record, "worker", None):
                env.stdout.write(json_line(stored_text(seq, record)) + "\n")
        if worker is not None and worker not in known:
            names = ", ".join(sorted(known - {""})[:20]) or "none"
            raise StorageError(f"nothing is kept of {worker[:80]}; expected one of {names}")
    return ExitCode.DONE


def backup(
    env: Environment,
    target: Annotated[Path, typer.Argument(metavar="DIR", help="a folder that is not there yet")],
    tree: Tree = None,
    *,
    data: Folder = None,
    output: Output = None,
) -> int:
    """Copy what is kept of a tree into a new folder, while the tree may be running."""
    from ssm_cli.storage.folder import copied  # noqa: PLC0415 - as above

    check_order(env, "backup", str(target), tree)
    with store_of(env, tree, data) as store:
        last = copied(store, target)
    line = f"{target}: a copy up to entry {last}; start from it by --data {target}"
    return did(env, output, "data backup", [line], folder=str(target), entry=last)


def compact(
    env: Environment, tree: Tree = None, *, data: Folder = None, output: Output = None
) -> int:
    """Forget the history behind the saved states, and give its room back; the tree is stopped."""
    from ssm_cli.storage.contents import contents  # noqa: PLC0415 - as above

    with store_of(env, tree, data, writing=True) as store:
        before, head = store.size_bytes(), contents(store).head
        marks = [mark.entry for mark in head.marks[:-1]]
        if marks:
            store.trim(max(marks))
        store.database.vacuum()
        after = store.size_bytes()
        where = store.where()
    line = f"{where}: {before:,} bytes before, {after:,} bytes now"
    sizes = {"before_bytes": before, "after_bytes": after}
    return did(env, output, "data compact", [line], folder=where, **sizes)


def quarantine(
    env: Environment,
    tree: Tree = None,
    *,
    data: Folder = None,
    retry: Annotated[
        int | None, option("N", "let N in; where a tree runs it is stepped", "--retry")
    ] = None,
    drop: Annotated[int | None, option("N", "forget number N", "--drop")] = None,
    yes: Yes = False,
    output: Output = None,
) -> int:
    """List inputs in quarantine and states that were set aside; try one again, or drop it."""
    from ssm_cli.cli.data import shown  # noqa: PLC0415 - as above

    if retry is not None and drop is not None:
        raise typer.BadParameter("give --retry or --drop, not both")
    number = retry if drop is None else drop
    if number is None:
        with store_of(env, tree, data) as store:
            answer(env, output, shown.held(store), [shown.held_record(store)])
        return ExitCode.DONE
    lines = _let_go(env, _folder(env, tree, data), number, again=drop is None, asks=not yes)
    if not lines:
        return ExitCode.DENIED
    again = drop is None
    return did(env, output, "data quarantine", lines, number=number, again=again, text=lines[0])


def _let_go(env: Environment, folder: Path, number: int, *, again: bool, asks: bool) -> list[str]:
    """Release a quarantined input or an aside state, through the tree if it runs.

    Returns:
        What was done, a line each; nothing where nobody consented.
    """
    from ssm_cli.cli.data import shown  # noqa: PLC0415 - as above
    from ssm_cli.storage.lock import is_locked  # noqa: PLC0415 - as above

    if is_locked(folder):
        return _let_go_live(env, folder, number, again=again, asks=asks)
    with store_of(env, None, folder, writing=True) as store:
        lines = shown.would_do(store, number, again=again)
        if asks and not consents(env, f"let go of {number}", lines):
            return []
        return shown.let_in(store, number, again=again)


def _let_go_live(
    env: Environment, folder: Path, number: int, *, again: bool, asks: bool
) -> list[str]:
    """Have a tree that runs take an input again, or forget that it is in quarantine."""
    node = _running_on(env, folder)
    held = [one for one in node.quarantined() if one["number"] == number]
    if not held:
        raise StorageError(
            f"no input in quarantine has the number {number}; states that were set aside can "
            f"be put back, or dropped, while the tree is stopped"
        )
    worker, given = held[0]["worker"], str(held[0]["input"])
    does = "is served now" if again else "is taken again when it comes, its crashes are forgotten"
    crashes = counted(held[0]["crashes"], "time")
    line = (
        f"{worker} {given} {does}; it has crashed {worker} {crashes}, and its "
        f"on_crash says what another crash does to its state"
    )
    if asks and not consents(env, f"let go of {number}", [line]):
        return []
    node.release_input(number)
    if not again:
        return [f"{number} is forgotten: {worker} {given}"]
    return [node.call(worker, given.encode()).decode("utf-8", "backslashreplace")]


def _running_on(env: Environment, folder: Path) -> HttpNode:
    """Return a client of the tree that writes in a folder; raises `StorageError` if none does."""
    from ssm_cli.http.client.find import find, running_trees  # noqa: PLC0415 - as above
    from ssm_cli.storage.lock import owner_in  # noqa: PLC0415 - as above

    pid = owner_in(folder)
    for tree in running_trees(env.environ, list[str]().append):
        if str(tree.get("pid")) == pid:
            return find(env.environ, None, str(tree["name"]))
    raise StorageError(f"{folder} is in use by process {pid}, which is no tree that can be reached")


def repair(
    env: Environment,
    worker: Annotated[str, typer.Argument(metavar="WORKER", help="the worker to repair")],
    tree: Tree = None,
    *,
    data: Folder = None,
    file: File = None,
    as_new: AsNew = False,
    from_saved: FromSaved = False,
    state: State = None,
    rename: Rename = None,
    forget: Forget = False,
    yes: Yes = False,
    output: Output = None,
) -> int:
    """Show what is stored of a worker that cannot go on, and say what it goes on with."""
    from ssm_cli.storage.repair import Repairing, now_s  # noqa: PLC0415 - as above

    given = [as_new, from_saved, state is not None, rename is not None, forget]
    if sum(given) > 1:
        raise typer.BadParameter("give one of --as-new, --from-saved, --state, --rename, --forget")
    if file is not None and tree is None and data is None:
        data = own_folder(env.environ, Path(file).stem, Path(file))
    check_order(env, "repair", worker, tree)
    with store_of(env, tree, data, writing=True) as store:
        found = Repairing(store, worker, _loaded(file), now_s())
        if not any(given):
            lines = [visible(line) for line in found.look()]
            return did(env, output, "data repair", lines, worker=worker, found=lines)
        if state is not None:
            lines = found.state(state)
        elif rename is not None:
            lines = found.rename(*rename)
        else:
            lines = (found.as_new if as_new else found.from_saved if from_saved else found.forget)()
        return _carry_out(env, output, found, lines, asks=not yes)


def _carry_out(
    env: Environment, output: str | None, found: Repairing, lines: list[str], *, asks: bool
) -> int:
    """Repair a worker as prepared, once somebody consents."""
    worker, lines = found.worker, [visible(line) for line in lines]
    if asks and not consents(env, f"repair {worker}", lines):
        return ExitCode.DENIED
    number = found.carry_out()
    said = f"{worker} is repaired, by record {number}; nothing that was before is gone"
    shown = [*(() if asks else lines), said]
    return did(env, output, "data repair", shown, worker=worker, record=number, changes=lines)


def _loaded(file: str | None) -> SupervisorSpec | None:
    if file is None:
        return None
    from ssm_cli.spec.load import load_tree  # noqa: PLC0415 - with a tree alone

    return load_tree(file)


COMMANDS: dict[str, Callable[..., int]] = {
    "ls": list_data, "verify": verify, "export": export,
    "backup": backup, "compact": compact, "quarantine": quarantine, "repair": repair,
}  # fmt: skip


def folders_in(env: Environment) -> list[Path]:
    """Return the data folders of all trees, by name."""
    from ssm_cli.storage.folder import DATABASE  # noqa: PLC0415 - as above

    data = state_folder(env.environ) / "data"
    return sorted(path.parent for path in data.glob(f"*/{DATABASE}"))


def _folder(env: Environment, tree: str | None, data: Path | None) -> Path:
    """Return the selected folder; raises `CommandError` if the choice is ambiguous."""
    if tree is not None and data is not None:
        raise CommandError("give a name or --data, not both")
    if tree is not None or data is not None:
        return folder_of(env.environ, tree or "", data)
    found = folders_in(env)
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.name for path in found[:20])
    why = f"there is data of {names}: name one" if found else "there is no data of any tree"
    raise CommandError(f"{why}, or a folder by --data DIR")


@contextmanager
def store_of(
    env: Environment, tree: str | None, data: Path | None, *, writing: bool = False
) -> Iterator[FolderStore]:
    """Open the selected store; raises `StorageError` if it cannot be opened."""
    from ssm_cli.storage.folder import DATABASE, FolderStore, need_data  # noqa: PLC0415 - as above

    folder = _folder(env, tree, data)
    if tree is not None and (Path(tree) / DATABASE).exists() and not (folder / DATABASE).exists():
        why = f"no tree called {tree} has data; {tree} is a folder that does: name it by --data"
        raise StorageError(f"{why} {tree}")
    need_data(folder)
    with FolderStore(folder, writing=writing) as store:
        yield store


def check_order(env: Environment, verb: str, first: str, tree: str | None) -> None:
    """Raise `CommandError` where the name of a tree stands in front of the other argument."""
    from ssm_cli.storage.folder import DATABASE  # noqa: PLC0415 - as above

    named = [name is not None and (folder_of(env.environ, name) / DATABASE).exists()
             for name in (first, tree)]  # fmt: skip
    if tree is not None and named == [True, False]:
        said = f"no tree called {tree} has data, but {first} has; the name of the tree comes last"
        raise CommandError(f"{said}: `ssm data {verb} {tree} {first}`")
