"""The README as the package index shows it: without links and images that lead nowhere there.

The project has no public address yet, so there is none to lead to; the source distribution has the
pages. Once there is one, it belongs into `project.urls`, and the links can be made absolute here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

ANNOUNCED = r"(?:(?:[^\n]+\n)*[^\n]+:\n\n)?"  # a paragraph that ends with a colon
IMAGES = re.compile(ANNOUNCED + r"(?:!\[[^\]]*\]\((?![a-z]+:)[^)]+\)\n*)+")
LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?![a-z]+:|#)(?P<path>[^)]+)\)")
NOTE = "\nThe files named here are in the source distribution.\n"


def for_index(text: str) -> str:
    r"""Return a page with its own images left out, and the files that it links to named instead.

    >>> for_index("So:\n\n![a](b.svg)\n\n[How](c.md), [d](d), [e](https://e).\n").splitlines()[0]
    'How (`c.md`), d, [e](https://e).'
    """

    def named(found: re.Match[str]) -> str:
        same = found["text"] == found["path"]
        return found["text"] if same else f"{found['text']} (`{found['path']}`)"

    return LINK.sub(named, IMAGES.sub("", text)) + NOTE


class Readme(MetadataHookInterface):
    """Sets `readme`, from the file."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the description of the package."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": for_index(text)}
