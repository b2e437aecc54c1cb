"""Files of Python as modules: one file is one module, however it is reached.

Theory of operation. A file that a tree names lies in a folder that Python does not search, and each
of two such folders may have a `helper.py`. So a file is loaded under a name that only it has
(`module_name`), and `sys.path` is left alone. What it imports is looked for beside it: each module
that is loaded here has builtins of its own, whose `__import__` knows the folder; functions that
import something later find the same. A name of the standard library always stands for that one.

The other way round, a program whose `sys.path` leads to such a file gets the same module for
`import worker`: `_Finder`, on `sys.meta_path`, answers with it. A file that a program has imported
by itself is not loaded again.

A file is loaded anew by the next `load_file` once it has changed, or a file that it has imported
from here; what runs keeps its own. A module that a program has under a plain name stays as it is.
"""

from __future__ import annotations

import builtins
import hashlib
import re
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from ssm_cli.spec.files import source_of

OURS = "ssm_file_"  # how the names of modules begin that are loaded here
INIT = "__init__.py"
MOST_TEXTS = 8  # of a file, that were run of it
_given: dict[str, bytes] = {}  # what is run of files, of another process
_texts: dict[str, deque[bytes]] = {}  # what was run of files, oldest first
INSTALLED = (f"{sys.prefix}/", f"{sys.base_prefix}/")


def module_name(path: Path) -> str:
    """The name under which the file or package at `path` is loaded: the same in each run.

    Types are found again by module and name, so the name may not change from run to run.
    """
    digest = hashlib.sha256(bytes(path.resolve())).hexdigest()
    stem = re.sub(r"\W", "_", path.parent.name if path.name == INIT else path.stem)
    return f"{OURS}{digest[:16]}_{stem}"


def load_file(path: Path, *, in_use: bool = False) -> ModuleType:
    """Return the module of the Python file at `path`; run the file if no module is as it is now.

    With `in_use` a module that is there is taken, though its file may have been edited since.

    Its imports find what lies beside it, also later. A load that fails leaves all modules as they
    were. Raises what the file raises; the file is named by its absolute path in tracebacks.
    """
    before = _ours()
    try:
        return _module_of(path.absolute(), fresh=not in_use)
    except BaseException:
        _put_back(before)
        raise


def load_apart(path: Path) -> ModuleType:
    """Return the module of a file that is run anew, beside the one that is in use, which stays."""
    before = _ours()
    try:
        known = _module_at(path)
        if known is not None:
            _forget(known.__name__)
        return _module_of(path.absolute(), fresh=True)
    finally:
        _put_back(before)


def places() -> dict[str, str]:
    """Return where each module of ours lies, for another process that is to `expect` them."""
    return {name: str(path) for name, path in _FINDER.places.items()}


def sources() -> dict[str, bytes]:
    """Return what was run of each file of ours that is in use, by its path."""
    loaders = [loader_of(module) for module in _ours().values()]
    return {loader.path: loader.bytes for loader in loaders if loader is not None}


def expect(known: Mapping[str, str], run: Mapping[str, bytes]) -> None:
    """Have the modules of another process found here by the names that they have there.

    Of a file in `run` that is run, whatever its file has by now: an edit since is not loaded there.
    """
    _FINDER.places.update((name, Path(path)) for name, path in known.items())
    _FINDER.install()
    _given.update(run)


def _ours() -> dict[str, ModuleType]:
    return {name: module for name, module in [*sys.modules.items()] if name.startswith(OURS)}


def _put_back(modules: Mapping[str, ModuleType]) -> None:
    for name in _ours():
        del sys.modules[name]
    sys.modules.update(modules)


def _forget(name: str) -> None:
    for part in _parts(name):
        del sys.modules[part]


def _parts(name: str) -> dict[str, ModuleType]:
    """The module of a name that was loaded here, with all that is loaded of its package."""
    top = name.partition(".")[0]
    return {n: m for n, m in _ours().items() if n == top or n.startswith(f"{top}.")}


def _module_of(path: Path, *, fresh: bool) -> ModuleType:
    """The module of a file; if `fresh`, one whose files have changed is loaded anew."""
    known = _module_at(path)
    if known is not None and not (fresh and _has_changed(known.__name__, set())):
        return known
    changed = [] if known is None else _changed_in(known.__name__)
    for name in changed:
        _forget(name)
    made = _FINDER.load(path)
    for name in changed:  # what functions import
        place = _FINDER.places.get(name)
        if name not in sys.modules and place is not None and _is_file(place):
            import_module(name)
    return made


def _changed_in(name: str) -> list[str]:
    """Return a module of ours, and of all that it has imported what has changed."""
    found, todo = {name: None}, [name]
    while todo:
        for module in _parts(todo.pop()).values():
            more = [need for need in needs_of(module) if need not in found]
            found.update(dict.fromkeys(more))
            todo += more
    return [one for one in found if one == name or _has_changed(one, set())]


