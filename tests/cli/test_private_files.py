"""What a tree leaves behind is for its owner alone, and a tree in the background spoils nothing."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ssm_cli.cli.opening import MAX_LOG, open_log
from ssm_cli.private import make_private, open_private, write_private
from ssm_cli.storage.folder import FolderStore, copied
from tests import program
from tests.architecture.source import ROOT

NOBODY = 65_534
TREE = """\
supervisor: root
children: [{worker: kv1, start: "ssm_cli.machines.kv:kv_store", persist: journal}]
"""
CURIOUS = """\
import os, subprocess, sys
from ssm_cli import StateMachine, Supervisor, Worker
def init(name, args):
    open("seen", "w").write(os.environ.get("SSM_READY_FD", "unset") + " " + subprocess.run(
        [sys.executable, "-c", "import os; print(os.environ.get('SSM_READY_FD', 'unset'),"
         "sorted(os.listdir('/proc/self/fd')))"],
        capture_output=True, text=True).stdout)
    return 0
tree = Supervisor("root", children=[Worker("a", StateMachine(step=lambda m, s: (s, m), init=init))])
"""


@pytest.fixture(params=[0, 0o777], ids=["umask 0", "umask 777"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder that everybody may enter and write to, under the worst umask."""
    tmp_path.chmod(0o777)
    before = os.umask(request.param)
    yield tmp_path
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {p.name: stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir() if p.is_file()}


def test_all_files_of_a_store_are_private(folder: Path) -> None:
    data = folder / "data"
    data.mkdir()
    data.chmod(0o777)
    with FolderStore(data) as store:
        found = modes(data)
        copied(store, folder / "copy")
    assert {"journal.db", "journal.db-wal", "journal.db-shm"} <= set(found)
    assert set(found.values()) == {0o600}
    assert set(modes(folder / "copy").values()) == {0o600}


def test_a_store_that_an_older_version_made_is_taken_from_others(tmp_path: Path) -> None:
    with FolderStore(tmp_path / "data"):
        pass
    for path in (tmp_path / "data").iterdir():
        path.chmod(0o666)
    with FolderStore(tmp_path / "data"):
        assert set(modes(tmp_path / "data").values()) == {0o600}


def test_private_files_are_private(folder: Path) -> None:
    os.close(open_private(folder / "one", os.O_WRONLY | os.O_CREAT))
    write_private(folder / "two", "text")
    make_private(folder / "three")
    os.close(open_log(folder / "four.log"))
    assert set(modes(folder).values()) == {0o600}


def test_a_link_that_somebody_put_there_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        open_private(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    write_private(tmp_path / "log", "text")
    assert not (tmp_path / "elsewhere").exists()
    assert (tmp_path / "log").read_text() == "text"


def test_a_log_is_appended_to_and_a_large_one_kept_beside(tmp_path: Path) -> None:
    log = tmp_path / "kv.log"
    log.write_bytes(b"before\n")
    os.close(open_log(log))
    assert log.read_bytes() == b"before\n"
    log.write_bytes(b"x" * (MAX_LOG + 1))
    os.close(open_log(log))
    assert log.read_bytes() == b""
    assert (tmp_path / "kv.log.1").stat().st_size == MAX_LOG + 1


# -- a tree in the background ----------------------------------------------------------------------


def ssm(folder: Path, *words: str) -> program.Ran:
    (folder / "kv.yaml").write_text(TREE)
    return program.ssm(*words, cwd=folder, env=environ(folder))


def environ(folder: Path) -> dict[str, str]:
    return {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "PYTHONPATH": str(ROOT)}


def test_a_second_tree_of_a_name_leaves_the_log_of_the_first(tmp_path: Path) -> None:
    log = tmp_path / "state" / "ssm" / "kv.log"
    assert ssm(tmp_path, "run", "kv.yaml", "--headless", "--detach").returncode == 0
    with log.open("a") as file:
        file.write("of the first\n")
    again = ssm(tmp_path, "run", "kv.yaml", "--headless", "--detach")
    assert (again.returncode, again.stdout) == (2, "")
    assert "runs already" in again.stderr
    assert ssm(tmp_path, "stop", "kv").returncode == 0
    assert log.read_text().endswith("of the first\n")
    broken = ssm(tmp_path, "run", "none.yaml", "--headless", "--detach", "--name", "kv")
    assert broken.stderr.startswith("none.yaml:1:1")  # its own words, not those before it
    assert "of the first\n" in log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "..", "-x", "x" * 65, "a\nb", "ä", "a b"])
def test_a_name_is_judged_before_anything_is_written(tmp_path: Path, name: str) -> None:
    done = ssm(tmp_path, "run", "kv.yaml", "--headless", "--detach", f"--name={name}")
    if name:  # an empty one stands for the name of the file
        assert done.returncode == 2
        assert "cannot name a tree" in done.stderr
        assert not (tmp_path / "state").exists()
    else:
        ssm(tmp_path, "stop")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at descriptors in /proc")
def test_the_pipe_that_tells_is_not_handed_on(tmp_path: Path) -> None:
    (tmp_path / "curious.py").write_text(CURIOUS)
    done = ssm(tmp_path, "run", "curious.py", "--headless", "--detach")
    assert done.returncode == 0, done.stderr
    ssm(tmp_path, "stop")
    here, _, below = (tmp_path / "seen").read_text().partition(" ")
    assert here == "unset"
    assert below == "unset ['0', '1', '2', '3']\n"  # 3 is that of the listing itself


@pytest.mark.parametrize("number", ["2", "1", "0", "-1", "x", "", "999", "9" * 40, " 7", "{file}"])
def test_a_descriptor_that_is_no_pipe_is_refused_and_not_written_to(
    tmp_path: Path, number: str
) -> None:
    (tmp_path / "kv.yaml").write_text(TREE)
    with (tmp_path / "file").open("w") as file:
        given = number.format(file=file.fileno())
        done = subprocess.run(
            [sys.executable, "-m", "ssm_cli", "run", "kv.yaml", "-c", "tree"],
            cwd=tmp_path, env={**environ(tmp_path), "SSM_READY_FD": given}, check=False,
            capture_output=True, text=True, timeout=60, pass_fds=(file.fileno(),),
        )  # fmt: skip
    assert done.returncode == 2
    assert "SSM_READY_FD is" in done.stderr
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can try what another user can")
def test_another_user_can_open_nothing_that_a_tree_has_left(tmp_path: Path) -> None:
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    ssm(tmp_path, "run", "kv.yaml", "--headless", "--detach")
    ssm(tmp_path, "call", "kv1", "Store x 1")
    for path in (tmp_path / "state").rglob("*"):
        if path.is_dir():
            path.chmod(0o755)  # what keeps others out is to be the files' own mode
    files = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert {"kv.log", "journal.db", "journal.db-wal"} <= {path.name for path in files}
    opened = subprocess.run(
        ["/usr/bin/env", "cat", *map(str, files)],
        user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, check=False, cwd="/",
    )  # fmt: skip
    ssm(tmp_path, "stop")
    assert opened.stdout == b""
    assert opened.stderr.count(b"Permission denied") == len(files)
