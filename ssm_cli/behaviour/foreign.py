"""Calls of user code whose frames tell exceptions apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def foreign(function: Callable[..., Any], *args: Any) -> Any:
    """Return `function(*args)`, which is code of the user's, or an operation on a value of it.

    An exception that is raised by code in C leaves no frame of its own. This one, which is none of
    the runtime, tells it from an exception that the runtime has met: see `in_runtime_alone`.

    >>> foreign(len, "abc")
    3
    """
    return function(*args)
