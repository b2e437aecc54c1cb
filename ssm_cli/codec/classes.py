"""The classes that exactly written values may hold, and what is wrong where one cannot be."""

from __future__ import annotations

import builtins
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.msgpack import Encoder, Ext

from ssm_cli.codec.kinds import FACTORIES, Form, found, is_made_bare, kept_form, name_of
from ssm_cli.errors import a_or_an

canonical_bytes = Encoder(order="deterministic").encode
PLAIN = frozenset({type(None), bool, int, float, str, bytes})
TAGS = [Ext(code, b"") for code in range(14)]
(
    DICT_TAG, TUPLE_TAG, SET_TAG, FROZEN_TAG, STANDARD_TAG, RECORD_TAG, ENUM_TAG, ORDERED_TAG,
    COUNTER_TAG, DEFAULT_TAG, DEQUE_TAG, BIG_TAG, ODD_TAG, UNSET_TAG,
) = TAGS  # fmt: skip
FACTORY_TYPES: dict[str, type] = {
    **{f"builtins:{name}": getattr(builtins, name) for name in FACTORIES},
    **{f"collections:{kind.__name__}": kind for kind in (Counter, OrderedDict, defaultdict, deque)},
}
"""What the factory of a `defaultdict` may be besides a class of the program, by name."""


class Inexact(ValueError):
    """A value cannot be written so that it comes back as it is, or cannot be brought back.

    Attributes:
        path: where in the value, as `.owner.tags[2]`; "" is the value itself.
        why: what is wrong there.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
        self.path = ""

    def at(self, step: str) -> Inexact:
        """Note that it lies below this attribute, index or key."""
        self.path = step + self.path
        return self


class Classes:
    """The classes that values may hold, by the names that stand for them in what is written.

    Args:
        known: found in annotations; others are looked for in the modules that are loaded.
        tagged: the names of those that stand in a union with others.
        home: the module of the code; a class of its name is looked for in that one alone.
    """

    def __init__(
        self,
        known: Mapping[str, type] | None = None,
        tagged: Iterable[str] = (),
        home: str = "",
    ) -> None:
        self._known = dict(known or {})
        self._tagged = frozenset(tagged)
        self._home = home
        self._seen: dict[type, Form] = {}
        self.proven: dict[int, Any] = {}  # members of enums that a copy of their value finds

    def form(self, kind: type) -> Form:
        """The form of a class whose instance is written; raises `Inexact` where it has none."""
        form = self._seen.get(kind)
        if form is None:
            form = kept_form(kind)
            if form is None:
                raise Inexact(f"{a_or_an(name_of(kind))} cannot be kept{_hint(kind)}")
            if self.find(form.name) is not kind:
                raise Inexact(
                    f"{a_or_an(form.name)} cannot be kept: a later process does not find this "
                    f"class by its name; define it in a module, or name it in `state=`"
                )
            self._seen[kind] = form
        return form

    def find(self, name: str) -> type | None:
        """The class that a name stands for."""
        return self._known.get(name) or found(name, self._home)

    def is_tagged(self, name: str) -> bool:
        """Whether that class stands in a union with others."""
        return name in self._tagged


def _hint(kind: type) -> str:
    own = ("builtins", "collections")
    above = [base for base in kind.__mro__[1:] if base.__module__ in own]
    bases = [base.__name__ for base in above if not is_made_bare(base)]
    if bases:
        keep = f"keep {a_or_an(bases[0])}, or a dataclass with one"
        return f", as it is a subclass of {bases[0]}; {keep}"
    return "; keep what it is made of in a dataclass or a msgspec.Struct, or make it in `restore`"
