from __future__ import annotations

import pytest

from ssm_cli.runtime.engine import publishing


@pytest.fixture
def chunk(hundred: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many members get a message at once: as few as make small groups go the way of large."""
    chunk = (64, 1, 2, 3, 1)[hundred]
    monkeypatch.setattr(publishing, "CHUNK", chunk)
    return chunk
