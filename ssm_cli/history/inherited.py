"""Objects of classes that inherit from Python's own types: what they hold besides attributes.

No method of the class of a user runs, as it may give something else than what is held.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

from ssm_cli.errors import CodeRefused

Carry = Callable[[Any], Any]

DICTS: tuple[type, ...] = (OrderedDict, defaultdict, dict)
FILLED: tuple[type, ...] = (list, set, deque)
FIXED: tuple[type, ...] = (tuple, frozenset, str, int, float, complex, bytes)
LINKED = ("__cause__", "__context__", "__suppress_context__", "__traceback__")


def type_below(kind: type) -> Any:
    """Return the type of Python's own that a class inherits what its objects hold from; or None.

    >>> type_below(type("Book", (dict,), {})), type_below(type("Book", (), {}))
    (<class 'dict'>, None)
    """
    for base in kind.__mro__:
        if base in DICTS or base in FILLED or base in FIXED:
            return base
        if base.__module__ == "builtins" and issubclass(base, BaseException):
            return base
    return None


def emptied(value: Any, base: Any, target: Any, carry: Carry) -> Any:
    """Return an object of another class, to hold what one holds, which `fill_from` gives it.

    What cannot be changed once it is made is whole by then.

    Raises:
        TypeError: the other class does not inherit from that type.
        CodeRefused: members of it are equal now.
    """
    if type_below(target) is not base:
        raise TypeError(f"{target.__qualname__} is no {base.__name__}, as it was")
    if base in (tuple, frozenset):
        made = base.__new__(target, [carry(part) for part in base.__iter__(value)])
        need_all(base.__len__(made), base.__len__(value))
        return made
    if base in FIXED:
        return base.__new__(
            target, value if base is complex else getattr(base, PLAINLY[base])(value)
        )
    if issubclass(base, BaseException):
        args = tuple(carry(part) for part in value.args)
        made = base.__new__(target, *args)
        base.__init__(made, *args)
        return made
    made = base.__new__(target)
    if base is deque:
        deque.__init__(made, (), value.maxlen)
    elif base is defaultdict:
        defaultdict.__init__(made, carry(value.default_factory))
    return made


PLAINLY = {str: "__str__", int: "__int__", float: "__float__", bytes: "__bytes__"}


def fill_from(made: Any, value: Any, base: Any, carry: Carry) -> None:
    """Have an object hold what another one holds, each part carried.

    Raises:
        CodeRefused: keys or members of it are equal now.
    """
    if base in DICTS:
        for key, part in base.items(value):
            base.__setitem__(made, carry(key), carry(part))
        need_all(base.__len__(made), base.__len__(value))
    elif base is set:
        set.update(made, [carry(part) for part in set.__iter__(value)])
        need_all(set.__len__(made), set.__len__(value))
    elif base in FILLED:
        base.extend(made, [carry(part) for part in base.__iter__(value)])
    elif issubclass(base, BaseException):
        for name in LINKED:
            setattr(made, name, carry(getattr(value, name)))


def need_all(left: int, count: int) -> None:
    """Check that as many keys or members are left of a value as it had.

    Raises:
        CodeRefused: some of them are equal to others, once they are carried.
    """
    if left != count:
        raise CodeRefused(
            f"of {count:,} keys or members only {left:,} are left, as the others equal one of them"
        )
