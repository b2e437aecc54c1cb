"""What was denied is not there after a kill; where that is not sure, the caller is told so.

A sync that fails leaves what it was to make durable in the page cache: the next process would
take it for written. The syncs of a real process fail here, and then it is killed.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from ssm_cli import FolderStore
from ssm_cli.storage.contents import history
from ssm_cli.storage.folder import copied
from ssm_cli.storage.verify import verify
from tests.faults.ledger import states, tree
from tests.faults.no_sync import can_fail
from tests.program import python

UNSUPPORTED = 77

PROGRAM = """
import os, signal, sys
from pathlib import Path
from ssm_cli import FolderStore, Node, SsmError
from tests.faults.ledger import Append, tree
from tests.faults.no_sync import fail_syncs

folder, how, spared, end = Path(sys.argv[1]), *sys.argv[2:]
store = FolderStore(folder)
node = Node(tree(on_storage_error=how), store=store, guard=False).start()
node.call("l0", Append(1))
try:
    fail_syncs(store._witness if spared == "witness" else -1)
except OSError:
    os._exit(77)
for n in (2, 3):
    try:
        node.call("l0", Append(n), request_id=f"r{n}")
        print("taken", n)
    except SsmError as error:
        print(type(error).__name__, error)
sys.stdout.flush()
if end == "stop":
    node.stop()
    store.close()
os.kill(os.getpid(), signal.SIGKILL)
"""

pytestmark = pytest.mark.skipif(not can_fail(), reason="no filters of system calls here")


def denied(folder: Path, how: str, spared: str = "witness", end: str = "kill") -> str:
    """Have two inputs denied in a process that ends then; what it was told of them."""
    done = python(PROGRAM, str(folder), how, spared, end)
    if done.returncode == UNSUPPORTED:
        pytest.skip("this machine takes no filter of system calls")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert "taken" not in done.stdout
    return done.stdout


@pytest.mark.parametrize("end", ["kill", "stop"])
@pytest.mark.parametrize("spared", ["witness", "nothing"])
@pytest.mark.parametrize("how", ["stop", "refuse"])
def test_what_was_denied_is_not_in_the_state_of_the_next_process(
    tmp_path: Path, how: str, spared: str, end: str
) -> None:
    denied(tmp_path / "data", how, spared, end)
    assert states(tmp_path / "data")["l0"] == [1]
    assert states(tmp_path / "data")["l0"] == [1], "nor in that of the one after it"


def test_what_is_undone_for_sure_may_be_sent_again_and_says_so(tmp_path: Path) -> None:
    told = denied(tmp_path / "data", "refuse", "witness")
    assert "safe to send it again" in told


def test_what_is_not_known_is_told_as_unknown(tmp_path: Path) -> None:
    told = denied(tmp_path / "data", "refuse", "nothing")
    assert "it is not known" in told
    assert "request id" in told
    assert "safe to send it again;" not in told


def test_a_reader_and_a_copy_of_what_a_kill_left_do_not_have_it_either(tmp_path: Path) -> None:
    denied(tmp_path / "data", "refuse")
    with FolderStore(tmp_path / "data", writing=False) as store:
        inputs = [r for _, r in history(store) if getattr(r, "data", None) is not None]
        assert len(inputs) == 1
        assert verify(store, tree()).problems == []
        copied(store, tmp_path / "copy")
    assert states(tmp_path / "copy")["l0"] == [1]
    assert states(tmp_path / "data")["l0"] == [1]
