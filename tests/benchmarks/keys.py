"""From a key to the screen, and what an idle screen costs, near and attached.

    python -m tests.benchmarks.keys            100,000 workers
    python -m tests.benchmarks.keys 1000       so many

Two programs on pseudo-terminals of 120 columns by 36 rows: `ssm run` and `ssm attach`. Times are by
the wall, until the letter comes back; the shares of a processor are those of each process.
"""

from __future__ import annotations

import os
import signal
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pexpect  # type: ignore[import-untyped]  # it has no type stubs of its own

KEYS = 200
LINE = 20  # letters, then the line is cleared
IDLE_S = 10.0
SETTLE_S = 3.0
TREE = """from ssm_cli import Supervisor, Worker
from ssm_cli.machines.kv import kv_store

many = [Worker(f"session-{{i:07}}", kv_store) for i in range({workers})]
tree = Supervisor("root", children=[Supervisor("pool", children=many)])
"""


def opened(folder: Path, *words: str) -> pexpect.spawn:
    """Begin the program, and wait for its screen."""
    env = {**os.environ, "HOME": str(folder), "TERM": "xterm-256color"}
    env |= {name: str(folder) for name in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME")}
    words = ("-m", "ssm_cli", *words)
    child = pexpect.spawn(
        sys.executable, [*words], cwd=str(folder), env=env, dimensions=(36, 120), timeout=300
    )
    child.delaybeforesend = None
    child.expect_exact("pool")
    drain(child, SETTLE_S)
    return child


def drain(child: pexpect.spawn, for_s: float) -> None:
    """Read what comes."""
    end_s = time.monotonic() + for_s
    while (left_s := end_s - time.monotonic()) > 0:
        try:
            child.read_nonblocking(1 << 16, timeout=left_s)
        except pexpect.TIMEOUT:
            return


def key_ms(child: pexpect.spawn) -> list[float]:
    """Type letters; return how long each took until it was on the screen."""
    took = []
    for number in range(KEYS):
        letter = "qzxj"[number % 4]
        began = time.perf_counter()
        child.send(letter)
        child.expect_exact(letter)
        took.append((time.perf_counter() - began) * 1000)
        if number % LINE == LINE - 1:
            child.send("\x15")
        drain(child, 0.05)
    return took


def busy_s(child: pexpect.spawn) -> float:
    """Return the processor time that a process has taken."""
    return int(Path(f"/proc/{child.pid}/schedstat").read_text().split()[0]) / 1e9


def main(workers: int) -> None:
    """Print the table."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "many.py").write_text(TREE.format(workers=workers))
        children = {"run": opened(folder, "run", "many.py")}
        children["attach"] = opened(folder, "attach", "many")
        print(f"{workers:,} workers  median ms  largest ms  processor a key, ms  idle, %")
        for what, child in children.items():
            before_s = busy_s(child)
            took = key_ms(child)
            a_key_ms = (busy_s(child) - before_s) / KEYS * 1000
            drain(child, SETTLE_S)
            before_s = busy_s(child)
            for each in children.values():
                drain(each, IDLE_S / len(children))
            idle = (busy_s(child) - before_s) / IDLE_S * 100
            row = f"{statistics.median(took):9.1f} {max(took):11.1f} {a_key_ms:20.2f}"
            print(f"{what:>15} {row} {idle:8.2f}", flush=True)
        for child in reversed(children.values()):
            child.kill(signal.SIGKILL)
            child.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
