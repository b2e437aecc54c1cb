"""What an annotation says of values: the classes in them, what cannot be kept, and its own digest.

The digest changes with the types of a state. Where it has changed, stored values are looked at
again (`misfit`): one that the new types do not allow would be another state in silence.
"""

from __future__ import annotations

import collections
import inspect
import types
import typing
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, get_args, get_origin

from ssm_cli.codec.classes import PLAIN, Inexact
from ssm_cli.codec.kinds import kept_form, name_of, standard
from ssm_cli.errors import a_or_an

ANY = (Any, object, typing.Hashable, typing.Sized)
KEPT = PLAIN | {
    list, dict, set, frozenset, tuple, collections.OrderedDict, collections.Counter,
    collections.defaultdict, collections.deque,
}  # fmt: skip
WRAPPERS = ("Final", "ClassVar", "Required", "NotRequired", "ReadOnly")
WIDER: dict[Any, tuple[type, ...]] = {float: (float, int), complex: (complex, float, int)}
DIGEST_BYTES = 8


class Declared:
    """What annotations say, all that they name included.

    Attributes:
        classes: the classes of a program that values may hold, by name.
        tagged: the names of those that stand in a union with others.
        refused: what cannot be kept, whatever its value: where, and which type.
    """

    def __init__(self, *annotations: Any) -> None:
        self.classes: dict[str, type] = {}
        self.tagged: set[str] = set()
        self.refused: list[tuple[str, str]] = []
        self._fields: dict[str, str] = {}
        self._text = [self._walk(bare(annotation), "") for annotation in annotations]

    def digest(self) -> str:
        """The digest of all that is said, as text."""
        said = [*self._text, *(f"{name}: {held}" for name, held in sorted(self._fields.items()))]
        return blake2b("\n".join(said).encode(), digest_size=DIGEST_BYTES).hexdigest()

    def _walk(self, said: Any, path: str) -> str:
        """Note what a type holds; the text that stands for it."""
        if said is None or any(said is one for one in ANY):
            return str(said)
        if is_union(said):
            return self._union(get_args(said), path)
        if get_origin(said) is typing.Literal:
            for member in get_args(said):
                self._walk(type(member), path)
            return repr(get_args(said))
        origin = get_origin(said)
        if origin is not None:
            inside = [self._walk(bare(a), f"{path}[...]") for a in get_args(said) if a is not ...]
            return f"{self._walk(origin, path)}[{', '.join(inside)}]"
        return self._class(said, path) if isinstance(said, type) else repr(said)

    def _union(self, members: tuple[Any, ...], path: str) -> str:
        """The same for a union: one member that can be kept is enough, values will tell."""
        begin, parts, wrong = len(self.refused), list[str](), list[bool]()
        for member in members:
            count = len(self.refused)
            parts.append(self._walk(bare(member), path))
            wrong.append(len(self.refused) > count)
        if not all(wrong):
            del self.refused[begin:]
        names = [get_origin(bare(member)) or bare(member) for member in members]
        records = [one for one in names if isinstance(one, type) and kept_form(one) is not None]
        if len(records) > 1:
            self.tagged |= {name_of(record) for record in records}
        return " | ".join(sorted(parts))

    def _class(self, said: type, path: str) -> str:
        name = name_of(said)
        if said in KEPT or standard(said):
            return name
        if typing.is_typeddict(said) or kept_form(said) is not None:
            if name not in self._fields:
                self._fields[name] = ""  # on the way: it may hold itself
                if kept_form(said) is not None:
                    self.classes[name] = said
                fields = hints(said).items()
                self._fields[name] = ", ".join(
                    f"{field}: {self._walk(held, f'{path}.{field}')}" for field, held in fields
                )
            return name
        before = len(self.refused)
        below: list[type] = [] if is_open(said) else type.__subclasses__(said)
        for kind in below:
            self._walk(kind, path)
        del self.refused[before:]
        if not is_open(said) and not any(map(kept_form, below)):
            self.refused.append((path, name))
        return name


def bare(said: Any) -> Any:
    """A type without what only wraps it: `Annotated`, `NewType`, `Final`, `type X = ...`."""
    while True:
        if get_origin(said) is typing.Annotated:
            said = get_args(said)[0]
        elif isinstance(said, typing.NewType):
            said = said.__supertype__
        elif type(said).__name__ == "TypeAliasType":
            said = said.__value__
        elif getattr(get_origin(said), "_name", None) in WRAPPERS:
            said = get_args(said)[0]
        else:
            return said


