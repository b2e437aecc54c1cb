"""What is told of a tree that is silent: whether its process is stopped, and what to do."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

QUIET_S = 5.0  # without an answer, and it is looked at who is silent
PROBE_S = 2.0  # for an answer to another client
HELD_S = 30.0  # for an answer of a process that is stopped
MUTE_S = 600.0  # for one of a process that answers nobody
STOPPED_STATES = "Tt"  # in proc(5): by a signal, by a debugger


def peer_of(sock: socket.socket) -> int:
    """Return the process that listens at the other end of a Unix socket; 0 if nobody says."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None or sock.family != socket.AF_UNIX:
        return 0
    return int(struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, option, 12))[0])


def is_stopped(pid: int, proc: Path = Path("/proc")) -> bool:
    """Return whether a process is stopped, as by SIGSTOP; False where nobody says."""
    try:
        stat = (proc / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return False
    return stat.rpartition(") ")[2][:1] in tuple(STOPPED_STATES)


def silent(where: str, pid: int, quiet_s: float) -> tuple[str, float]:
    """Return a line about a tree that answers nobody, and for how many seconds to wait for it."""
    if pid and is_stopped(pid):
        return (
            f"{where} does not answer: its process {pid} is stopped, by SIGSTOP or a debugger; "
            f"`kill -CONT {pid}` lets it go on, and do what was asked; `kill -9 {pid}` ends it"
        ), HELD_S
    who = f"its process {pid} is" if pid else "its process is"
    ends = f"`kill -9 {pid}` ends it, " if pid else ""
    return (
        f"{where} has not answered for {quiet_s:g} s: {who} in a long step, hangs, or is stopped; "
        f"{ends}Ctrl-C gives up waiting; what was asked may still be done"
    ), MUTE_S
