"""Every test has runtime and state folders of its own: no tree of one test is found by another.

What a test leaves running is stopped at its end, so that a failure does not hold ports and names.
"""

from __future__ import annotations

import compileall
import contextlib
import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import ssm_cli
from ssm_cli.errors import SsmError
from ssm_cli.http.client.connection import Address
from ssm_cli.http.client.node import HttpNode
from tests import thorough  # noqa: F401 - its profile is that of all that Hypothesis makes up

MEMORY = Path("/dev/shm")  # noqa: S108 - what is made in it has a name of its own
ROOM_BYTES = 2 * 1024**3


def pytest_configure(config: pytest.Config) -> None:
    """Have the folders of tests in memory, where the system has one for it: a sync takes no time.

    What a suite writes is some 100 MB, and gone at its end. Whoever names another place, by TMPDIR
    or --basetemp, has it there.
    """
    if "TMPDIR" in os.environ or config.option.basetemp or not MEMORY.is_dir():
        return
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM_BYTES:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)
        config.option.basetemp = tempfile.mkdtemp(prefix="ssm-")
        config.add_cleanup(lambda: shutil.rmtree(config.option.basetemp, ignore_errors=True))


def pytest_sessionstart(session: pytest.Session) -> None:
    """Make the programs that tests start begin sooner.

    What a shell has told this process to ignore (`nohup`, `&`), they would ignore as well. Where
    PYTHONDONTWRITEBYTECODE is set, each of them would compile the package again; and
    no pytest of theirs needs the plugins that are installed beside it.
    """
    compileall.compile_dir(Path(ssm_cli.__file__).parent, quiet=2)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a suite in the background of a script
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # ... or one under nohup
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    config = session.config
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # xdist's own workers need theirs


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
