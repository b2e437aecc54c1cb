"""`load_tree`: a tree file to a spec, or every complaint about it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from ssm_cli.errors import TreeFileError
from ssm_cli.spec.judge import complaints_text
from ssm_cli.spec.keys import nearest, sentence, shown
from ssm_cli.spec.model import SupervisorSpec
from ssm_cli.spec.modules import Resolver, importable, line_in, load_file, raised
from ssm_cli.spec.validate import FILE, Problem, check_spec

MAX_BYTES = 64 * 1024 * 1024
SUFFIXES = (".yaml", ".yml", ".py")


def load_tree(path: str | Path) -> SupervisorSpec:
    """The tree that a `.yaml`, `.yml` or `.py` file describes, checked in full; nothing starts.

    YAML files have the keys of `keys.KEYS`. A Python file has a module-level `tree`, or a
    function `tree()`; it is run, and so are the modules that `start` names.

    Args:
        path: the file. `./file.py` in it is relative to its folder.

    Returns:
        The spec of the root supervisor.

    Raises:
        TreeFileError: the file cannot be read or does not validate. `complaints` holds every
            complaint in file order, `FILE:LINE:COLUMN: PATH: what is wrong; expected ...; did
            you mean ...?`, lines and columns from 1.
    """
    file = Path(path)
    text = _read(file)
    if isinstance(text, Problem):
        raise _refusal(file, [text])
    spec, problems = _python_tree(file, text) if file.suffix == ".py" else _yaml_tree(file, text)
    if problems or spec is None:
        raise _refusal(file, problems)
    return spec


def _refusal(file: Path, problems: Iterable[Problem]) -> TreeFileError:
    ordered = sorted(problems, key=lambda problem: (problem.line, problem.column))
    complaints = tuple(f"{file}:{p.line}:{p.column}: {p.path}: {p.message}" for p in ordered)
    return TreeFileError(complaints_text(str(file), complaints), complaints=complaints)


def _about_file(wrong: str, expected: str = "", meant: str = "") -> Problem:
    return Problem(FILE, sentence(wrong, expected, meant), 1, 1)


def _unfit(file: Path) -> Problem | None:
    """Why the file is not even opened."""
    wanted = "a tree file, .yaml, .yml or .py"
    if file.is_dir():
        return _about_file("is a folder", wanted)
    if file.suffix not in SUFFIXES:
        return _about_file(f"has the suffix {file.suffix or '(none)'}", wanted)
    if not file.exists():
        beside = [p.name for p in file.parent.glob("*") if p.suffix in SUFFIXES]
        return _about_file("does not exist", wanted, nearest(file.name, sorted(beside)))
    return None if file.is_file() else _about_file("is no regular file", wanted)


def _read(file: Path) -> str | Problem:
    """The text of the file, or the one thing that is wrong with it."""
    try:
        if unfit := _unfit(file):
            return unfit
        with file.open("rb") as stream:
            return _decoded(stream.read(MAX_BYTES + 1))
    except OSError as error:
        return _about_file(f"cannot be read: {error.strerror or error}", "a file you may read")


def _decoded(data: bytes) -> str | Problem:
    if len(data) > MAX_BYTES:
        return _about_file("is too large", f"at most {MAX_BYTES // 1024**2} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        wrong = f"is not UTF-8: the byte 0x{data[error.start]:02x} does not belong here"
        return Problem(FILE, sentence(wrong, "a file saved as UTF-8"), line, column)
    if not text.strip():
        return _about_file("is empty", "a tree, beginning with `supervisor: NAME`")
    return text


def _yaml_tree(file: Path, text: str) -> tuple[SupervisorSpec | None, list[Problem]]:
    from ssm_cli.spec.walk import TreeReader  # noqa: PLC0415 - PyYAML takes 20 ms, not for .py
    from ssm_cli.spec.yaml_nodes import compose  # noqa: PLC0415 - as above

    root = compose(text)
    if isinstance(root, Problem):
        return None, [root]
    reader = TreeReader(Resolver(file.parent).resolve)
    return reader.read(root), reader.problems


def _python_tree(file: Path, text: str) -> tuple[SupervisorSpec | None, list[Problem]]:
    try:
        module, tree = _run(file)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - user code raises anything
        filename = str(file.absolute())
        column = error.offset if isinstance(error, SyntaxError) else None
        line, wrong = line_in(error, filename) or 1, raised(error, filename, "when it is run")
        return None, [Problem(FILE, wrong, line, max(column or 1, 1))]
    places = _Places(text)
    if not isinstance(tree, SupervisorSpec):
        return None, [Problem(FILE, _no_tree(module, tree), *places.tree)]
    return tree, [places.placed(problem) for problem in check_spec(tree)]


def _run(file: Path) -> tuple[ModuleType, object]:
    """The module of the file, and what its `tree` is or answers; None if there is none."""
    module = load_file(file)
    tree = getattr(module, "tree", None)
    if callable(tree) and not inspect.iscoroutinefunction(tree):
        with importable(file.absolute().parent):
            return module, tree()
    return module, tree


def _no_tree(module: ModuleType, tree: object) -> str:
    wanted = "a module-level `tree`, a Supervisor, or a function `tree()` that returns one"
    if hasattr(module, "tree"):
        verb = "answers with" if callable(module.tree) and module.tree is not tree else "is"
        return sentence(f"has a `tree` that {verb} {shown(tree)}", wanted)
    specs = [name for name, value in vars(module).items() if isinstance(value, SupervisorSpec)]
    meant = f"tree = {specs[-1]}" if specs else nearest("tree", sorted(vars(module)))
    return sentence("has no `tree`", wanted, meant)


class _Places:
    """Where things are in the text of a Python tree, as well as its syntax tells.

    `tree` is the line and column at which `tree` is defined; 1, 1 if nowhere.
    """

    def __init__(self, text: str) -> None:
        self.tree = (1, 1)
        self._built: dict[str, tuple[int, int]] = {}
        for node in ast.walk(ast.parse(text)):
            match node:
                case ast.Call(args=[ast.Constant(value=str() as name), *_]):
                    # The last one wins: of a name given twice, that is the one to change.
                    place = (node.lineno, node.col_offset + 1)
                    self._built[name] = max(place, self._built.get(name, place))
                case (
                    ast.FunctionDef(name="tree")
                    | ast.AsyncFunctionDef(name="tree")
                    | ast.Name(id="tree", ctx=ast.Store())
                ):
                    self.tree = (node.lineno, node.col_offset + 1)

    def placed(self, problem: Problem) -> Problem:
        """The problem at the call that builds its node; else where `tree` is defined."""
        name = problem.path.rpartition("/")[2]
        # A name may hold dots, and the key follows after one: the longest that is known wins.
        while name not in self._built and "." in name:
            name = name.rpartition(".")[0]
        line, column = self._built.get(name, self.tree)
        return Problem(problem.path, problem.message, line, column)
