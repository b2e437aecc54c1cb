"""The plain face: lines in, lines out, on the terminal as it is (`ui plain`)."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from ssm_cli.render.outlet import offer
from ssm_cli.repl.model import Model

PROMPT = "ssm> "
CHUNK_BYTES = 4096
LINE_BYTES = 64 * 1024  # a longer line is not taken


class Plain:
    """Reads lines while it is on, and prints what the output gets.

    Args:
        source: where lines are typed.
        stream: where the output goes.
        model: has the output.
        put: takes a line; False if it cannot.
        leave: called at the end of the input.
        interrupt: called at Ctrl-C.
    """

    def __init__(
        self,
        source: TextIO,
        stream: TextIO,
        model: Model,
        *,
        put: Callable[[str], bool],
        leave: Callable[[], None],
        interrupt: Callable[[], None],
    ) -> None:
        self.on = False
        self._source = source
        self._stream = stream
        self._model = model
        self._put = put
        self._leave = leave
        self._interrupt = interrupt
        self._printed = 0
        self._typed = b""
        self._asked = False
        self._ended: asyncio.Event | None = None

    async def run(self) -> None:
        """Be the face of the session until `end` is called."""
        loop, descriptor = asyncio.get_running_loop(), self._source.fileno()
        self.on, self._ended = True, asyncio.Event()
        self._printed = self._model.output_seq
        loop.add_reader(descriptor, self._read, descriptor)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        self.flush(ask=True)
        try:
            await self._ended.wait()
        finally:
            self.flush()
            self._stream.write(f"\r{'':<{len(PROMPT)}}\r" if self._asked else "")
            self._stream.flush()  # the next face may write by a stream of its own
            loop.remove_signal_handler(signal.SIGINT)
            loop.remove_reader(descriptor)
            self.on = False

    @contextmanager
    def away(self) -> Iterator[None]:
        """A block in which another program reads the lines."""
        loop, descriptor = asyncio.get_running_loop(), self._source.fileno()
        loop.remove_reader(descriptor)
        try:
            yield
        finally:
            loop.add_reader(descriptor, self._read, descriptor)

    def end(self) -> None:
        """Let `run` come to its end."""
        if self._ended is not None:
            self._ended.set()

    def flush(self, *, ask: bool = False) -> None:
        """Print what is new; `ask`: the next line may be typed now."""
        new = self._model.output_seq - self._printed
        self._printed = self._model.output_seq
        kept = list(self._model.output)[-new:] if new else []
        before = "\r" if self._asked and kept and not ask else ""
        self._asked = self._asked or ask
        prompt = PROMPT if self._asked and (kept or ask) else ""
        text = before + "".join(f"{line.plain.ljust(len(PROMPT))}\n" for line in kept) + prompt
        if text:
            offer(self._stream, text)
            self._stream.flush()

    def _read(self, descriptor: int) -> None:
        """Called by the loop when a line, or the end, has come."""
        data = os.read(descriptor, CHUNK_BYTES)
        self._typed += data
        if not data or len(self._typed) > LINE_BYTES:
            self._leave()
            return
        *lines, self._typed = self._typed.split(b"\n")
        for line in lines:
            self._asked = False
            text = line.decode("utf-8", "surrogateescape").strip()
            if not text or not self._put(text):
                self.flush(ask=True)
