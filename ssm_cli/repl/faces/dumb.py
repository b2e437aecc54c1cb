"""The plain prompt of a terminal that can only print lines (`TERM=dumb`): it edits them itself."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import KW_ONLY, dataclass
from typing import TextIO

from ssm_cli.render.outlet import offer
from ssm_cli.repl.model import Model
from ssm_cli.repl.shell.commands import Commands

CHUNK_BYTES = 4096
LINE_BYTES = 64 * 1024  # a longer line is refused
AGAIN_S = 0.05  # how soon it is looked again whether there is room for more lines


@dataclass(eq=False)
class Dumb:
    """Reads lines while it is on, and prints what the output gets.

    Args:
        source: where lines are typed.
        stream: where the output goes.
        model: has the output.
        commands: take the lines.
        leave: called at the end of the input.
        interrupt: called at Ctrl-C.

    Attributes:
        on: it has the terminal.
    """

    source: TextIO
    stream: TextIO
    model: Model
    commands: Commands
    _: KW_ONLY
    leave: Callable[[], None]
    interrupt: Callable[[], None]

    def __post_init__(self) -> None:
        self.on = False
        self._printed = 0
        self._typed = b""
        self._is_cut = False
        self._asked = False
        self._ended: asyncio.Event | None = None

    async def run(self) -> None:
        """Be the face of the session until `end` is called."""
        loop = asyncio.get_running_loop()
        self.on, self._ended = True, asyncio.Event()
        self._listen()
        loop.add_signal_handler(signal.SIGINT, self.interrupt)
        self.flush(ask=not self.commands.is_busy)
        try:
            await self._ended.wait()
        finally:
            self.flush()
            loop.remove_signal_handler(signal.SIGINT)
            loop.remove_reader(self.source.fileno())
            self.on = False

    def _listen(self) -> None:
        """Read when there is something to read."""
        asyncio.get_running_loop().add_reader(self.source.fileno(), self._read)

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """A block in which another program reads the lines."""
        asyncio.get_running_loop().remove_reader(self.source.fileno())
        try:
            yield
        finally:
            self._listen()

    def end(self) -> None:
        """Let `run` come to its end."""
        if self._ended is not None:
            self._ended.set()

    def rest(self) -> list[str]:
        """The lines that were not printed yet, which count as printed from here on."""
        new = self.model.output_seq - self._printed
        self._printed = self.model.output_seq
        kept = [line.plain for line in list(self.model.output)[-new:]] if new else []
        if kept and self._asked:
            kept[0] = f"\r{kept[0].ljust(len(self.commands.prompt))}"
        return kept

    def flush(self, *, ask: bool = False) -> None:
        """Print what is new, while it has the terminal; `ask`: the next line may be typed now."""
        if not self.on:
            return
        kept = self.rest()
        ask = ask or self.commands.asking.text is not None  # the next line answers it
        self._asked = self._asked or ask
        prompt = self.commands.prompt if self._asked and (kept or ask) else ""
        text = "".join(f"{line}\n" for line in kept) + prompt
        if text:
            offer(self.stream, text)
            self.stream.flush()

    def _read(self) -> None:
        """Called by the loop when a line, or the end, has come."""
        loop, descriptor = asyncio.get_running_loop(), self.source.fileno()
        if not self.commands.has_room():
            loop.remove_reader(descriptor)
            loop.call_later(AGAIN_S, lambda: self._listen() if self.on else None)
            return
        try:
            data = os.read(descriptor, CHUNK_BYTES)
        except OSError:  # the terminal went away
            data = b""
        if not data:
            self.leave()
            return
        *lines, self._typed = (self._typed + data).split(b"\n")
        for line in lines:
            self._asked, is_cut, self._is_cut = False, self._is_cut, False
            text = line.decode("utf-8", "surrogateescape").strip()
            if is_cut:
                self.model.notice(f"a line is longer than {LINE_BYTES:,} bytes; split it", "bad")
            elif not self.commands.asking.answer(text):
                self.commands.put(text)
        if len(self._typed) > LINE_BYTES:
            self._typed, self._is_cut = b"", True
        if lines and not self.commands.is_busy:
            self.flush(ask=True)
