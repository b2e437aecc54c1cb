"""The page, written: its template with style, script and data inside, and a policy for them."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from string import Template

from ssm_cli.history.page.columns import columns
from ssm_cli.history.page.data import PageData
from ssm_cli.history.page.escape import as_html, as_json

SCRIPTS = ("model.js", "picture.js", "strip.js", "draw.js", "detail.js", "page.js")


def page(data: PageData) -> str:
    """Return a history as one HTML file that asks for nothing, in ASCII.

    The same data give the same page. The newest records are shown, as many as have room
    (`columns.RECORDS`, `columns.RECORDS_BYTES`); the page says where it begins.

    Args:
        data: what is shown; redacted already.

    Raises:
        ValueError: a record, a report or the tree is not what it has to be; the text says which.
    """
    style = _asset("page.css")
    script = "\n".join(_asset(name) for name in SCRIPTS)
    policy = f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}"
    return Template(_asset("page.html")).substitute(
        policy=f"{policy}; base-uri 'none'; form-action 'none'",
        title=as_html(data.name),
        style=style,
        data=as_json(columns(data)),
        script=script,
    )


@cache
def _asset(name: str) -> str:
    """A file beside this one; line ends as the hash sees them."""
    text = files(__package__).joinpath(name).read_text(encoding="ascii")
    return text.replace("\r\n", "\n")


def _source(text: str) -> str:
    """The source of an inline text in a content security policy: its hash."""
    digest = hashlib.sha256(text.encode("ascii")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
