"""A terminal that gets ASCII alone (`--ascii`)."""

from __future__ import annotations

from ssm_cli.render.ascii import to_ascii
from ssm_cli.render.outlet import Through


class AsciiStream(Through):
    """A text stream that translates what is written to another."""

    encoding = "ascii"

    def write(self, text: str) -> int:
        """Write the text in ASCII."""
        return self._stream.write(to_ascii(text))
