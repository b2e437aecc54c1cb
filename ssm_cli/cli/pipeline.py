"""`ssm call WORKER -`: one input a line, pipelined; outputs are printed in order.

The server steps pipelined inputs one after the other, and drops the rest when one fails: the first
failure stops the sequence as it would without pipelining, but without a round trip for each. A
proxy would send the rest on: until an answer says that it came straight from a tree, inputs are
sent one at a time.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import msgspec

from ssm_cli.cli.ask import LOG
from ssm_cli.cli.environment import fileno_of
from ssm_cli.cli.printer import Printer
from ssm_cli.cli.where import STDIN
from ssm_cli.commands.execute import DEFAULT_TIMEOUT_S, execute
from ssm_cli.commands.parse import MAX_LINE, Command, parse_words
from ssm_cli.errors import CommandError
from ssm_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from ssm_cli.cli.environment import Environment
    from ssm_cli.http.client.node import HttpNode
    from ssm_cli.runtime.api import NodeApi

AHEAD = 64  # inputs that are sent before their outputs have come
AHEAD_BYTES = 65_536  # what the kernel takes without anybody reading at the other end
CHUNK = 65_536


class Lines:
    """The lines of standard input received so far."""

    def __init__(self, env: Environment) -> None:
        self.fileno = fileno_of(env.stdin)
        self.ended = self.fileno is None
        self._ready: deque[str] = deque()
        self._rest = b""
        self._taken = 0
        if self.fileno is None:
            self._ready.extend(line.rstrip("\n") for line in env.stdin)

    def __len__(self) -> int:
        return len(self._ready)

    def __iter__(self) -> Iterator[str]:
        """Yield all lines, blocking for those not yet received."""
        while self._ready or not self.ended:
            if self._ready:
                yield self.pop()
            else:
                self.read()

    def pop(self) -> str:
        """Return the next line."""
        self._taken += 1
        return self._ready.popleft()

    def command(self, head: list[str], line: str) -> Command:
        """Return the command of the line taken last, `head` being what stands before the input."""
        command = parse_words([*head, line], ())
        return msgspec.structs.replace(command, place=f"{STDIN}:{self._taken}")

    def read(self) -> None:
        """Read available input; block if there is none."""
        assert self.fileno is not None
        data = os.read(self.fileno, CHUNK)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if not data:
            self.ended = True
            lines = [self._rest] if self._rest else []
        if len(self._rest) > MAX_LINE:
            number = self._taken + len(self._ready) + len(lines) + 1
            too_long = CommandError(f"a line is longer than {MAX_LINE} bytes; split it")
            too_long.place = f"{STDIN}:{number}"
            raise too_long
        decoded = (line.removesuffix(b"\r") for line in lines)
        self._ready.extend(line.decode("utf-8", "surrogateescape") for line in decoded)


class Pipelined:
    """Sends the lines of standard input as inputs, before the outputs of those before them come.

    `head` is the command up to the input: `call`, its options, the worker.
    """

    def __init__(self, env: Environment, node: HttpNode, head: list[str]) -> None:
        self._lines = Lines(env)
        self._node = node
        self._head = head
        self._printer = Printer(env)
        take = self._next_reply
        self._replies = SimpleNamespace(answered=node.answered, call_value=take, acall_value=take)
        self._sent: deque[tuple[Command, int]] = deque()
        self._bytes = 0

    def run(self) -> int:
        """Send all lines; return the first failure's code, or 0."""
        while True:
            self._send()
            if not self._sent:
                if self._lines.ended and not self._lines:
                    return ExitCode.DONE
                if not self._lines:
                    self._lines.read()
            elif self._reply_is_next():
                code = self._take()
                if code:
                    return code
            else:
                self._lines.read()

    def _send(self) -> None:
        """Send as many lines as the window allows."""
        requests = []
        while self._lines and self._may_send():
            command = self._lines.command(self._head, self._lines.pop())
            data = command.arguments["input"].encode("utf-8", "surrogateescape")
            wait_s = DEFAULT_TIMEOUT_S if command.timeout_s is None else command.timeout_s
            worker = command.arguments["worker"]
            request = self._node.calls.call_bytes(worker, data, wait_s, stop_on_failure=True)
            self._sent.append((command, len(request)))
            self._bytes += len(request)
            requests.append(request)
        if requests:
            self._node.connection.send([b"".join(requests)])

    def _may_send(self) -> bool:
        """Return whether one more input may be sent before its outputs have come."""
        if not self._node.connection.stops:
            return not self._sent
        return len(self._sent) < AHEAD and self._bytes <= AHEAD_BYTES

    def _reply_is_next(self) -> bool:
        """Return whether to receive a reply before reading another line."""
        fileno, connection = self._lines.fileno, self._node.connection
        if self._lines.ended or not self._may_send() or connection.has_more:
            return True
        assert fileno is not None
        sock = connection.readable().fileno()
        ready, _, _ = select.select([sock, fileno], [], [])
        return sock in ready

    def _take(self) -> int:
        command, size = self._sent.popleft()
        self._bytes -= size
        replies = cast("NodeApi", self._replies)  # a call asks no more of it
        result = execute(command, replies, log=LOG)
        self._printer.answer(result)
        return int(result.exit_code)

    def _next_reply(self, worker: str, _: bytes, timeout_s: float | None) -> tuple[bytes, object]:
        """Receive the reply to the oldest call that was sent."""
        return self._node.calls.reply(worker, timeout_s)
