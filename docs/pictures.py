"""The pictures of the documentation, taken from the real program in tmux.

python docs/pictures.py        writes docs/img/*.svg; needs tmux
"""  # noqa: INP001 - a script, not a package

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.ansi import AnsiDecoder
from rich.console import Console
from rich.terminal_theme import TerminalTheme

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "img"
DEADLINE_S = 20.0
PROMPT = "ssm\u276f"
THEME = TerminalTheme(
    (0x12, 0x14, 0x18),
    (0xD4, 0xD7, 0xDD),
    [
        (0x2A, 0x2E, 0x36), (0xE0, 0x6C, 0x75), (0x7E, 0xC8, 0x7E), (0xDE, 0xB4, 0x58),
        (0x6C, 0x9C, 0xF0), (0xD0, 0x8A, 0xE0), (0x5C, 0xC8, 0xD0), (0xC8, 0xCC, 0xD4),
    ],
    [
        (0x6A, 0x72, 0x80), (0xF0, 0x80, 0x88), (0x90, 0xE0, 0x90), (0xF0, 0xC8, 0x70),
        (0x84, 0xB0, 0xFF), (0xE0, 0xA0, 0xF0), (0x70, 0xE0, 0xE8), (0xFF, 0xFF, 0xFF),
    ],
)  # fmt: skip

LIGHT = TerminalTheme(
    (0xFD, 0xF6, 0xE3),
    (0x65, 0x7B, 0x83),
    [
        (0x07, 0x36, 0x42), (0xDC, 0x32, 0x2F), (0x85, 0x99, 0x00), (0xB5, 0x89, 0x00),
        (0x26, 0x8B, 0xD2), (0xD3, 0x36, 0x82), (0x2A, 0xA1, 0x98), (0xEE, 0xE8, 0xD5),
    ],
    [
        (0x00, 0x2B, 0x36), (0xCB, 0x4B, 0x16), (0x58, 0x6E, 0x75), (0x65, 0x7B, 0x83),
        (0x83, 0x94, 0x96), (0x6C, 0x71, 0xC4), (0x93, 0xA1, 0xA1), (0xFD, 0xF6, 0xE3),
    ],
)  # fmt: skip
"""Solarized, where a theme that was made for another palette would not be legible."""

BANK = """\
from ssm_cli import Supervisor, Worker
from ssm_cli.machines.counter import counter
from ssm_cli.machines.kv import kv_store
from ssm_cli.machines.ticker import ticker

storage = Supervisor("storage", "rest_for_one",
                     [Worker(name, kv_store) for name in ("kv2", "kv3", "journal")],
                     intensity=3)
gateway = Supervisor("gateway", "one_for_all",
                     [Worker(name, kv_store) for name in ("http", "codec", "auth")])
pool = Supervisor("pool", "one_for_one",
                  [Worker(f"session-{i:05}", kv_store) for i in range(10_000)], intensity=100)
tree = Supervisor("root", "one_for_one",
                  [Worker("kv1", kv_store), Worker("clock", ticker, args={"target": "visits"}),
                   Worker("visits", counter), storage, gateway, pool],
                  intensity=3)
"""


KV = """\
from ssm_cli import Supervisor, Worker
from ssm_cli.machines.kv import kv_store

storage = Supervisor("storage", "rest_for_one",
                     [Worker("kv2", kv_store), Worker("kv3", kv_store)])
tree = Supervisor("root", "one_for_one", [Worker("kv1", kv_store), storage], intensity=3)
"""


