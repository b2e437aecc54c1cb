"""`load_tree`: a tree file to a spec, or every complaint about it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from difflib import SequenceMatcher
from pathlib import Path
from types import ModuleType

from ssm_cli.errors import TreeFileError
from ssm_cli.spec.files import Unfit, bytes_of, decoded
from ssm_cli.spec.importing import load_file
from ssm_cli.spec.judge import complaints_text
from ssm_cli.spec.keys import nearest, sentence, shown
from ssm_cli.spec.model import SupervisorSpec
from ssm_cli.spec.modules import Resolver, beside, place_in, raised
from ssm_cli.spec.places import Places
from ssm_cli.spec.problems import FILE, Problem
from ssm_cli.spec.validate import check_spec

SUFFIXES = (".yaml", ".yml", ".py")
KIND = "a tree file, .yaml, .yml or .py"
LIKE = 0.5  # how much of two names, without their suffixes, is the same


def load_tree(path: str | Path, *, in_use: bool = False) -> SupervisorSpec:
    """The tree that a `.yaml`, `.yml` or `.py` file describes, checked in full; nothing starts.

    YAML files have the keys of `keys.KEYS`. A Python file has a module-level `tree`, or a
    function `tree()`; it is run, and so are the modules that `start` names.

    Args:
        path: the file. `./file.py` in it is relative to its folder.
        in_use: for a tree that runs: modules that a YAML file names and that are loaded are taken
            as they are, though they were edited since. One class would be two else.

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
    spec, problems = (
        _python_tree(file, text) if file.suffix == ".py" else _yaml_tree(file, text, in_use=in_use)
    )
    if problems or spec is None:
        raise _refusal(file, problems)
    return spec


def _refusal(file: Path, problems: Iterable[Problem]) -> TreeFileError:
    ordered = sorted(problems, key=lambda problem: (problem.line, problem.column))
    complaints = tuple(f"{file}:{p.line}:{p.column}: {p.path}: {p.message}" for p in ordered)
    return TreeFileError(complaints_text(str(file), complaints), complaints=complaints)


def _about_file(wrong: str, expected: str = "", meant: str = "") -> Problem:
    return Problem(FILE, sentence(wrong, expected, meant), 1, 1)


def _read(file: Path) -> str | Problem:
    """The text of the file, or the one thing that is wrong with it."""
    found = bytes_of(file, KIND)
    what = found.found if isinstance(found, Unfit) else "file"
    if what != "folder" and file.suffix not in SUFFIXES:
        return _about_file(f"has the suffix {file.suffix or '(none)'}", KIND)
    if isinstance(found, Unfit) and what == "nothing":
        return _about_file(found.wrong, KIND, _meant(file))
    text = decoded(found) if isinstance(found, bytes) else found
    if isinstance(text, Unfit):
        return Problem(FILE, sentence(text.wrong, text.wanted), text.line, text.column)
    if not text.strip():
        return _about_file("is empty", "a tree, beginning with `supervisor: NAME`")
    return text


def _meant(file: Path) -> str:
    """The tree file beside one that is not there which it was probably meant to be, or "".

    That both end alike says little.
    """
    near = nearest(file.name, beside(file, SUFFIXES))
    alike = SequenceMatcher(None, file.stem, Path(near).stem).ratio() >= LIKE
    return near if alike or Path(near).stem.startswith(file.stem) else ""


def _yaml_tree(
    file: Path, text: str, *, in_use: bool
) -> tuple[SupervisorSpec | None, list[Problem]]:
    from ssm_cli.spec.walk import TreeReader  # noqa: PLC0415 - PyYAML takes 20 ms, not for .py
    from ssm_cli.spec.yaml_nodes import compose  # noqa: PLC0415 - as above

    root = compose(text)
    if isinstance(root, Problem):
        return None, [root]
    reader = TreeReader(Resolver(file.parent, in_use=in_use).resolve)
    return reader.read(root), reader.problems


def _python_tree(file: Path, text: str) -> tuple[SupervisorSpec | None, list[Problem]]:
    when, places = "when it is run", Places("")
    try:
        module, tree = _run(file)
        when, places = "when its tree is looked at", Places(text)
        if not isinstance(tree, SupervisorSpec):
            return None, [Problem(FILE, _no_tree(module, tree), *places.tree)]
        return tree, [places.placed(problem, tree) for problem in check_spec(tree)]
    except BaseException as error:  # noqa: BLE001 - user code raises anything
        filename = str(file.absolute())
        line, column = place_in(error, filename)
        wrong = raised(error, filename, when)
        return None, [Problem(FILE, wrong, *((line, column) if line else places.tree))]


def _run(file: Path) -> tuple[ModuleType, object]:
    """The module of the file, and what its `tree` is or answers; None if there is none."""
    module = load_file(file)
    tree = getattr(module, "tree", None)
    if callable(tree) and not inspect.iscoroutinefunction(tree):
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
