"""JSON that may stand inside HTML, and text that may."""

from __future__ import annotations

import html
import json

IN_HTML = str.maketrans({"<": r"\u003c", ">": r"\u003e", "&": r"\u0026"})
READABLE = json.JSONEncoder(ensure_ascii=False)
COMPACT = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def as_json(value: object, *, readable: bool = False) -> str:
    r"""Return a value as JSON in ASCII that ends no element and begins no comment.

    Args:
        value: plain data.
        readable: for a person in place of a parser: spaces, and every letter as it is.

    >>> print(as_json("</script><!-- é"))
    "\u003c/script\u003e\u003c!-- \u00e9"
    """
    if readable:
        return READABLE.encode(value)
    return COMPACT.encode(value).translate(IN_HTML)


def as_html(text: str) -> str:
    r"""Return a text in ASCII for an element; what does not print stands as its escape.

    >>> as_html("<b> é \x00")
    '&lt;b&gt; &#233; \\x00'
    """
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return html.escape(shown).encode("ascii", "xmlcharrefreplace").decode()
