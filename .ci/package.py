"""Look into what was built: the README has no link that the index cannot follow, nothing is astray.

Run: python3 .ci/package.py DIST. Fails with a line for each complaint.
"""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

NAME = "supervised-state-machines"
STEM = NAME.replace("-", "_")
LINK = re.compile(r"\]\((?!https://|#)([^)]+)\)")
IN_WHEEL = re.compile(rf"ssm_cli/|{STEM}-[^/]+\.dist-info/")
NOT_IN_SDIST = (".ci", ".git", ".venv", "dist", "build")


def complaints(folder: Path) -> Iterator[str]:
    """Yield what is wrong with the one wheel and the one sdist of a folder."""
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (place,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(place).decode())
    yield from (f"{wheel.name} has {name}" for name in names if not IN_WHEEL.match(name))
    needs = ("py.typed", *(f"history/page/page.{kind}" for kind in ("html", "css", "js")))
    yield from (f"{wheel.name} has no {n}" for n in needs if f"ssm_cli/{n}" not in names)
    if metadata["Name"] != NAME:
        yield f"the distribution is called {metadata['Name']}; expected {NAME}"
    page = str(metadata.get_payload())
    yield from (f"README links to {path}, which the index has not" for path in LINK.findall(page))
    if "(`docs/tutorial/" not in page:
        yield "README does not name the tutorial"
    with tarfile.open(sdist) as source:
        inside = [name.partition("/")[2] for name in source.getnames()]
    tops = {name.partition("/")[0] for name in inside}
    yield from (f"{sdist.name} has {name}" for name in sorted(tops.intersection(NOT_IN_SDIST)))
    needed = {"README.md", "LICENSE", "pyproject.toml", "hatch_build.py", "ssm_cli", "tests"}
    yield from (f"{sdist.name} lacks {name}" for name in sorted(needed - tops))


if __name__ == "__main__":
    found = list(complaints(Path(sys.argv[1])))
    sys.stdout.write("".join(f"{line}\n" for line in found))
    sys.exit(1 if found else 0)
