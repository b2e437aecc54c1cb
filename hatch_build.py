"""The README as the package index shows it: its links and images lead to the source."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(?P<image>!?)(?P<text>\[[^\]]*\])\((?![a-z]+:|#)(?P<path>[^)]+)\)")


def absolute(text: str, source: str) -> str:
    """Return a page with every relative link in it made absolute, images as raw files."""
    raw = source.replace("//github.com/", "//raw.githubusercontent.com/")

    def link(found: re.Match[str]) -> str:
        base = f"{raw}/main" if found["image"] else f"{source}/blob/main"
        return f"{found['image']}{found['text']}({base}/{found['path']})"

    return LINK.sub(link, text)


class Readme(MetadataHookInterface):
    """Sets `readme`, from the file and from the URL of the source."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the description of the package."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        shown = absolute(text, metadata["urls"]["Source"])
        metadata["readme"] = {"content-type": "text/markdown", "text": shown}
