"""What the tests of tree files share: a file is written, its complaints are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ssm_cli.errors import TreeFileError
from ssm_cli.spec.load import load_tree
from ssm_cli.spec.model import SupervisorSpec

MACHINES = """
from ssm_cli.behaviour.gen_server import GenServer
from ssm_cli.behaviour.machine import StateMachine

def step(message, state):
    return state, message

echo = StateMachine(step=step)

class Desk(GenServer):
    pass

open_desk = Desk()
"""
Load = Callable[[str], SupervisorSpec]
Complain = Callable[[str], list[str]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Write a YAML tree beside `machines.py` (echo, Desk) and load it."""
    (tmp_path / "machines.py").write_text(MACHINES, encoding="utf-8")

    def load_text(text: str) -> SupervisorSpec:
        file = tmp_path / "tree.yaml"
        file.write_text(text, encoding="utf-8")
        return load_tree(file)

    return load_text


@pytest.fixture
def complain(tmp_path: Path, load: Load) -> Complain:
    """The complaints about a YAML tree, each without the name of the file."""

    def complaints_of(text: str) -> list[str]:
        with pytest.raises(TreeFileError) as caught:
            load(text)
        prefix = f"{tmp_path / 'tree.yaml'}:"
        assert all(complaint.startswith(prefix) for complaint in caught.value.complaints)
        return [complaint.removeprefix(prefix) for complaint in caught.value.complaints]

    return complaints_of
