"""Fewer items: taking out as many as can be spared, chunks first, then one by one, then pairs.

Source: Zeller, Hildebrandt, *Simplifying and Isolating Failure-Inducing Input* (2002); here chunks
are taken out in one direction, so that what comes before a chunk need not be tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import TypeVar

MOST_IN_PAIRS = 40  # items of which all pairs are tried

T = TypeVar("T")
Without = Callable[[int, int], Sequence[T] | None]
"""Leaves out the items from an index to before another; what there is then, or None: it fails."""


def thinned(items: Sequence[T], without: Without[T], *, first: bool = False) -> Sequence[T]:
    """Leave out chunks, halves to begin with, until no single item can be left out.

    Args:
        items: what there is.
        without: tries it; it may leave out more than it was asked to.
        first: begin with the first items and not with the last.

    >>> have = list("abcdef")
    >>> def without(low, high):
    ...     fewer = have[:low] + have[high:]
    ...     return have.__setitem__(slice(None), fewer) or fewer if {"b", "e"} <= {*fewer} else None
    >>> "".join(thinned(have, without))
    'be'
    """
    size = max(1, len(items) // 2)
    while items:
        before = len(items)
        items = one_pass(items, without, size, first=first)
        if size == 1 and len(items) == before:
            break
        size = max(1, min(size // 2, len(items) // 2))
    return items


def one_pass(items: Sequence[T], without: Without[T], size: int, *, first: bool) -> Sequence[T]:
    """Try to leave out each chunk of a size once."""
    at = 0 if first else len(items)
    while at < len(items) if first else at > 0:
        low, high = (at, min(at + size, len(items))) if first else (max(0, at - size), at)
        fewer = without(low, high)
        if fewer is None:
            at = high if first else low
        else:
            items = fewer
            at = low if first else min(low, len(items))
    return items


def in_pairs(count: int) -> list[tuple[int, int]]:
    """Return the pairs of indices of so many items, neighbours first; none if there are too many.

    >>> in_pairs(3)
    [(0, 1), (1, 2), (0, 2)]
    """
    if count > MOST_IN_PAIRS:
        return []
    return sorted(combinations(range(count), 2), key=lambda pair: pair[1] - pair[0])
