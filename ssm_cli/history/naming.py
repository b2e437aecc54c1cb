"""Names in a file that is written: what it imports, and what classes are called there.

The module of the worker is loaded by its file, unless a module is that file already, and under the
name that an import finds it by, so that it is one module for all that runs in the process. Modules
of packages and neighbours are imported from the folder where they are found.
"""

from __future__ import annotations

import keyword
import os
import re
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

import ssm_cli
from ssm_cli.history.literals import Unwritable, quoted

BY_FILE = re.compile(r"^(ssm_file_[0-9a-f]{16}_|__main__$)")
"""How modules are called that are known by their file alone."""

RESERVED = frozenset(
    {"Path", "bytearray", "caller", "complex", "faulthandler", "float", "frozenset", "int", "load",
     "module_from_spec", "server", "set", "spec_from_file_location", "state", "sys", "range"}
)  # fmt: skip

INSTALLED = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))


class Imports:
    """What one file calls the things that it takes from modules.

    Args:
        main: the name of the worker's module.
        beside: the folder of the file that is written, to which paths are relative.
    """

    def __init__(self, main: str, beside: Path | None) -> None:
        self._main, self._beside = main, beside
        self._taken: dict[str, tuple[str, str]] = {}
        self._modules: dict[str, str] = {}

    def of(self, thing: Any) -> str:
        """Return the text that names a class or function of a module; raises `Unwritable`."""
        thing = Path if thing is type(Path()) else thing
        module = str(getattr(thing, "__module__", ""))
        module = "pathlib" if module.startswith("pathlib.") else module  # as of Python 3.13
        return self.attribute(module, str(getattr(thing, "__qualname__", "")), thing)

    def attribute(self, module: str, path: str, thing: Any) -> str:
        """Return the text that names what a module has under a dotted name."""
        found: Any = sys.modules.get(module)
        for part in path.split("."):
            found = getattr(found, part, None)
        if found is not thing or found is None:
            raise Unwritable(f"{module}.{path}", "cannot be imported by its name")
        if module == "builtins":
            return path
        if module.startswith("ssm_cli.") and getattr(ssm_cli, path, None) is thing:
            module = "ssm_cli"
        first, _, rest = path.partition(".")
        name = self._local(module, first)
        return f"{name}.{rest}" if rest else name

    def _local(self, module: str, first: str) -> str:
        """Return what something at the top of a module is called; another name if that is taken."""
        name, number = first, 1
        while name in RESERVED or keyword.iskeyword(name) or self._is_taken(name, module, first):
            if (module, first) == ("pathlib", "Path"):
                break
            number += 1
            name = f"{first}_{number}"
        self._taken[name] = (module, first)
        return name

    def _is_taken(self, name: str, module: str, first: str) -> bool:
        by_file = name in self._modules.values()
        return by_file or self._taken.get(name, (module, first)) != (module, first)

    def module(self, name: str) -> str:
        """Return what a module that is loaded by its file is called."""
        if name not in self._modules:
            file = file_of(name)
            stem = re.sub(r"\W", "_", file.stem, flags=re.ASCII)
            plain = (
                stem if stem.isidentifier() and not keyword.iskeyword(stem) else f"module_{stem}"
            )
            while plain in RESERVED or plain in self._taken or plain in self._modules.values():
                plain += "_"
            self._modules[name] = plain
        return self._modules[name]

    def header(self, extra: tuple[str, ...] = ()) -> str:
        """Return the imports, loads and names of all that was asked for."""
        loaded = sorted({m for m, _ in self._taken.values() if self._is_by_file(m)})
        others = sorted({m for m, _ in self._taken.values()} - {*loaded})
        roots = sorted({str(root) for m in others if (root := root_of(m)) is not None})
        standard = [m for m in others if m.partition(".")[0] in sys.stdlib_module_names]
        plain = sorted({"sys", *extra} if loaded or roots else {*extra})
        froms = [self._import(module) for module in standard if module != "pathlib"]
        if loaded:
            froms.append("from importlib.util import module_from_spec, spec_from_file_location")
        if loaded or roots or "Path" in self._taken:
            froms.append(self._import("pathlib", "Path"))
        blocks = ["\n".join([*(f"import {name}" for name in plain), *sorted(froms, key=module_in)])]
        theirs = [m for m in others if m not in standard]
        early = [m for m in theirs if root_of(m) is None]
        if early:
            blocks.append("\n".join(self._import(module) for module in early))
        if roots:
            blocks.append("\n".join(f"sys.path.insert(0, str({self._path(r)}))" for r in roots))
            late = [self._import(m, noqa=True) for m in theirs if m not in early]
            blocks.append("\n".join(late))
        text = "\n\n".join(block for block in blocks if block)
        return text + (f"\n\n\n{LOAD}\n\n\n{self._loads(loaded)}" if loaded else "")

    def _is_by_file(self, module: str) -> bool:
        plain = BY_FILE.sub("", module)
        if plain != module and (module == self._main or not can_be_imported(plain)):
            return True
        return module == self._main and "." not in module and root_of(module) is not None

    def _import(self, module: str, *more: str, noqa: bool = False) -> str:
        names = {(n, f) for n, (m, f) in self._taken.items() if m == module}
        names |= {(name, name) for name in more}
        listed = sorted((f if n == f else f"{f} as {n}") for n, f in names)
        plain = BY_FILE.sub("", module)
        line = f"from {plain} import {', '.join(listed)}"
        if len(line) > 100 - 14 * noqa:
            begin = f"from {plain} import ({'  # noqa: E402' if noqa else ''}"
            return "\n".join([begin, *(f"    {name}," for name in listed), ")"])
        return f"{line}  # noqa: E402" if noqa else line

    def _path(self, place: str) -> str:
        """Return the source of a path: from the file that is written, if that is known."""
        if self._beside is None:
            return f"Path({quoted(place)})"
        parts = Path(os.path.relpath(place, self._beside.resolve())).parts
        ups = sum(1 for part in parts if part == "..")
        here = f"Path(__file__).resolve().parents[{ups}]" if ups else HERE
        rest = str(Path(*parts[ups:])) if parts[ups:] else ""
        return f"{here} / {quoted(rest)}" if rest else here

    def _loads(self, loaded: list[str]) -> str:
        lines = []
        for module in loaded:
            name = self.module(module)
            lines.append(f"{name} = load({self._path(str(file_of(module)))})")
            names = sorted((n, f) for n, (m, f) in self._taken.items() if m == module)
            lines += [f"{n} = {name}.{f}" for n, f in names]
        return "\n".join(lines)


