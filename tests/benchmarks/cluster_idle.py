"""What subtrees cost a cluster that is idle: messages, memory, start. Run it by hand.

`python -m tests.benchmarks.cluster_idle [SUBTREES] [LEASE_S]` starts a server, two nodes and a tree
with so many remote children, all on this machine, and prints what the server has counted.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.cluster.servers import Servers
from tests.cluster.test_program import Shell
from tests.ports import free_ports

WATCHED_S = 20.0
CHILD = "  - {{remote: b{n}, tree: billing.yaml, lease: {lease}}}\n"


def counted(port: int) -> tuple[int, int]:
    """Return the messages that the server has taken, and given."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/varz") as page:
        seen = json.load(page)
    return seen["in_msgs"], seen["out_msgs"]


def share_mb(pid: int) -> float:
    """Return the memory of a process, of pages that it shares its part."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def started(shell: Shell) -> bool:
    """Return whether all children run."""
    done = shell.run("tree", "-o", "json", "--name", "many")
    if not done.stdout:
        return False
    return all(child["state"] == "running" for child in json.loads(done.stdout)["children"])


def main(subtrees: int, lease_s: float) -> None:
    """Measure, and print one line a figure."""
    (port,) = free_ports(1)
    with TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "nats").mkdir()
        (place / "shell").mkdir()
        servers = Servers(place / "nats", more=f'http: "127.0.0.1:{port}"\n').start_all()
        shell = Shell(place / "shell")
        shell.environ["SSM_CLUSTER"] = servers.url
        children = "".join(CHILD.format(n=n, lease=lease_s) for n in range(subtrees))
        tree = f"supervisor: many\nintensity: 50\nchildren:\n{children}"
        (shell.folder / "many.yaml").write_text(tree)
        try:
            for name in ("n1", "n2"):
                shell.start("node", "--name", name)
            shell.until(lambda: len(shell.nodes()) == 2)
            begun_s = time.monotonic()
            shell.start("run", "many.yaml", "--headless")
            shell.until(lambda: started(shell))
            print(f"start of {subtrees}: {time.monotonic() - begun_s:.1f} s")
            before = counted(port)
            time.sleep(WATCHED_S)
            after = counted(port)
            rates = [(b - a) / WATCHED_S for a, b in zip(before, after, strict=True)]
            print(f"messages a second: {rates[0]:.1f} taken, {rates[1]:.1f} given")
            memory = [share_mb(pid) for pid in shell.hosts()]
            print(f"memory of a subtree: {sum(memory) / len(memory):.1f} MB")
        finally:
            shell.end()
            servers.stop()


if __name__ == "__main__":
    given = [float(word) for word in sys.argv[1:]]
    main(int(given[0]) if given else 10, given[1] if len(given) > 1 else 2.0)
