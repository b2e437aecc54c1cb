"""What was shown to somebody, who agrees to it later: is it still so?"""

from __future__ import annotations

from collections import OrderedDict

from ssm_cli.runtime.engine.digest import sum_of

MOST_SHOWN = 64  # the oldest is forgotten, and counts as another than it was


class Signs:
    """Values that were shown, by signs that tell nothing of them.

    >>> signs = Signs()
    >>> sign = signs.sign([1, 2])
    >>> signs.is_stale(sign, [1, 2]), signs.is_stale(sign, [1, 3]), signs.is_stale("", None)
    (False, True, False)
    """

    def __init__(self) -> None:
        self._sums: OrderedDict[str, bytes] = OrderedDict()
        self._made = 0

    def sign(self, value: object) -> str:
        """Return a sign for a value as it is now."""
        self._made += 1
        sign = str(self._made)
        self._sums[sign] = sum_of(value)
        if len(self._sums) > MOST_SHOWN:
            self._sums.popitem(last=False)
        return sign

    def is_stale(self, sign: str, value: object) -> bool:
        """Return whether a value is another one than a sign was made of; "" stands for any."""
        return sign != "" and self._sums.get(sign) != sum_of(value)
