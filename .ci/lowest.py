"""Print the lowest version of each dependency that pyproject.toml claims, as pins for pip.

Run: python3 .ci/lowest.py [pyproject.toml]. One `name==version` a line: the build system's, the
program's own and those of every extra. It needs nothing but Python 3.11.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

CLAIM = re.compile(r"(?P<name>[A-Za-z0-9._-]+)>=(?P<version>[0-9][0-9.]*)(,<[0-9.]+)?")


def pins(project: Path) -> list[str]:
    """Return the pins in the order of the file.

    Raises:
        SystemExit: a requirement has another form than `name>=version` or `name>=version,<limit`.
    """
    table = tomllib.loads(project.read_text())
    extras = table["project"]["optional-dependencies"].values()
    found = []
    for claims in (table["build-system"]["requires"], table["project"]["dependencies"], *extras):
        for claim in claims:
            match = CLAIM.fullmatch(claim)
            if match is None:
                raise SystemExit(f"{project}: `{claim}` does not name its lowest version")
            found.append(f"{match['name']}=={match['version']}")
    return found


if __name__ == "__main__":
    sys.stdout.write("\n".join(pins(Path(*sys.argv[1:] or ["pyproject.toml"]))) + "\n")
