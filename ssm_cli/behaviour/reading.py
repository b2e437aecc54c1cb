"""Inputs that are declared as reading (`reads`): they answer from the state and change nothing."""

from __future__ import annotations

import types
from functools import lru_cache
from typing import Any, Union, get_args, get_origin

from ssm_cli.behaviour.callbacks import Callbacks
from ssm_cli.behaviour.machine import StateMachine


@lru_cache(maxsize=1024)
def classes_of(reads: Any) -> frozenset[Any]:
    """The classes of one class or a union of them; none of None.

    >>> sorted(kind.__name__ for kind in classes_of(int | str))
    ['int', 'str']
    """
    if reads is None:
        return frozenset()
    reads = getattr(reads, "__value__", reads)  # of a `type` statement
    parts = get_args(reads) if get_origin(reads) in (Union, types.UnionType) else (reads,)
    return frozenset(parts)


def is_reading(behaviour: StateMachine | Callbacks, message: Any) -> bool:
    """Whether an input is declared as reading."""
    reads = behaviour.reads
    return reads is not None and type(message) in classes_of(reads)