class Session:
    """The program in a terminal of its own, at the keyboard of which this script sits."""

    def __init__(self, *options: str, rows: int = 36, columns: int = 120, tree: str = BANK) -> None:
        self.columns = columns
        self._home = tempfile.TemporaryDirectory()
        home = self._home.name
        Path(home, "bank.py").write_text(tree, encoding="utf-8")
        self._tmux("kill-server", check=False)
        folders = ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")
        environ = [*(f"{name}={home}" for name in folders), f"PYTHONPATH={ROOT}", "PS1=$ "]
        shell = ["env", "LC_ALL=C.UTF-8", *environ, "bash", "--norc", "--noprofile", "-i"]
        self._tmux("new-session", "-d", "-x", str(columns), "-y", str(rows), "-c", home, *shell)
        self.until(lambda: "$" in self.screen())
        self._tmux("clear-history")
        options_text = " ".join(options)
        self.type(f'clear; ssm() {{ {sys.executable} -m ssm_cli "$@"; }}', "Enter")
        self.type(f"clear; ssm run bank.py {options_text}", "Enter")
        self.shows(PROMPT, "workers ")

    def _tmux(self, *words: str, check: bool = True) -> str:
        command = ["tmux", "-L", f"ssm-pictures-{os.getpid()}", "-f", os.devnull, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=check)  # noqa: S603 - the words are ours
        return done.stdout

    def type(self, text: str, *keys: str) -> None:
        """Type a text, then press keys."""
        if text:
            self._tmux("send-keys", "-l", text)
        if keys:
            self._tmux("send-keys", *keys)

    def call(self, line: str, said: str) -> None:
        """Type a line, and wait for what it comes to."""
        self.type(line, "Enter")
        self.shows(said)

    def screen(self) -> str:
        """What is seen, as text."""
        return self._tmux("capture-pane", "-p")

    def until(self, holds: Callable[[], object]) -> None:
        """Wait until something holds."""
        end_s = time.monotonic() + DEADLINE_S
        while not holds():
            if time.monotonic() > end_s:
                raise SystemExit(f"it did not come to hold; the screen:\n{self.screen()}")
            time.sleep(0.05)

    def shows(self, *parts: str) -> None:
        """Wait until all parts are seen."""
        self.until(lambda: all(part in self.screen() for part in parts))

    def take(self, name: str, theme: TerminalTheme = THEME) -> None:
        """Write what is seen into a picture."""
        seen = self._tmux("capture-pane", "-p", "-e", "-N")
        console = Console(
            file=io.StringIO(), record=True, width=self.columns, force_terminal=True,
            color_system="truecolor", legacy_windows=False,
        )  # fmt: skip
        for line in AnsiDecoder().decode(seen.rstrip("\n")):
            console.print(line, no_wrap=True, crop=True)
        FOLDER.mkdir(exist_ok=True)
        text = console.export_svg(title="ssm", theme=theme, unique_id=name)
        (FOLDER / f"{name}.svg").write_text(text, encoding="utf-8")

    def close(self) -> None:
        """End the program, and its terminal."""
        self._tmux("kill-server", check=False)
        self._home.cleanup()


def full() -> None:
    """The full screen: healthy, after a crash, a mistake under the prompt, a group unfolded."""
    session = Session()
    try:
        for line, said in (
            ("kv2 Store x 1", "$1"), ("kv2 Lookup x", "Result 1"), ("clock Start 2", "$3"),
        ):  # fmt: skip
            session.call(line, said)
        session.until(lambda: re.search(r"[1-9]\d\d msg/s", session.screen()))
        session.type("call http ")
        session.shows("(key: str, value: int)")
        session.take("full-healthy")
        session.type("", "C-c")
        session.call("kv2 Lookup crash", "restarting rest_for_one: kv2")
        session.take("full-crash")
        session.type("kv2 Store x one ")
        session.shows("expected an integer")
        session.take("full-error")
        session.type("", "C-c")
        session.call("session-00042 Lookup crash", "pool restarting one_for_one")
        session.call("open pool", "\u276f open pool")
        session.call("kv3 Lookup x", "Result None")
        session.type("", "F6", "End")
        session.shows("session-09999")
        session.take("full-unfolded")
    finally:
        session.close()


def small() -> None:
    """At 80 by 24: an empty screen, the help, the tree's keys, the log pane, the light theme."""
    session = Session(rows=24, columns=80, tree=KV)
    try:
        session.shows("press Enter")
        session.take("empty")
        session.type("", "F1")
        session.shows("help, page 1")
        session.take("help")
        session.type("", "Escape")
        session.call("kv2 Lookup crash", "restarting rest_for_one")
        session.type("", "F6", "Down", "Down", "Down", "s")
        session.shows("state kv2", "t trace")
        session.take("tree-keys")
        session.type("", "F6", "w")
        session.shows("f filter")
        session.take("log-pane")
        session.type("", "q")
        session.call("theme light", "theme light")
        session.call("kv1 Lookup x", "Result None")
        session.type("kv1 Store x one ")
        session.shows("expected an integer")
        session.take("light", LIGHT)
    finally:
        session.close()


def past() -> None:
    """The moment before a crash, with the timeline above the prompt."""
    session = Session(tree=KV)
    try:
        for number in range(40):
            session.type(f"kv2 Store x {number}", "Enter")
            session.type(f"kv1 Lookup x{number}", "Enter")
        session.shows("x39")
        session.call("kv3 Lookup crash", "kv3 crashed")
        for number in range(20):
            session.type(f"kv3 Store y {number}", "Enter")
        session.call("kv2 Lookup crash", "kv2 crashed")
        session.call("kv2 Lookup x", "Result None")
        session.type("at crash", "Enter")
        session.shows("AT 101", "[")
        session.type("state kv2", "Enter")
        session.shows('{"x": 39}')
        session.take("timeline")
    finally:
        session.close()


def inline() -> None:
    """The panel below the scrollback."""
    session = Session("--ui", "inline", rows=30, columns=100)
    try:
        session.call("kv2 Store x 1", "$1")
        session.call("kv3 Lookup crash", "kv3 crashed")
        session.call("kv2 Lookup x", "Result 1")
        session.type("call http S")
        session.shows("(key: str, value: int)")
        session.take("inline")
    finally:
        session.close()


if __name__ == "__main__":
    full()
    inline()
    small()
    past()
