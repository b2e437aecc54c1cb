"""The fork server of a node: it has loaded the code of `host`, and forks it for each subtree.

Run by a node's agent as `python -m ssm_cli.cluster.owner.forking FD`, where FD is a socket to it.
Each message there comes with the two descriptors of a subtree, and is answered with the number of
a new process, negative with that of an error. It has one thread, no loop, no connection and no
code of a user.

A new process is forked twice: its parent has ended before anybody hears of it, so that the agent,
which is a subreaper, is its parent from then on, as it is of one that it has started itself. It
gives signals, stops and exit codes, and takes no harm where the fork server ends.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import socket
import sys
from importlib import import_module
from pathlib import Path

from ssm_cli.cluster.jetstream.embedded import die_with_parent
from ssm_cli.cluster.owner import host

NUMBER_BYTES = 8  # of an answer
DESCRIPTORS = 2
LATER = ("nats.aio.client", "ssm_cli.spec.walk", "ssm_cli.runtime.driver")
"""What a subtree loads besides; nothing that its tree may choose."""
ARGUMENTS = slice(45, 47)  # of /proc/self/stat behind the name: where they begin and end in memory


def forked_for(door: socket.socket) -> list[int]:
    """Answer requests; return in each new process its descriptors, and none once that is over."""
    while True:
        flags = socket.MSG_CMSG_CLOEXEC
        _, numbers, _, _ = socket.recv_fds(door, 1, DESCRIPTORS, flags)
        if len(numbers) != DESCRIPTORS:
            return []
        pid = fork_twice()
        if not pid:
            return numbers
        for number in numbers:
            os.close(number)
        door.send(pid.to_bytes(NUMBER_BYTES, sys.byteorder, signed=True))


def fork_twice() -> int:
    """Fork a process that is not our child; return its number, and 0 in it.

    The number of an error, negative, where that cannot be.
    """
    reading, writing = os.pipe()
    try:
        between = os.fork()
    except OSError as error:
        os.close(reading)
        os.close(writing)
        return -(error.errno or 1)
    if not between:
        try:
            pid = os.fork()
        except OSError as error:
            pid = -(error.errno or 1)
        if pid:
            os.write(writing, pid.to_bytes(NUMBER_BYTES, sys.byteorder, signed=True))
            os._exit(0)
        os.close(reading)
        os.close(writing)
        return 0
    os.close(writing)
    told = os.read(reading, NUMBER_BYTES)
    os.close(reading)
    os.waitpid(between, 0)  # once it is gone, the agent is the parent
    return int.from_bytes(told, sys.byteorder, signed=True)


def show_as(words: list[str]) -> None:
    """Have these words shown as our command line, as far as ours was as long."""
    stat = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace")
    first, end = map(int, stat.rpartition(") ")[2].split()[ARGUMENTS])
    room = end - first
    text = "\0".join(words).encode()[: room - 1]
    ctypes.memmove(first, text.ljust(room, b"\0"), room)


def serve_forks(number: int) -> None:
    """Serve the agent; in a new process, host its subtree."""
    die_with_parent()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the agent sees to it
    for name in LATER:
        import_module(name)
    gc.collect()
    gc.freeze()  # else the first collection of each process would copy all of it
    with socket.socket(fileno=number) as door:
        numbers = forked_for(door)
    if numbers:
        signal.signal(signal.SIGINT, before)
        words = [*map(str, numbers)]
        sys.argv = [host.__file__, *words]
        show_as([sys.orig_argv[0], "-m", host.__name__, *words])
        host.host_for_agent(*numbers)


if __name__ == "__main__":
    serve_forks(int(sys.argv[1]))
