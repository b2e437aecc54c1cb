"""A data folder says whose it is: two projects of one name never share what is stored."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests import program

TREE = """
supervisor: root
children:
  - {worker: kv, start: "ssm_cli.machines.kv:kv_store", persist: journal, on_crash: last_good}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tree.yaml").write_text(f"# {name}\n{TREE}")
    return tmp_path


def ssm(place: Path, project: str, *args: str, code: int = 0) -> str:
    folder = place / project
    environ = {**os.environ, "XDG_STATE_HOME": str(place / "state"), "XDG_RUNTIME_DIR": str(place)}
    done = program.ssm("run", "tree.yaml", "--quiet", *args, cwd=folder, env=environ)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def stored(place: Path, project: str, *args: str) -> str:
    return ssm(place, project, *args, "-c", "kv Lookup x").strip()


def store(place: Path, project: str, value: int, *args: str) -> None:
    assert ssm(place, project, *args, "-c", f"kv Store x {value}") == "Ok\n"


def test_two_projects_with_one_name_have_data_of_their_own(place: Path) -> None:
    store(place, "one", 1)
    store(place, "two", 2)
    assert (stored(place, "one"), stored(place, "two")) == ("Result 1", "Result 2")


def test_a_project_that_was_moved_has_its_data(place: Path) -> None:
    store(place, "one", 1)
    store(place, "two", 2)
    for project in ("two", "one"):
        shutil.move(place / project, place / f"{project}-moved")
        assert stored(place, f"{project}-moved") == f"Result {2 if project == 'two' else 1}"


def test_another_tree_in_the_place_of_one_that_is_gone_is_refused_with_both_names(
    place: Path,
) -> None:
    store(place, "one", 1)
    shutil.rmtree(place / "one")
    said = ssm(place, "two", "-c", "kv Lookup x", code=74)
    assert str(place / "one" / "tree.yaml") in said
    assert str(place / "two" / "tree.yaml") in said
    assert "--data" in said
    folder = str(place / "state" / "ssm" / "data" / "tree")
    assert stored(place, "two", "--data", folder) == "Result 1"
    assert stored(place, "two") == "Result 1", "it is that one's from then on"


def test_a_folder_that_is_named_is_not_shared_either(place: Path) -> None:
    store(place, "one", 1, "--data", "../shared")
    said = ssm(place, "two", "--data", "../shared", "-c", "kv Lookup x", code=74)
    assert str(place / "one" / "tree.yaml") in said
    assert str(place / "two" / "tree.yaml") in said
    assert stored(place, "one", "--data", "../shared") == "Result 1"


def test_a_tree_that_was_edited_has_its_data(place: Path) -> None:
    store(place, "one", 1)
    (place / "one" / "tree.yaml").write_text(TREE + "# edited\n")
    assert stored(place, "one") == "Result 1"


def test_a_folder_of_an_older_ssm_is_that_of_the_first_who_comes(place: Path) -> None:
    store(place, "one", 1)
    (place / "state" / "ssm" / "data" / "tree" / "owner.json").unlink()
    assert stored(place, "one") == "Result 1"
    assert stored(place, "two") == "Result None"
