"""Python that a tree file names: `start` references resolved, and what code raises, in words.

Importing is the one thing here that runs the user's code; whatever it raises becomes a fault,
in words, with the line where it was raised.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import msgspec

from ssm_cli.errors import is_interruption, message_of
from ssm_cli.spec.code import WANTED, is_worker, start_fault
from ssm_cli.spec.files import Unfit, bytes_of
from ssm_cli.spec.importing import load_file, was_edited
from ssm_cli.spec.keys import WORKER, expected, nearest, sentence

_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
SYNTAX = frozenset({SyntaxError, IndentationError, TabError})
MAX_SAID = 400  # characters of an exception's text that a fault repeats

_NONE = object()


class Resolved(msgspec.Struct, frozen=True):
    """What a `start` reference stands for, or what is wrong with it."""

    value: object = None
    fault: str | None = None


def place_in(error: BaseException, filename: str) -> tuple[int, int]:
    """The line and column of `filename` at which `error` left it; 0 and 1 if it was never there."""
    if type(error) in SYNTAX and error.filename == filename:  # type: ignore[attr-defined]  # by its type
        return _number(error.lineno), max(_number(error.offset), 1)  # type: ignore[attr-defined]  # as above
    line = 0
    trace = _trace_of(error)
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == filename:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line, 1


def raised(error: BaseException, filename: str, when: str = "on import") -> str:
    """What running `filename` raised, and at which line of which file, in words.

    Raises the error again if it is an interruption, as Ctrl-C is.
    """
    if is_interruption(error):
        raise error
    line, _ = place_in(error, filename)
    syntax: Any = error if type(error) in SYNTAX else None
    text = syntax.msg if syntax and type(syntax.msg) is str else message_of(error)
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    what = "is not valid Python" if syntax else f"raises {when}"
    place = f" at {Path(filename).name} line {line}" if line else ""
    if syntax and type(syntax.filename) is str and syntax.filename != filename:
        place += f", in {Path(syntax.filename).name} line {_number(syntax.lineno)}"
    return f"{what}: {' '.join(said.split())[:MAX_SAID]}{place}"


def _number(value: object) -> int:
    """A line or a column; those of an error that code has made itself may be anything."""
    return value if type(value) is int else 0


def _trace_of(error: BaseException) -> TracebackType | None:
    """The traceback of an exception, whatever its class makes of that attribute."""
    trace: TracebackType | None = vars(BaseException)["__traceback__"].__get__(error)
    return trace


def beside(path: Path, suffixes: tuple[str, ...]) -> list[str]:
    """The names of the files of some kinds in the folder of `path`; none if it cannot be read."""
    try:
        return sorted(p.name for p in path.parent.iterdir() if p.suffix in suffixes)
    except (OSError, ValueError):
        return []


class Resolver:
    """Resolves `start` references of one tree file; each distinct one once.

    Args:
        folder: the folder of the tree file; `./file.py` is relative to it.
        in_use: files that are loaded are taken as they are, edited since or not.
    """

    def __init__(self, folder: Path, *, in_use: bool = False) -> None:
        self._folder, self._in_use = folder, in_use
        self._known: dict[str, Resolved] = {}
        self._modules: dict[str, ModuleType | str] = {}
        importlib.invalidate_caches()

    def resolve(self, reference: str) -> Resolved:
        """The worker that `package.module:attribute` or `./file.py:attribute` names."""
        known = self._known.get(reference)
        if known is None:
            known = self._known[reference] = self._resolve(reference)
        return known

    def _resolve(self, reference: str) -> Resolved:
        target, _, attribute = reference.rpartition(":")
        is_file = "/" in target
        if not _DOTTED.fullmatch(attribute) or not (is_file or _DOTTED.fullmatch(target)):
            return Resolved(fault=_form_fault(reference, target))
        if not is_file and target.endswith(".py"):
            return Resolved(fault=_form_fault(reference, target))
        module = self._modules.get(target)
        if module is None:
            module = self._load(target) if is_file else self._import(target)
            self._modules[target] = module
        if isinstance(module, str):
            return Resolved(fault=f"names {target}, which {module}")
        found = _attribute(module, target, attribute)
        if found.fault and self._in_use and is_file and was_edited(module):
            return Resolved(fault=f"{found.fault} (it was edited since; `reload` takes that)")
        return found

    def _load(self, target: str) -> ModuleType | str:
        path = self._folder / target
        wanted = f"a Python file in {path.parent}"
        found = bytes_of(path, wanted)
        if path.suffix != ".py" or (isinstance(found, Unfit) and found.found == "nothing"):
            near = nearest(path.name, beside(path, (".py",)))
            meant = near and f"{target.rpartition('/')[0]}/{near}"
            return sentence("is no Python file", wanted, meant)
        if isinstance(found, Unfit):
            return sentence(found.wrong, found.wanted)
        try:
            return load_file(path, in_use=self._in_use)
        except BaseException as error:  # noqa: BLE001 - user code raises anything
            return raised(error, str(path.absolute()))

    def _import(self, target: str) -> ModuleType | str:
        try:
            return importlib.import_module(target)
        except BaseException as error:  # noqa: BLE001 - user code raises anything
            said = raised(error, _origin(error))
            missing = error.name if type(error) is ModuleNotFoundError else None
            if type(missing) is str and (target == missing or target.startswith(f"{missing}.")):
                return sentence(
                    "cannot be found",
                    "an installed module, or ./file.py relative to the tree file",
                    self._nearest_module(target, missing),
                )
            return said

    def _nearest_module(self, target: str, missing: str) -> str:
        beside = f"./{target.replace('.', '/')}.py"
        if (self._folder / beside).is_file():
            return beside
        parent, _, last = missing.rpartition(".")
        path = getattr(sys.modules.get(parent), "__path__", None) if parent else None
        if parent and path is None:
            return ""
        names = sorted({module.name for module in pkgutil.iter_modules(path)})
        found = nearest(last, names)
        return found and ".".join(filter(None, (parent, found))) + target[len(missing) :]


def _form_fault(reference: str, target: str) -> str:
    wrong = f'"{reference[:200]}" has the wrong form'
    meant = f"./{reference}" if target.endswith(".py") and "/" not in target else ""
    return sentence(wrong, expected(WORKER["start"]), meant)


def _origin(error: BaseException) -> str:
    """The file whose import raised `error`: the outermost one that is not the import system."""
    if type(error) in SYNTAX and type(error.filename) is str:  # type: ignore[attr-defined]  # by its type
        return error.filename  # type: ignore[attr-defined]  # as above
    machinery = {__file__, importlib.__file__}
    trace = _trace_of(error)
    while trace is not None:
        filename = trace.tb_frame.f_code.co_filename
        if filename not in machinery and not filename.startswith("<frozen "):
            return filename
        trace = trace.tb_next
    return ""


def _workers(module: object) -> Iterable[str]:
    return (name for name, value in vars(module).items() if is_worker(value))


def _attribute(module: ModuleType, target: str, attribute: str) -> Resolved:
    """The worker of that name in a module; to look at what is there runs the user's code."""
    value: object = module
    try:
        for name in attribute.split("."):
            inner = getattr(value, name, _NONE)
            if inner is _NONE:
                inside = {*_workers(module), *(n for n in dir(value) if not n.startswith("__"))}
                meant = nearest(name, sorted(inside))
                wanted = f"{WANTED} in {target}"
                return Resolved(fault=sentence(f"{target} has no {name}", wanted, meant))
            value = inner
        wrong = start_fault(value)
    except BaseException as error:  # noqa: BLE001 - user code raises anything
        said = raised(error, "", "when looked up")
        return Resolved(fault=f"names {attribute} in {target}, which {said}")
    return Resolved(fault=f"{attribute} in {target} {wrong}") if wrong else Resolved(value)
