from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TextIO

import pyte
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import ColorDepth, DummyOutput, Output
from prompt_toolkit.output.vt100 import Vt100_Output

from ssm_cli.machines.kv import kv_store
from ssm_cli.repl.session import Session
from ssm_cli.repl.shell.config import Settings
from ssm_cli.runtime.node import Node
from ssm_cli.spec.model import Supervisor, Worker

DEADLINE_S = 180.0


class Env:
    """What of the process a session needs, in memory."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.stdin: TextIO = io.StringIO()
        self.stdout: TextIO = io.StringIO()
        self.environ = {
            "XDG_STATE_HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            **environ,
        }

    @property
    def said(self) -> str:
        assert isinstance(self.stdout, io.StringIO)
        return self.stdout.getvalue()


class Terminal:
    """A terminal in memory: what prompt_toolkit draws on it, cell by cell."""

    encoding = "utf-8"

    def __init__(self, rows: int, columns: int) -> None:
        self.size = Size(rows=rows, columns=columns)
        self.written = 0
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self.screen)

    def write(self, data: str) -> None:
        self.written += len(data)
        self._stream.feed(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError("a terminal in memory has no descriptor")

    def output(self, depth: ColorDepth = ColorDepth.DEPTH_8_BIT) -> Output:
        return Vt100_Output(
            self,  # type: ignore[arg-type]  # as much of a text stream as is used
            lambda: self.size,
            term="xterm-256color",
            default_color_depth=depth,
            enable_cpr=False,
        )

    def resize(self, rows: int, columns: int) -> None:
        self.size = Size(rows=rows, columns=columns)
        self.screen.resize(rows, columns)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def bold(self, row: int) -> str:
        """Return what stands out in a row, from its first cell to its last."""
        cells = self.screen.buffer[row]
        return "".join(cells[x].data for x in range(self.screen.columns) if cells[x].bold).strip()


class Typist:
    """A session that runs, and who types into it."""

    def __init__(self, session: Session, node: Node, keys: PipeInput, env: Env) -> None:
        self.session = session
        self.node = node
        self.env = env
        self._keys = keys

    def type(self, text: str) -> None:
        self._keys.send_text(text)

    @property
    def output(self) -> str:
        return "\n".join(line.plain for line in self.session.model.output)


class Ahead:
    """The clock of this machine, which can be put forward."""

    def __init__(self) -> None:
        self.by_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.by_s


async def until(holds: Callable[[], object], what: Callable[[], str] = str) -> None:
    """Let the loop run until something holds; fails at the deadline and says what there was."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + DEADLINE_S
    while not holds():
        assert loop.time() < end_s, f"it did not come to hold; there was:\n{what()}"
        await asyncio.sleep(0.002)


def kv_tree(intensity: int = 3) -> Node:
    storage = Supervisor(
        "storage", "rest_for_one", [Worker("kv2", kv_store), Worker("kv3", kv_store)]
    )
    return Node(
        Supervisor("root", children=[Worker("kv1", kv_store), storage], intensity=intensity)
    )


def many_workers(count: int) -> Node:
    workers = [Worker(f"w{i:04}", kv_store) for i in range(count)]
    return Node(Supervisor("root", children=workers, intensity=100))


@asynccontextmanager
async def typing(
    folder: Path,
    *,
    node: Node | None = None,
    output: Output | None = None,
    code: int = 0,
    now: Callable[[], float] = time.monotonic,
    settings: Settings | None = None,
    **environ: str,
) -> AsyncIterator[Typist]:
    """A session over the demo's tree, ended by Ctrl-D at the latest, with the exit code `code`."""
    node = kv_tree() if node is None else node
    env = Env(folder, **environ)
    with create_pipe_input() as keys:
        output = DummyOutput() if output is None else output
        session = Session(
            node,
            env,
            "kv.yaml",
            source=keys,
            output=output,
            now=now,
            settings=settings or Settings(),
        )
        running = asyncio.create_task(session.run())
        await until(lambda: session.app.is_running or running.done())
        typist = Typist(session, node, keys, env)
        try:
            yield typist
            if session.app.is_running and not session.app.is_done:
                typist.type("\x03\x03\x04")
        finally:
            if not running.done() and session.app.is_running and not session.app.is_done:
                session.quit()
            assert await asyncio.wait_for(running, DEADLINE_S) == code
