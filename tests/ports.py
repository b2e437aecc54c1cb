"""Ports for programs that are told theirs, safe from all else that runs on the machine."""

from __future__ import annotations

import contextlib
import socket
from random import SystemRandom

OWN_PORTS = range(10_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, below those that a system gives out by itself.

    One of the latter could be given to any other socket before the server listens, or while it is
    killed, as other suites run beside this one.
    """
    found: list[int] = []
    for port in SystemRandom().sample(OWN_PORTS, len(OWN_PORTS)):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
        if len(found) == count:
            break
    return found