def _module_at(path: Path) -> ModuleType | None:
    """The module of a file: one that a program has imported before one that is loaded here."""
    real, found = path.resolve(), None
    for name, module in [*sys.modules.items()]:
        file = vars(module).get("__file__") if type(module) is ModuleType else None
        if type(file) is not str or not file.endswith(".py"):
            continue
        by_name = file.endswith((path.name, real.name))
        if not (by_name or not file.startswith(INSTALLED)):
            continue
        if file == str(path) or _real(file) == real:  # a link may lead elsewhere by now
            if not name.startswith(OURS):
                return module
            found = module
    return found


@lru_cache(maxsize=8192)
def _real(file: str) -> Path:
    return Path(file).resolve()


def was_edited(module: ModuleType) -> bool:
    """Return whether the file of a module, or of one that it has imported, is another by now."""
    return _has_changed(module.__name__, set())


def _has_changed(name: str, seen: set[str]) -> bool:
    """Whether a file of a module, or of one that it has imported, is another than was run.

    Or it has imported another load of one than is in use.

    A module that a program has under a plain name counts as unchanged: its classes are in use.
    """
    top = name.partition(".")[0]
    parts = {} if top in seen else _parts(top)
    seen.add(top)
    plain = {id(m) for n, m in [*sys.modules.items()] if not n.startswith(OURS)}
    if any(id(module) in plain for module in parts.values()):
        return False
    loaders = [known for module in parts.values() if (known := loader_of(module))]
    needs = [need for loader in loaders for need in loader.needs.items()]
    return any(loader.is_stale() for loader in loaders) or any(
        sys.modules.get(need, one) is not one or _has_changed(need, seen) for need, one in needs
    )


def loader_of(module: ModuleType) -> _FileLoader | None:
    """Return what has loaded a module here; None of all others."""
    loader = getattr(vars(module).get("__spec__"), "loader", None)
    return loader if type(loader) is _FileLoader else None


def needs_of(module: ModuleType) -> set[str]:
    """Return what a module of ours has imported, with the parts of a package that are loaded."""
    name, loader = module.__name__, loader_of(module)
    inside = _parts(name) if "." not in name else {}
    own = [] if loader is None else [*loader.needs]
    below = tuple(f"{needed}." for needed in own)  # also of a package under its plain name
    parts = [part for part in [*sys.modules] if part.startswith(below)] if below else []
    return {*own, *parts, *inside} - {name}


def texts_run(file: str) -> Sequence[bytes]:
    """Return the last texts that were run of a file by `Uncached`, oldest first."""
    return tuple(_texts.get(file, ()))


class Uncached(SourceFileLoader):
    """Runs a file as it is now: the code in `__pycache__` may be older than an edit a moment ago.

    Attributes:
        bytes: those that were run.
        digest: of these.
    """

    bytes = digest = b""

    def get_data(self, path: str) -> builtins.bytes:
        """Return what is in a file; a pipe in its place, which nobody may write to, is refused."""
        given = _given.get(path)
        return source_of(Path(path)) if given is None else given

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002 - as `SourceLoader` has it
        """Compile the file, and remember of which bytes."""
        data = self.get_data(self.path)
        self.digest, self.bytes = hashlib.sha256(data).digest(), data
        texts = _texts.setdefault(self.path, deque(maxlen=MOST_TEXTS))
        if data not in texts:
            texts.append(data)
        return self.source_to_code(data, self.path)


class _FileLoader(Uncached):
    """Runs a file with an `__import__` that looks beside it.

    Attributes:
        needs: the modules that it has imported from beside it, by name.
    """

    def __init__(self, fullname: str, path: str) -> None:
        super().__init__(fullname, path)
        here = Path(path)
        alone = "." not in fullname and here.name != INIT
        beside = (here.parent, here.resolve().parent) if alone else ()
        self._folders = (*beside, _root(here.parent))
        self._package = here.parent if alone else None
        self._known: dict[str, ModuleType | None] = {}
        self._spec: ModuleSpec | None = None
        self.needs: dict[str, ModuleType] = {}

    def exec_module(self, module: ModuleType) -> None:
        """Run the file in its module."""
        self._spec = module.__spec__
        vars(module)["__builtins__"] = vars(builtins) | {"__import__": self._import}
        super().exec_module(module)

    def is_stale(self) -> bool:
        """Return whether the file is another by now; one that is running is not."""
        try:
            now = hashlib.sha256(self.get_data(self.path)).digest()
        except OSError:
            now = b""
        return now != self.digest and not self._is_running()

    def _is_running(self) -> bool:
        return bool(getattr(self._spec, "_initializing", False))

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002 - the name that Python gives it
        locals: Mapping[str, object] | None = None,  # noqa: A002 - as above
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """`__import__` for the code of this file."""
        place = globals
        if level and self._package and _is_package(self._package):
            place = {"__package__": self._needed(_package(self._package)).__name__}
        top, dot, rest = name.partition(".")
        found = None if level or top in sys.stdlib_module_names else self._beside(top)
        if found is None:
            return builtins.__import__(name, place, locals, fromlist or (), level)
        if not dot and not hasattr(found, "__path__"):
            return found
        return builtins.__import__(found.__name__ + dot + rest, place, locals, fromlist or (), 0)

    def _beside(self, top: str) -> ModuleType | None:
        """The neighbour of that name; None if there is none. What was found once stays."""
        if top not in self._known:
            found = self._find(top)
            self._known[top] = found and self._needed(found)
        return self._known[top]

    def _find(self, top: str) -> ModuleType | None:
        for folder in self._folders:
            if _is_package(folder / top):
                return _package(folder / top)
            file = folder / f"{top}.py"
            if _is_file(file):
                return _module_of(file, fresh=self._is_running())
        spaces = [folder / top for folder in self._folders if _is_folder(folder / top)]
        known = top in sys.modules or getattr(PathFinder.find_spec(top), "origin", None)
        return _FINDER.load(spaces[0]) if spaces and not known else None

    def _needed(self, module: ModuleType) -> ModuleType:
        self.needs.setdefault(module.__name__, module)
        return module


