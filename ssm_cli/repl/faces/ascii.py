"""A terminal that gets ASCII alone (`--ascii`)."""

from __future__ import annotations

from typing import TextIO

from ssm_cli.render.ascii import to_ascii


class AsciiStream:
    """A text stream that translates what is written to another; as much of one as is used."""

    encoding = "ascii"

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text in ASCII."""
        return self._stream.write(to_ascii(text))

    def flush(self) -> None:
        """Let go of what is held back."""
        self._stream.flush()

    def isatty(self) -> bool:
        """Whether a person may be reading."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The descriptor of the other stream."""
        return self._stream.fileno()
