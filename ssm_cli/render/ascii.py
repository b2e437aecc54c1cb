"""Every character that we draw with, for terminals and fonts that have ASCII alone."""

from __future__ import annotations

from rich.cells import cell_len

TABLE = str.maketrans(
    {
        "●": "*", "◌": ".", "↻": "~", "○": "o", "✖": "x", "■": "#", "‖": "=", "⧗": "!",
        "▾": "v", "▸": ">", "├": "|", "└": "`", "│": "|", "─": "-", "…": ".", "·": ".",
        "—": "-", "\u276f": ">", "↑": "^", "↓": "v", "→": ">", "█": "#", "▏": "|",
    }
)  # fmt: skip


def to_ascii(text: str) -> str:
    """The text in ASCII, in as many cells: what has no likeness becomes `?`, a wide one `??`.

    >>> to_ascii("└─ ● kv1 …"), to_ascii("数")
    ('`- * kv1 .', '??')
    """
    text = text.translate(TABLE)
    if text.isascii():
        return text
    return "".join(c if c.isascii() else "?" * cell_len(c) for c in text)
