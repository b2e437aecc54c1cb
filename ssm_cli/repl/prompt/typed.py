"""The keys of a terminal: whole ones, in order, and only as fast as they can be taken.

What is typed ahead is read ahead, so that Ctrl-C behind a long paste is seen at once. Once too much
waits, nothing more is read, and the terminal itself holds back whoever types or pastes.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import termios
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from prompt_toolkit.input import Input
from prompt_toolkit.input.typeahead import get_typeahead
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys

from ssm_cli.repl.prompt.sequences import Sequences

CHUNK_CHARACTERS = 65_536  # that are read at a time
KEYS_AT_ONCE = 200  # of them, keys that are handled before the tree has its turn
AGAIN_S = 0.05  # how soon it is looked again whether there is room
_LINES = re.compile(r"[^\x00-\x09\x0b\x0c\x0e-\x1f\x7f]*[\r\n]")  # without control characters


class Typed(Input):
    """The input of an application.

    Args:
        below: the terminal.
        now: a monotonic clock, in seconds.
        has_room: whether more can be taken.

    Attributes:
        take: called with many lines that came at once; takes them, or answers that it did not.
    """

    def __init__(
        self, below: Input, now: Callable[[], float], has_room: Callable[[], bool]
    ) -> None:
        assert isinstance(below, Vt100Input), "a terminal of Unix"
        self.has_room = has_room
        self.take: Callable[[str], bool] = lambda _: False
        self._below = below
        self._now = now
        self._sequences = Sequences()
        self._keys: deque[KeyPress] = deque()
        self._later: deque[tuple[str, str]] = deque()
        self._parser = Vt100Parser(self._keys.append)
        self._ready: Callable[[], None] | None = None
        self._paused = ExitStack()
        self._is_paused = self._is_raw = self._holds = False
        self._lent = 0

    # -- keys ----------------------------------------------------------------------------------

    def read_keys(self) -> list[KeyPress]:
        """Read what has come; at most `KEYS_AT_ONCE` keys are returned at a time."""
        if not self.has_room():
            self._pause()
            return []
        if not self._keys and not self._later:
            text = self._below.stdin_reader.read(CHUNK_CHARACTERS)
            self._later.extend(self._sequences.feed(text, self._now()))
        return self._some()

    def flush_keys(self) -> list[KeyPress]:
        """Return the key that a pause ends."""
        if not self._keys and not self._later:
            self._later.extend(self._sequences.pause(self._now()))
        return self._some()

    def _some(self) -> list[KeyPress]:
        while self._later and len(self._keys) < KEYS_AT_ONCE:
            kind, text = self._later.popleft()
            if kind == "paste":
                self._keys.append(KeyPress(Keys.BracketedPaste, text))
            elif len(text) <= KEYS_AT_ONCE:
                self._parser.feed_and_flush(text)
            elif self._keys:
                self._later.appendleft((kind, text))
                break
            else:
                lines = _LINES.match(text)
                taken = len(lines[0]) if lines and self.take(lines[0]) else 0
                if not taken:
                    taken = KEYS_AT_ONCE
                    self._parser.feed_and_flush(text[:taken])
                self._later.appendleft((kind, text[taken:]))
            if not self.has_room():
                break
        keys = [self._keys.popleft() for _ in range(min(len(self._keys), KEYS_AT_ONCE))]
        if self._keys or self._later:
            self._pause(0.0)
        return keys

    def drop(self) -> str:
        """Drop what was read and not handled yet; return it."""
        keys = [*get_typeahead(self), *self._keys]
        text = "".join(key.data for key in keys if key.key is not Keys.CPRResponse)
        text += "".join(text for _, text in self._later)
        self._keys.clear()
        self._later.clear()
        return text

    # -- when there is something to read -------------------------------------------------------

    @contextmanager
    def attach(self, input_ready_callback: Callable[[], None]) -> Iterator[None]:
        """Call something when there are keys, in a block."""
        self._ready = input_ready_callback
        with self._below.attach(input_ready_callback), self._paused:
            try:
                yield
            finally:
                self._ready = None

    @contextmanager
    def detach(self) -> Iterator[None]:
        """A block in which another program reads the terminal."""
        self._lent += 1
        try:
            with self._below.detach():
                yield
        finally:
            self._lent -= 1

    def _pause(self, again_s: float = AGAIN_S) -> None:
        """Read nothing for a moment."""
        if not self._is_paused:
            self._is_paused = True
            self._paused.enter_context(self._below.detach())
            asyncio.get_running_loop().call_later(again_s, self._resume)

    def _resume(self) -> None:
        if self._lent:
            asyncio.get_running_loop().call_later(AGAIN_S, self._resume)
            return
        self._is_paused = False
        self._paused.close()
        if self._ready is not None and (self._keys or self._later):
            self._ready()

    # -- the terminal below --------------------------------------------------------------------

    def fileno(self) -> int:
        """Its descriptor."""
        return self._below.fileno()

    def typeahead_hash(self) -> str:
        """By which what was typed ahead is found again."""
        return self._below.typeahead_hash()

    @property
    def closed(self) -> bool:
        """Whether it is gone."""
        return self._below.closed and not self._keys and not self._later

    @contextmanager
    def raw_mode(self) -> Iterator[None]:
        """A block in which each key comes at once."""
        with _entered(self._below.raw_mode()):
            self._is_raw = True
            self.hold(on=self._holds)
            try:
                yield
            finally:
                self._is_raw = False

    def hold(self, *, on: bool) -> None:
        """Have Ctrl-S hold the output, and Ctrl-Q go on, as the terminal's own; or be keys."""
        self._holds = on
        if self._is_raw and os.isatty(self.fileno()):
            modes = termios.tcgetattr(self.fileno())
            modes[0] = modes[0] | termios.IXON if on else modes[0] & ~termios.IXON
            termios.tcsetattr(self.fileno(), termios.TCSANOW, modes)

    @contextmanager
    def cooked_mode(self) -> Iterator[None]:
        """A block in which the terminal edits lines."""
        with _entered(self._below.cooked_mode()):
            yield


@contextmanager
def _entered(mode: AbstractContextManager[None]) -> Iterator[None]:
    """A block in a mode of the terminal, which is set again if a signal came meanwhile (`fg`)."""
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(mode)
                break
            except termios.error as error:
                if error.args[0] != errno.EINTR:
                    raise
        yield
