"""Code that changes while its data stays: nothing acknowledged is lost, or another in silence.

Each case runs in fresh processes: the old code makes a saved state and one input behind it, and is
killed or stopped in order; the new code starts; where it is down, the way out that its message
names is gone, and it starts once more. The worker beside it runs all the time.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.faults.evolution import CASES, OTHER, TREE, Case, edited
from tests.program import python, ssm

ENDS = ("kill", "stop")
KEYS = [(name, end) for name in CASES for end in ENDS]
TROUBLES = ("differs", "raises", "undecodable", "migrate", "moved", "restore", "renamed")
Result = dict[str, Any]


class Matrix:
    """All cases, each in a folder of its own, phase by phase."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.hour = 0
        self.folders = {key: place / f"{number:03}" for number, key in enumerate(KEYS)}
        for key, folder in self.folders.items():
            folder.mkdir()
            self.write(folder, CASES[key[0]], {}, {})

    def write(self, folder: Path, case: Case, edits: dict[str, str], tree: dict[str, str]) -> None:
        text = edited(TREE, tree)
        name = "moved.py" if "moved.py" in text else "code.py"
        (folder / "code.py").unlink(missing_ok=True)
        (folder / name).write_text(edited(case.code, edits))
        (folder / "other.py").write_text(OTHER)
        (folder / "tree.yaml").write_text(text)

    def phase(self, keys: list[tuple[str, str]], calls: Any, *, stop: bool) -> list[Result]:
        """One process for all of these cases."""
        self.hour += 1
        jobs = [
            {"folder": str(self.folders[key]), "calls": calls(key), "stop": stop,
             "at_s": 1e9 + 3600 * self.hour}
            for key in keys
        ]  # fmt: skip
        program = "from tests.faults.evolution import main; main()"
        found = python(program, given=json.dumps(jobs))
        assert found.returncode == (0 if stop else -signal.SIGKILL), found.stderr
        results: list[Result] = json.loads(found.stdout)
        return results

    def repair(self, key: tuple[str, str]) -> str:
        """Go the way out of a case."""
        case, folder = CASES[key[0]], self.folders[key]
        if isinstance(case.way, dict):
            self.write(folder, case, {**case.edits}, case.tree)
            path = folder / ("moved.py" if (folder / "moved.py").exists() else "code.py")
            path.write_text(edited(path.read_text(), case.way))
            return ""
        command = ["data", "repair", "w", "--data", "data", *case.way, "--yes"]
        found = ssm(*command, cwd=folder)
        assert found.returncode == 0, found.stdout + found.stderr
        return found.stdout


class Lived(dict[tuple[str, str], dict[str, Any]]):
    """What came of each case: `new` with the new code, `out` behind the way out."""


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    matrix = Matrix(tmp_path_factory.mktemp("matrix"))

    def call(index: int) -> Any:
        return lambda key: [("w", CASES[key[0]].inputs[index]), ("other", f"o{index}")]

    def none(key: Any) -> list[Any]:
        return []

    matrix.phase(KEYS, call(0), stop=True)
    for end in ENDS:
        matrix.phase([key for key in KEYS if key[1] == end], call(1), stop=end == "stop")
    for key in KEYS:
        case = CASES[key[0]]
        matrix.write(matrix.folders[key], case, case.edits, case.tree)
    more = matrix.phase(KEYS, lambda key: [("other", "new")], stop=True)
    found = Lived({key: {"new": one, "said": ""} for key, one in zip(KEYS, more, strict=True)})
    bad = [key for key in KEYS if is_out_of_way(key)]
    for key in bad:
        found[key]["said"] = matrix.repair(key)
    for turn in ("out", "again"):
        for key, one in zip(bad, matrix.phase(bad, none, stop=True), strict=True):
            found[key][turn] = one
    return found


def expected(key: tuple[str, str]) -> str:
    case = CASES[key[0]]
    return case.kill if key[1] == "kill" else case.stop


def is_out_of_way(key: tuple[str, str]) -> bool:
    """Whether a case has a way out to go."""
    return expected(key) in TROUBLES


def name_in(key: tuple[str, str]) -> str:
    return "v" if key[0] == "a renamed worker" else "w"


@pytest.mark.parametrize("key", KEYS, ids="-".join)
def test_what_was_acknowledged_is_there_or_its_worker_says_why_not(
    lived: Lived, key: tuple[str, str]
) -> None:
    new, wanted = lived[key]["new"], expected(key)
    assert new["states"]["other"] == "['o0', 'o1', 'new']", "the others run"
    if wanted not in TROUBLES:
        assert new["states"][name_in(key)] == wanted
        assert "down" not in new["events"]
        return
    name = name_in(key)
    message = new["messages"][name]
    assert message.startswith(f"{name} does not start ({wanted}): ")
    assert CASES[key[0]].says in message
    assert "ssm data repair w" in message
    assert str(Path("data")) in message
    assert new["events"].count("down") == 1
    assert not {"gave_up", "restarting", "fell_back"} & {*new["events"]}


@pytest.mark.parametrize("key", [key for key in KEYS if is_out_of_way(key)], ids="-".join)
def test_the_way_out_works_and_lasts(lived: Lived, key: tuple[str, str]) -> None:
    for turn in ("out", "again"):
        assert lived[key][turn]["messages"] == {}
        assert lived[key][turn]["states"]["other"] == "['o0', 'o1', 'new']"
        assert lived[key][turn]["states"][name_in(key)] == CASES[key[0]].end


@pytest.mark.parametrize("key", [("a mended step, taken", "kill")], ids="-".join)
def test_taking_new_results_shows_what_they_change(lived: Lived, key: tuple[str, str]) -> None:
    said = lived[key]["said"]
    assert "(7): it comes to another state than it came to then" in said
    assert '-  "cents": 5' in said.replace("  - ", "-").replace("- ", "-  ") or '"cents": 5' in said
    assert '"cents": 19' in said
