from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect  # type: ignore[import-untyped]  # it has no type stubs of its own
import pyte
import pytest

from tests.on_terminal import on_terminal

ROOT = Path(__file__).parents[2]
TREE = ROOT / "trees" / "kv.yaml"
DEADLINE_S = 180.0
POLL_S = 0.02  # between two looks at a screen, each of which is a process of its own


class Terminal:
    """The real program on a pseudo-terminal, and the screen that it drew."""

    def __init__(
        self,
        home: Path,
        *options: str,
        rows: int = 24,
        columns: int = 80,
        tree: Path = TREE,
        verb: str = "run",
        **environ: str,
    ) -> None:
        kept = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.child = on_terminal(
            verb,
            *([str(tree)] if verb == "run" else []),
            *options,
            env={
                **kept,
                "TERM": "xterm-256color",
                "XDG_STATE_HOME": str(home),
                "XDG_CONFIG_HOME": str(home / "config"),
                "XDG_RUNTIME_DIR": str(home),
                **environ,
            },
            size=(rows, columns),
            cwd=TREE.parents[1],
            timeout_s=DEADLINE_S,
        )

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display)

    def read(self) -> bool:
        """Take what the program has written, waiting for it for a moment; whether there was any."""
        try:
            data = self.child.read_nonblocking(65_536, timeout=0.02)
        except pexpect.TIMEOUT:
            return False
        except pexpect.EOF:
            data = b""
            self.child.wait()
        self.raw += data
        self._stream.feed(data)
        return bool(data)

    def until(self, holds: Callable[[], object]) -> None:
        """Read until something holds; fails at the deadline and shows the screen."""
        end_s = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < end_s, f"it did not come to hold; the screen:\n{self.text}"
            lives = self.child.isalive()  # what it wrote at its end is read behind this
            wrote = self.read()
            assert lives or wrote or holds(), f"the program ended; the screen:\n{self.text}"

    def shows(self, *parts: str) -> None:
        """Wait until all parts are on the screen."""
        self.until(lambda: all(part in self.text for part in parts))

    def type(self, text: str) -> None:
        self.child.send(text)

    def resize(self, rows: int, columns: int) -> None:
        self.screen.resize(rows, columns)
        self.child.setwinsize(rows, columns)

    def ends(self) -> int:
        """Read to the end; the exit code."""
        end_s = time.monotonic() + DEADLINE_S
        while self.child.isalive():
            assert time.monotonic() < end_s, f"it did not end; the screen:\n{self.text}"
            self.read()
        while self.read():
            pass
        self.child.close()
        status: int | None = self.child.exitstatus
        assert status is not None, f"it ended at signal {self.child.signalstatus}"
        return status

    @property
    def threads(self) -> int:
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        found = re.search(r"^Threads:\s+(\d+)$", status, re.MULTILINE)
        assert found is not None
        return int(found[1])


Open = Callable[..., Terminal]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Open]:
    """Opens terminals; those still open at the end of the test are closed."""
    opened: list[Terminal] = []

    def open_terminal(
        *options: str,
        rows: int = 24,
        columns: int = 80,
        tree: Path = TREE,
        verb: str = "run",
        **environ: str,
    ) -> Terminal:
        new = Terminal(
            tmp_path, *options, rows=rows, columns=columns, tree=tree, verb=verb, **environ
        )
        opened.append(new)
        return new

    yield open_terminal
    for one in opened:
        one.child.close(force=True)


class Tmux:
    """A terminal that also has a shell and a scrollback."""

    def __init__(self, folder: Path) -> None:
        self._name = f"ssm-{folder.name}-{os.getpid()}"
        names = ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")
        environ = [f"{name}={folder}" for name in names]
        environ += [f"PYTHONPATH={ROOT}", "PS1=shell> ", "LC_ALL=C.UTF-8"]
        self._run(
            "new-session", "-d", "-x", "80", "-y", "24", "-c", str(ROOT),
            "env", *environ, "bash", "--norc", "--noprofile", "-i",
        )  # fmt: skip

    def _run(self, *words: str, check: bool = True) -> str:
        command = ["tmux", "-L", self._name, "-f", "/dev/null", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=check)
        return done.stdout

    def type(self, text: str, *keys: str) -> None:
        if text:
            self._run("send-keys", "-l", text)
        if keys:
            self._run("send-keys", *keys)

    def screen(self, *, scrollback: bool = False) -> str:
        return self._run("capture-pane", "-p", *(["-S", "-2000"] if scrollback else []))

    def until(self, holds: Callable[[], object]) -> None:
        end_s = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < end_s, f"it did not come to hold:\n{self.screen()}"
            time.sleep(POLL_S)

    def shows(self, *parts: str) -> None:
        self.until(lambda: all(part in self.screen() for part in parts))

    def close(self) -> None:
        self._run("kill-server", check=False)


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    opened = Tmux(tmp_path)
    opened.shows("shell>")
    yield opened
    opened.close()
