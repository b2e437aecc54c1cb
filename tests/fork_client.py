"""Asks the server of `tests.program` to fork `ssm`, or other code; as a script, for a shell.

As a script it begins as quickly as Python can (-I -S) and imports nothing of ours. It hands on what
ends a process, each signal once, and ends as the program did: with its exit code, or at its signal.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Mapping

HANDED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def forked(
    door: str,
    words: list[str],
    cwd: str,
    env: Mapping[str, str],
    streams: list[int],
    *,
    terminal: bool = False,
) -> tuple[int, socket.socket]:
    """Begin a process with these standard streams; its id, and the socket that tells its end.

    It is killed when the socket is closed before its end. With `terminal` it leads a session of its
    own, whose terminal is its standard input.
    """
    request = {"words": words, "cwd": cwd, "env": dict(env), "terminal": terminal}
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    end.connect(door)
    socket.send_fds(end, [json.dumps(request).encode()], streams)
    return int(end.recv(32)), end


def stand_for(door: str, words: list[str]) -> int:
    """Run the program with streams, folder and environment of this process; return how it ended."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDED_ON)
    pid, end = forked(door, words, os.getcwd(), os.environ, [0, 1, 2])  # noqa: PTH109 - it is quick

    def hand_on(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # `timeout` sends it to a process and to its group
        os.kill(pid, number)

    for number in HANDED_ON:
        signal.signal(number, hand_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDED_ON)
    return int(end.recv(32))


if __name__ == "__main__":
    code = stand_for(sys.argv[1], sys.argv[2:])
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)
