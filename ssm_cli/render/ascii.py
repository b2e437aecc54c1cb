"""Every character that we draw with, for terminals and fonts that have ASCII alone."""

from __future__ import annotations

from rich.cells import cell_len

from ssm_cli.render.outlet import Through

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


class AsciiStream(Through):
    """A text stream that translates what is written to another (`--ascii`)."""

    encoding = "ascii"

    def write(self, text: str) -> int:
        """Write the text in ASCII."""
        return self._stream.write(to_ascii(text))
