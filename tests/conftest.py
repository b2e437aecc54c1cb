"""Every test has runtime and state folders of its own: no tree of one test is found by another.

What a test leaves running is stopped at its end, so that a failure does not hold ports and names.
"""

from __future__ import annotations

import contextlib
import gc
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ssm_cli.errors import SsmError
from ssm_cli.http.client.connection import Address
from ssm_cli.http.client.node import HttpNode


@pytest.fixture(autouse=True, scope="module")
def _garbage_of_its_own() -> None:
    """What the tests before have left is not searched again whenever garbage is collected."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _runtime_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tempfile.mkdtemp(prefix="ssm-")  # short: the path of a socket has a bound
    monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
    monkeypatch.setenv("XDG_STATE_HOME", f"{folder}/state")
    for name in ("SSM_NAME", "SSM_URL", "SSM_TOKEN", "SSM_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    yield
    for path in Path(folder).glob("ssm/*.sock"):
        with contextlib.suppress(SsmError):  # nobody is behind it any more
            HttpNode(Address(path=str(path))).stop()
    shutil.rmtree(folder, ignore_errors=True)