def is_union(said: Any) -> bool:
    """Whether a type is a union.

    >>> is_union(int | None), is_union(typing.Optional[int]), is_union(list[int])
    (True, True, False)
    """
    return get_origin(said) is typing.Union or isinstance(said, types.UnionType)


def is_open(said: type) -> bool:
    """Whether a type says what its values can do, and not which class they are of."""
    if said.__module__ in ("typing", "collections.abc", "numbers") or inspect.isabstract(said):
        return True
    return bool(getattr(said, "_is_protocol", False))


def hints(kind: Any) -> dict[str, Any]:
    """The types of the fields of a class; Any for those that cannot be told."""
    try:
        found = typing.get_type_hints(kind, include_extras=True)
    except Exception:  # noqa: BLE001 - its annotations name what is not there; values will tell
        found = {}
    form = None if typing.is_typeddict(kind) else kept_form(kind)
    fields = found if form is None else form.fields
    return {name: bare(found.get(name, Any)) for name in fields}


def misfit(value: Any, said: Any) -> None:
    """Compare a value with the type that it should have now.

    An `int` is a `float` as it is in annotations; what a type leaves open is not looked at.

    Raises:
        Inexact: it is of another type; says where.

    >>> misfit({"a": [1]}, dict[str, list[int]])
    >>> misfit({"a": ["1"]}, dict[str, list[int]])
    Traceback (most recent call last):
    ssm_cli.codec.classes.Inexact: it is a str, and the code says int now
    """
    said = bare(said)
    if any(said is one for one in ANY):
        return
    origin, inside = get_origin(said) or said, get_args(said)
    if is_union(said):
        _one_of(value, inside)
    elif origin is typing.Literal:
        if not any(type(value) is type(one) and value == one for one in inside):
            raise _wrong(value, said)
    elif typing.is_typeddict(origin):
        _typed_dict(value, origin)
    elif isinstance(origin, type) and not getattr(origin, "_is_protocol", False):
        _of_class(value, said, origin, inside)
    elif said is None and value is not None:
        raise _wrong(value, said)


def _of_class(value: Any, said: Any, origin: type, inside: tuple[Any, ...]) -> None:
    if not isinstance(value, WIDER.get(origin, origin)):
        raise _wrong(value, said)
    kind: Any = type(value)
    if kept_form(kind) is not None:
        for field, held in hints(kind).items():
            _below(f".{field}", getattr(value, field, None), held)
    elif inside:
        _inside(value, origin, inside)


def _wrong(value: Any, said: Any) -> Inexact:
    text = said.__name__ if isinstance(said, type) and not get_args(said) else str(said)
    return Inexact(f"it is {a_or_an(type(value).__name__)}, and the code says {text} now")


def _below(step: str, value: Any, said: Any) -> None:
    try:
        misfit(value, said)
    except Inexact as error:
        raise error.at(step) from None


def _one_of(value: Any, members: tuple[Any, ...]) -> None:
    found: list[Inexact] = []
    for member in members:
        try:
            return misfit(value, member)
        except Inexact as error:
            found.append(error)
    raise max(found, key=lambda error: len(error.path))


def _typed_dict(value: Any, said: Any) -> None:
    if type(value) is not dict:
        raise _wrong(value, said)
    if missing := sorted(said.__required_keys__ - value.keys()):
        raise Inexact("the code has this key now, and it is not in what is stored").at(
            f"[{missing[0]!r}]"
        )
    known = hints(said)
    for key, held in value.items():
        if key not in known:
            raise Inexact("the code has no such key").at(f"[{key!r}]")
        _below(f"[{key!r}]", held, known[key])


def _inside(value: Any, origin: type, inside: tuple[Any, ...]) -> None:
    """The same for what a container holds."""
    if isinstance(value, Mapping):
        said_key, said = (*inside, Any)[:2] if origin is not collections.Counter else (*inside, int)
        for key, held in value.items():
            _below(f"[{key!r}]", key, said_key)
            _below(f"[{key!r}]", held, said)
    elif isinstance(value, tuple) and inside[-1] is not ...:
        if len(value) != len(inside):
            raise Inexact(f"it has {len(value)} elements, and the code says {len(inside)} now")
        for index, (held, said) in enumerate(zip(value, inside, strict=True)):
            _below(f"[{index}]", held, said)
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for index, held in enumerate(value):
            _below(f"[{index}]", held, inside[0])
