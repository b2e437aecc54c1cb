"""Every test has a runtime folder of its own: no tree of one test is found by another."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _runtime_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tempfile.mkdtemp(prefix="ssm-")  # short: the path of a socket has a bound
    monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
    for name in ("SSM_NAME", "SSM_URL", "SSM_TOKEN", "SSM_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    yield
    shutil.rmtree(folder, ignore_errors=True)
