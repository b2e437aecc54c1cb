from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
FIXTURES = {
    "supervisor_vector": "supervisor",
    "server_vector": "gen_server",
    "statem_vector": "gen_statem",
    "event_vector": "gen_event",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--vectors",
        type=Path,
        default=HERE / "vectors",
        help="the folder of recordings to run (default: the copies beside the tests)",
    )


def load(folder: Path, kind: str) -> list[Any]:
    found = []
    for path in sorted(folder.glob("*.json")):
        recording = json.loads(path.read_text())
        if recording["kind"] == kind:
            found += recording["vectors"]
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for fixture, kind in FIXTURES.items():
        if fixture in metafunc.fixturenames:
            vectors = load(metafunc.config.getoption("vectors"), kind)
            metafunc.parametrize(fixture, vectors, ids=[vector["id"] for vector in vectors])
