"""The seal: a sum over all cells, by which one that was changed, lost or moved is noticed.

SQLite has no checksums of its pages: a flipped bit may hide a row, rename a key, or bring back an
old value, and every query goes on to answer. So each cell has a weight, a hash of its key and
value; their sum, and the number of puts so far, are stored with each put, in its transaction. The
sum does not depend on an order, and a put needs only the weights of what it changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import msgspec

SUM_BYTES = 16


class Seal(msgspec.Struct, frozen=True):
    """How many puts there were, and the sum of the weights of all cells."""

    puts: int = 0
    sum: int = 0

    def written(self) -> bytes:
        """The sum as it is stored."""
        return self.sum.to_bytes(SUM_BYTES, "big")


def weight(key: str, data: bytes) -> int:
    """What a cell adds to the sum.

    >>> weight("a", b"bc") != weight("ab", b"c")
    True
    """
    name = key.encode()
    content = len(name).to_bytes(8, "big") + name + data
    return int.from_bytes(blake2b(content, digest_size=SUM_BYTES).digest(), "big")


def after(seal: Seal, gone: Iterable[int], come: Iterable[int]) -> Seal:
    """The seal after a put that took some weights away and brought some.

    >>> after(Seal(1, 5), [5], [2, 3]) == Seal(2, 5)
    True
    """
    return Seal(seal.puts + 1, (seal.sum - sum(gone) + sum(come)) % (1 << 8 * SUM_BYTES))
