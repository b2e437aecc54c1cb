"""Modules loaded afresh beside those that are in use, and put in their place later, or never.

Theory of operation. A module that is in use stays as it is: it keeps its classes, its functions
and their globals, so that what runs of it goes on. Beside it the file is run anew. What imports a
module that has changed is loaded anew with it, as it holds classes and functions of the old one; so
is what holds those of another load than the one in use, as others have gone on without it. All that
leaves `sys.modules` for that comes back at once; only `put_in_use` exchanges one for the other.

A module of ours (`importing`) knows the bytes that it was run from. Of one that Python has imported
by a plain name, a digest of its file is taken when somebody first looks (`note`).
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import decode_source, resolve_name
from pathlib import Path
from types import ModuleType
from typing import Any

from ssm_cli.spec.files import Unfit, bytes_of, source_of
from ssm_cli.spec.importing import INSTALLED, OURS, Uncached, loader_of, needs_of

Modules = Mapping[str, ModuleType]
DIGEST_BYTES = 6
MOST_SOURCE_BYTES = 4 * 1024 * 1024  # of a file whose imports are looked for
STAMP_BYTES = 16
_stamps: dict[int, tuple[ModuleType, bytes]] = {}
_digests: dict[int, tuple[dict[str, Any], str]] = {}
_imports: dict[int, tuple[ModuleType, frozenset[str]]] = {}
_loads: dict[int, tuple[ModuleType, dict[str, ModuleType]]] = {}


def note(homes: Iterable[str]) -> None:
    """Remember how the files of modules are now: of these, and of all that somebody may edit.

    Once for each module: what is in use was run from the file of then.
    """
    for name in {*homes, *filter(is_of_users, [*sys.modules])}:
        module = sys.modules.get(name)
        if module is not None and id(module) not in _stamps and loader_of(module) is None:
            _stamps[id(module)] = module, stamp_of(file_of(module))
    for name in homes:
        if name in sys.modules:
            with suppress(OSError, ValueError, SyntaxError):
                source_digest(vars(sys.modules[name]))


def source_digest(inside: dict[str, Any]) -> str:
    """Return a digest of the source that a module was run from; `inside` is its namespace.

    Raises:
        OSError: it has no source.
        ValueError, SyntaxError: that is no text.
    """
    known = _digests.get(id(inside))
    if known is None or known[0] is not inside:
        loader = getattr(inside.get("__spec__"), "loader", None)
        file = str(inside.get("__file__") or "")
        data = loader.bytes if isinstance(loader, Uncached) else b""
        text = decode_source(data or source_of(Path(file if file.endswith(".py") else "")))
        whole = text if text.endswith("\n") else f"{text}\n"
        made = blake2b(whole.encode(), digest_size=DIGEST_BYTES).hexdigest()
        known = _digests[id(inside)] = inside, made
    return known[1]


def file_of(module: ModuleType) -> str:
    """Return the Python file of a module; "" where it has none."""
    file = vars(module).get("__file__")
    return file if type(file) is str and file.endswith(".py") else ""


def stamp_of(file: str) -> bytes:
    """Return what changes when a file does: a digest of what is in it, or why that is not read."""
    data = bytes_of(Path(file), "a file of Python code")
    if isinstance(data, Unfit):
        return data.wrong.encode()
    return blake2b(data, digest_size=STAMP_BYTES).digest()


def connected(homes: Iterable[str]) -> list[str]:
    """Return modules and all that they import, directly or not, without what is installed."""
    found: dict[str, None] = {}
    todo = [name for name in homes if name in sys.modules]
    while todo:
        name = todo.pop()
        if name not in found:
            found[name] = None
            todo += [need for need in _needs(sys.modules[name]) if is_of_users(need)]
    return list(found)


def loads_of(module: ModuleType) -> dict[str, ModuleType]:
    """Return what a module has imported, by name: the loads that were in use then.

    So it is noted before others are put in use. What it imports later adds to that. To read what a
    module imports takes its time: those alone are looked at that code of workers uses.
    """
    known = _loads.get(id(module))
    if known is None or known[0] is not module:
        known = _loads[id(module)] = module, {}
    loader = loader_of(module)
    known[1].update({} if loader is None else loader.needs)
    if sys.modules.get(module.__name__) is module:
        for name in _needs(module):
            if is_of_users(name):
                known[1].setdefault(name, sys.modules[name])
    return known[1]


def all_loads(homes: Modules) -> dict[str, ModuleType]:
    """Return modules and what they have imported, directly or not, by name.

    Of two loads of one that are among it, it is one that is not in use.
    """
    found: dict[str, ModuleType] = {}
    todo, seen = [*homes.items()], set[int]()
    while todo:
        name, module = todo.pop()
        if id(module) not in seen:
            seen.add(id(module))
            if found.setdefault(name, module) is sys.modules.get(name):
                found[name] = module
            todo += loads_of(module).items()
    return found


def is_of_users(name: str) -> bool:
    """Return whether a module is loaded from a file that somebody may be editing."""
    module = sys.modules.get(name)
    file = file_of(module) if type(module) is ModuleType else ""
    if not file or name == "__main__" or name.partition(".")[0] == "ssm_cli":
        return False
    return name.startswith(OURS) or not file.startswith(INSTALLED)


def _needs(module: ModuleType) -> frozenset[str]:
    """Return the modules that one imports, as far as its source tells."""
    loader = loader_of(module)
    if loader is not None:
        return frozenset(needs_of(module))
    known = _imports.get(id(module))
    if known is None or known[0] is not module:
        known = _imports[id(module)] = module, frozenset(_imported_by(module))
    return known[1]


def _imported_by(module: ModuleType) -> set[str]:
    file, found = file_of(module), set[str]()
    try:
        source = source_of(Path(file))[:MOST_SOURCE_BYTES] if file else b""
        tree = ast.parse(source)
    except (OSError, ValueError, SyntaxError):
        return found  # it is as it was loaded, and is looked at once more when it is mended
    package = str(vars(module).get("__package__") or "")
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = "." * node.level + (node.module or "")
            base = resolve_name(above, package) if node.level and package else node.module or ""
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return {name for name in found if type(sys.modules.get(name)) is ModuleType}


def has_changed(module: ModuleType) -> bool:
    """Return whether the file of a module is another than the one that was run."""
    loader = loader_of(module)
    if loader is not None:
        return loader.is_stale()
    known = _stamps.get(id(module))
    return known is not None and known[1] != stamp_of(file_of(module))


def stale_among(homes: Iterable[str]) -> list[str]:
    """Return those of some modules that are not what their files say; sorted.

    They have changed, or import one that has, or hold another load of one than is in use.
    """
    names = connected(homes)
    changed = {name for name in names if has_changed(sys.modules[name]) or _is_behind(name)}
    while True:
        more = {
            name
            for name in names
            if name not in changed and not changed.isdisjoint(_needs(sys.modules[name]))
        }
        if not more:
            return sorted(changed)
        changed |= more


def _is_behind(name: str) -> bool:
    """Return whether a module holds another load of one than is in use."""
    loads = loads_of(sys.modules[name])
    return any(sys.modules.get(one, load) is not load for one, load in loads.items())


def load_afresh(names: Collection[str], homes: Collection[str]) -> dict[str, ModuleType]:
    """Return the modules of these names, and what else they load, run anew; nothing is exchanged.

    Those that are no `homes` and whose file is gone are run only where another one imports them.

    Raises:
        BaseException: whatever a file raises; all modules are as they were.
    """
    old = {id(sys.modules[name]) for name in names}
    known = dict(sys.modules)
    group = {name: module for name, module in known.items() if id(module) in old}
    bound = {name: _bound(name) for name in group}
    stamps = {name: stamp_of(file_of(module)) for name, module in group.items()}
    finder = _Anew(group)
    importlib.invalidate_caches()
    try:
        sys.meta_path.insert(0, finder)
        _take_away(bound)
        for name in sorted(names):
            file = file_of(group[name])
            if name in homes or not file or Path(file).is_file():
                importlib.import_module(name)
        made = {
            name: module
            for name, module in [*sys.modules.items()]
            if known.get(name) is not module and (name in group or is_of_users(name))
        }
        for name, module in group.items():  # other names of one module are names of the new one
            if str(module.__name__) in sys.modules:
                made.setdefault(name, sys.modules[str(module.__name__)])
        for module in made.values():
            loads_of(module)
    finally:
        sys.meta_path.remove(finder)
        for name in [n for n in sys.modules if n not in known and is_of_users(n)]:
            del sys.modules[name]
        _exchange(group, bound)
    for name, module in made.items():
        _stamps[id(module)] = module, stamps.get(name) or stamp_of(file_of(module))
    return made


def _take_away(bound: Mapping[str, ModuleType | None]) -> None:
    """Have modules not found by their names, nor as what their packages call so."""
    for name, one in bound.items():
        above, _, last = name.rpartition(".")
        if one is not None and above in sys.modules:
            vars(sys.modules[above]).pop(last, None)
    for name in bound:
        del sys.modules[name]


class _Anew:
    """Finds modules of plain names that are run anew, whatever `__pycache__` has of them."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,  # noqa: ARG002 - as all finders have it
    ) -> ModuleSpec | None:
        """Return the spec of such a module; None for all others."""
        if fullname not in self._names or fullname.startswith(OURS):
            return None
        found = PathFinder.find_spec(fullname, path)
        if found is not None and str(found.origin).endswith(".py"):
            found.loader = Uncached(fullname, str(found.origin))
        return found


def put_in_use(modules: Modules) -> None:
    """Have modules found by their names from now on; `loads_of` what holds others comes before."""
    _exchange(modules, modules)


@contextmanager
def in_place(modules: Modules) -> Iterator[None]:
    """Have modules found by their names while a block runs.

    Annotations that are text are read by the module of that name: those of a class that was run
    anew would else be read in the module that it is to take the place of.
    """
    bound = {name: _bound(name) for name in modules}
    before = {name: sys.modules[name] for name in modules if name in sys.modules}
    _exchange(modules, modules)
    try:
        yield
    finally:
        for name in modules.keys() - before.keys():
            sys.modules.pop(name, None)
        _exchange(before, bound)


def _bound(name: str) -> ModuleType | None:
    """Return what the package of a module calls by the last part of its name."""
    above, _, last = name.rpartition(".")
    found = vars(sys.modules[above]).get(last) if above in sys.modules else None
    return found if type(found) is ModuleType else None


def _exchange(modules: Modules, bound: Mapping[str, ModuleType | None]) -> None:
    for name, module in modules.items():
        sys.modules[name] = module
    for name in modules:
        above, _, last = name.rpartition(".")
        one = bound[name]
        if above in sys.modules and one is not None:
            setattr(sys.modules[above], last, one)
