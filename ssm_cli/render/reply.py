"""What was typed and what came of it, as lines of the output."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from ssm_cli.render.sanitize import lines_of, one_line

MARK = "\u276f"  # a heavy angle: what was typed, as distinct from what was answered


def echo(line: str) -> Text:
    """What was typed.

    >>> echo("kv2 Store x 1").plain == f"{MARK} kv2 Store x 1"
    True
    """
    return Text.assemble((f"{MARK} ", "good"), (one_line(line), "bold"))


def reply_lines(
    lines: Sequence[str], *, error: bool, ms: float | None = None, number: int | None = None
) -> list[Text]:
    """What came of it: green, or red behind a cross.

    Args:
        lines: as the command gives them.
        error: the command failed.
        ms: how long a call took, in milliseconds; shown behind the last line.
        number: by which later commands can name the result.

    >>> [line.plain for line in reply_lines(["Result 1"], error=False, ms=0.1372)]
    ['  Result 1   0.14 ms']
    >>> [line.plain for line in reply_lines(["no worker kv9"], error=True)]
    ['  ✖ no worker kv9']
    """
    texts: list[Text] = []
    for line in (safe for given in lines for safe in lines_of(given) or [""]):
        mark = "✖ " if error and not texts else "  " if error else ""
        texts.append(Text.assemble("  ", (mark, "bad"), (line, "bad" if error else "good")))
    if texts and ms is not None:
        texts[-1].append(f"   {ms:.2f} ms", "muted")
    if texts and number is not None:
        texts[-1].append(f"   ${number}", "muted")
    return texts