def _is_package(folder: Path) -> bool:
    return _is_file(folder / INIT)


def _is_file(path: Path) -> bool:
    """Return whether a file is there, or was where a process began that is told what it had."""
    return str(path) in _given or path.is_file()


def _is_folder(path: Path) -> bool:
    """Return whether a folder is there, or was there."""
    return path.is_dir() or any(file.startswith(f"{path}/") for file in _given)


def _given_in(folders: Sequence[str], name: str) -> Path | None:
    """Return the file of a module of that name in a folder, of those that a process is told."""
    files = [Path(folder) / end for folder in folders for end in (f"{name}/{INIT}", f"{name}.py")]
    return next((file for file in files if str(file) in _given), None)


def _root(folder: Path) -> Path:
    """The folder that the topmost package around a folder lies in."""
    while _is_package(folder):
        folder = folder.parent
    return folder


def _package(folder: Path) -> ModuleType:
    """The module of a package: under its plain name if Python finds it, else one of ours."""
    init = folder / INIT
    if _module_at(init) is None:
        if _is_package(folder.parent):
            return import_module(f"{_package(folder.parent).__name__}.{folder.name}")
        plain = None if folder.name in sys.modules else find_spec(folder.name)
        if plain and plain.origin and Path(plain.origin).resolve() == init.resolve():
            return import_module(folder.name)
    return _module_of(init, fresh=False)


class _Known:
    """Answers an import with a module that was loaded under another name."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self._spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:  # noqa: ARG002 - as all loaders have it
        """The module."""
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """Leave it as it is: Python has put another spec into it."""
        module.__spec__ = self._spec


class _Finder:
    """Finds what is loaded here: by its own name, by that of a package, or by a plain one."""

    def __init__(self) -> None:
        self.places: dict[str, Path] = {}

    def load(self, path: Path) -> ModuleType:
        """Load a file, or a folder of modules that is no package.

        What was loaded from there before has its name, also where a link leads elsewhere by now.
        """
        known = (name for name, place in self.places.items() if place == path)
        name = next(known, None) or module_name(path)
        self.places[name] = path
        self.install()
        return import_module(name)

    def install(self) -> None:
        """Have it asked before all others."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,  # noqa: ARG002 - as all finders have it
    ) -> ModuleSpec | None:
        """The spec of a module that is loaded here; None for all others."""
        place, ours = self.places.get(fullname), fullname.startswith(OURS)
        if place is None and ours:
            place = _given_in([*(path or ())], fullname.rpartition(".")[2])
        if place is not None:
            return _spec_of(fullname, place)
        entries = [entry for entry in path or sys.path if isinstance(entry, str)]
        where = [entry for entry in entries if not entry.startswith(INSTALLED)]
        found = PathFinder.find_spec(fullname, path if ours else where)
        if found is None or not str(found.origin).endswith(".py"):
            return found if ours else None
        known = _module_at(Path(str(found.origin)))
        if ours and known is None:
            return _spec_of(fullname, Path(str(found.origin)))
        if known is None or not (ours or loader_of(known)):
            return None
        first = found if ours else PathFinder.find_spec(fullname, path)
        is_that = first is not None and first.origin == found.origin
        loader: Any = _Known(known)  # `importlib.abc`, which has the type, takes 10 ms
        return ModuleSpec(fullname, loader, origin=found.origin) if is_that else None


def _spec_of(name: str, path: Path) -> ModuleSpec | None:
    if _is_folder(path):
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(path)]
        return spec
    within = [str(path.parent)] if path.name == INIT else None
    loader = _FileLoader(name, str(path))
    return spec_from_file_location(name, path, loader=loader, submodule_search_locations=within)


_FINDER = _Finder()
