"""Making any text safe for one line of a terminal.

What a worker stores, prints or raises is the user's; it must not move the cursor, ring the bell,
change colours, reorder the line or spread over the lines below. Everything that does not print
is written out as its escape, so that it is seen and does nothing.
"""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size

from ssm_cli.commands.text import escaped

LIMIT_CHARACTERS = 4000
"""How much of one text is shown; the rest is counted."""


def one_line(text: str, limit: int = LIMIT_CHARACTERS) -> str:
    r"""The text on one line: what does not print is written as its escape.

    See `commands.text.escaped`.

    Args:
        text: any text.
        limit: how many characters of it are kept at most; how many are left out is said.

    >>> one_line("red \x1b[31m and\na new line")
    'red \\x1b[31m and\\na new line'
    >>> one_line("abcdef", limit=3)
    'abc… (3 more)'
    """
    kept, rest = escaped(text[:limit]), len(text) - limit
    return kept if rest <= 0 else f"{kept}… ({rest:,} more)"


def lines_of(text: str) -> list[str]:
    r"""The lines of a text, each safe on its own; a tab becomes four spaces.

    >>> lines_of("a\tb\r\nc\x07")
    ['a    b', 'c\\x07']
    """
    return [one_line(line.replace("\t", "    ")) for line in text.splitlines()]


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Exactly `width` cells of a safe text: cropped with `…`, or padded.

    Args:
        text: text on one line.
        width: terminal cells; a wide character takes two.
        right: pad on the left, for numbers.

    >>> fit("kv2", 5), fit("7", 3, right=True), fit("storage", 4)
    ('kv2  ', '  7', 'sto…')
    """
    cells = cell_len(text)
    if cells > width:
        return f"{set_cell_size(text, width - 1)}…" if width > 0 else ""
    padding = " " * (width - cells)
    return padding + text if right else text + padding
