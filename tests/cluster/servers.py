"""Real nats-servers on the loopback interface, one or three, to be killed and started again."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

from ssm_cli.cluster.jetstream.embedded import die_with_parent, find_server
from tests.ports import free_ports

READY_S = 180.0
CONFIG = """\
server_name: s{n}
listen: "127.0.0.1:{port}"
ping_interval: "2s"
ping_max: 2
jetstream {{ store_dir: "{store}", sync_interval: always }}
"""
ROUTES = """\
cluster {{ name: ssm, listen: "127.0.0.1:{own}", routes: [{routes}]{routed} }}
"""


class Servers:
    """One server, or three that form a cluster."""

    def __init__(self, folder: Path, count: int = 1, *, more: str = "", routed: str = "") -> None:
        self.program = find_server(os.environ)
        self.folder = folder
        self.count = count
        self.more = more  # lines for every configuration
        self.routed = routed  # the same for its part about the other servers
        free = free_ports(2 * count)
        self.ports, self.routes = free[:count], free[count:]
        self.url = ",".join(f"nats://127.0.0.1:{port}" for port in self.ports)
        self.running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, n: int) -> None:
        """Start one of them; its files are where they were."""
        store = self.folder / f"s{n}"
        text = CONFIG.format(n=n, port=self.ports[n], store=store)
        if self.count > 1:
            others = ", ".join(f'"nats://127.0.0.1:{port}"' for port in self.routes)
            text += ROUTES.format(own=self.routes[n], routes=others, routed=self.routed)
        text += self.more
        config = self.folder / f"s{n}.conf"
        config.write_text(text)
        with (self.folder / f"s{n}.log").open("ab") as log:
            self.running[n] = subprocess.Popen(
                [self.program, "--config", str(config)],
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - the tests have one thread
            )

    def start_all(self) -> Servers:
        """Start them, and wait until each listens; if one does not, none is left running."""
        try:
            for n in range(self.count):
                self.start(n)
            for port in self.ports:
                until_listening(port)
        except BaseException:
            self.stop()
            raise
        return self

    def kill(self, n: int) -> None:
        """As a crash does."""
        process = self.running.pop(n)
        process.kill()
        process.wait()

    def stop(self) -> None:
        """Kill all of them."""
        for n in list(self.running):
            self.kill(n)


def until_listening(port: int) -> None:
    """Wait until somebody listens there."""
    end_s = time.monotonic() + READY_S
    while time.monotonic() < end_s:
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"nobody listens at port {port} after {READY_S:g} s")
