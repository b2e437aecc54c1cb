"""Names of cases that are the same in every process, as processes that share a suite must agree."""

from __future__ import annotations

import re


def stable(value: object) -> str:
    """A value's repr, in ASCII, without its address.

    >>> stable(len), stable("é")
    ('<built-in function len>', "'\\\\xe9'")
    """
    return re.sub(r" at 0x[0-9a-f]+", "", ascii(value))
