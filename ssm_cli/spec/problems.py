"""Problems: what is wrong with a spec, each with its place in the tree and in the file."""

from __future__ import annotations

import msgspec

FILE = "(file)"  # where a problem is that belongs to no node of the tree


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong: where in the tree, and a sentence that follows the path.

    `line` and `column` count from 1; 0 where the spec did not come from a file. `otp` says that
    OTP's supervisor refuses it, too, when it starts, with a term of its own. `place` is which
    child of its supervisor the node is, from 1; 0 for the root, and where a file says it better.
    """

    path: str
    message: str
    line: int = 0
    column: int = 0
    otp: bool = False
    place: int = 0
