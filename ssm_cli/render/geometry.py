"""How many rows each part of the screen gets. Pure, so that every size can be tested.

The tree and the restart log are in view at every size, because watching them while typing is
what the screen is for. Side by side where there is room, one above the other elsewhere.
"""

from __future__ import annotations

import msgspec

WIDE_COLUMNS = 100  # from here on the restart log stands beside the tree
LOW_ROWS = 8  # a lower screen has nothing but output, prompt and hint
KEY_BAR_ROWS = 16  # a lower screen has no line of keys
TREE_SHARE = 0.6  # of what is left, at most so much goes to the tree where it stands alone


class Geometry(msgspec.Struct, frozen=True):
    """Rows of each part; `log` counts only where it does not stand beside the tree.

    Attributes:
        wide: the log stands beside the tree.
        tree: rows of the tree, its header included.
        log: rows of the log below the tree; 0 where it is beside it.
        output: rows of the output.
        keys: 1 if the line of keys is shown, else 0.
        tree_columns: cells of the tree.
        log_columns: cells of the log.
        low: nothing but the output, the prompt and its hint is shown.
        hint: 1 if the line below the prompt is shown, else 0.
    """

    wide: bool
    tree: int
    log: int
    output: int
    keys: int
    tree_columns: int
    log_columns: int
    low: bool = False
    hint: int = 1


def geometry(
    rows: int, columns: int, tree_rows: int, *, detail_rows: int = 0, inline: bool = False
) -> Geometry:
    """Share out a screen.

    Args:
        rows: of the terminal.
        columns: of the terminal.
        tree_rows: how many rows the tree would like, its header included.
        detail_rows: how many the detail of a node would like, its title included; it takes the
            place of the log.
        inline: a panel of at most half the screen, without the output.

    >>> g = geometry(24, 80, 7)
    >>> (g.wide, g.tree, g.log, g.output, g.keys)
    (False, 7, 3, 8, 1)
    """
    if rows < LOW_ROWS:
        hint = 1 if rows > 1 else 0
        output = 0 if inline else max(rows - 1 - hint, 0)
        return Geometry(False, 0, 0, output, 0, columns, columns, low=True, hint=hint)
    keys = 1 if rows >= KEY_BAR_ROWS else 0
    if inline:
        panel = geometry(max(rows // 2, 8), columns, tree_rows, detail_rows=detail_rows)
        tree = min(max(tree_rows, panel.tree), panel.tree + panel.output + panel.keys - keys)
        return msgspec.structs.replace(panel, tree=tree, output=0, keys=keys)
    wide = columns >= WIDE_COLUMNS
    # status line, rule above the output, prompt, hint; and the rule above a log of its own
    rest = max(rows - 4 - keys - (0 if wide else 1), 3)
    if wide:
        tree_rows = max(tree_rows, detail_rows)
        tree = _between(tree_rows, min(8, rest - 1), max(int(rest * TREE_SHARE), 1))
        log_columns = columns * 2 // 5
        return Geometry(wide, tree, 0, rest - tree, keys, columns - log_columns - 1, log_columns)
    log = max(2, rest // 6, min(detail_rows, rest // 2)) if rest >= 6 else 1
    tree = _between(tree_rows, 1, max(int((rest - log) * TREE_SHARE), 1))
    return Geometry(wide, tree, log, rest - log - tree, keys, columns, columns)


def _between(value: int, low: int, high: int) -> int:
    return max(min(value, high), min(low, high))