HERE = "Path(__file__).resolve().parent"

LOAD = '''\
def load(file):
    """Return the module of a file, which is imported if no module is it yet."""
    for module in [*sys.modules.values()]:
        known = getattr(module, "__dict__", {}).get("__file__")
        if isinstance(known, str) and Path(known).resolve() == file.resolve():
            return module
    name = file.stem
    while name in sys.modules or name in sys.stdlib_module_names:
        name += "_under_test"
    spec = spec_from_file_location(name, file)
    sys.modules[name] = module = module_from_spec(spec)
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module'''


def can_be_imported(module: str) -> bool:
    """Return whether a module can be named in an import statement and is not Python's own."""
    words = module.split(".")
    plain = all(word.isidentifier() and not keyword.iskeyword(word) for word in words)
    return plain and words[0] not in sys.stdlib_module_names


def module_in(line: str) -> str:
    """Return the module of an import line, by which such lines are sorted."""
    return line.split(" ")[1]


def file_of(module: str) -> Path:
    """Return the file of a module; raises `Unwritable` where it has none."""
    known = sys.modules.get(module)
    file = getattr(known, "__file__", None) if type(known) is ModuleType else None
    if type(file) is not str or not file.endswith(".py"):
        raise Unwritable(module, "has no Python file that a test could import")
    return Path(file).resolve()


def root_of(module: str) -> Path | None:
    """Return the folder from which a module is imported; None where Python finds it anyway."""
    first = module.partition(".")[0]
    if first in sys.stdlib_module_names or first == "ssm_cli":
        return None
    file = file_of(module)
    package = file.name == "__init__.py"
    root = file.parents[module.count(".") + (1 if package else 0)]
    return None if str(root) in INSTALLED else root
