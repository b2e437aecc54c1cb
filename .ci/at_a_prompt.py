"""Run a shell command on a terminal until it shows the prompt, press Ctrl-D, hand on its exit code.

Run: python3 .ci/at_a_prompt.py COMMAND. It needs nothing but Python, since nothing is installed
when it runs.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time

PROMPT = "ssm❯ ".encode()  # noqa: RUF001 - the prompt as it is drawn
ROWS, COLUMNS = 24, 80
TIME_S = 600.0
CTRL_D = b"\x04"


def main(command: str) -> int:
    """Run it; 0 if the prompt came and the program then ended well.

    Raises:
        SystemExit: the prompt did not come before the command ended or the time was over.
    """
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm-256color"
        os.execvp("bash", ["bash", "-euo", "pipefail", "-c", command])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    seen = read_until(terminal, PROMPT)
    if PROMPT in seen:
        os.write(terminal, CTRL_D)
        read_until(terminal, None)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if PROMPT not in seen:
        raise SystemExit(f"no prompt came; exit code {code}, and this was seen:\n{seen.decode()}")
    sys.stdout.write(f"the prompt came; after Ctrl-D it ended with {code}\n")
    return code


def read_until(terminal: int, wanted: bytes | None) -> bytes:
    """What the terminal shows until `wanted` is in it, or to the end; fails when time is over."""
    end_s = time.monotonic() + TIME_S
    seen = b""
    while wanted is None or wanted not in seen:
        readable, _, _ = select.select([terminal], [], [], max(0.0, end_s - time.monotonic()))
        if not readable:
            raise SystemExit(f"{TIME_S:g} s are over; this was seen:\n{seen.decode()}")
        try:
            data = os.read(terminal, 65_536)
        except OSError:  # how Linux says that the other side has closed
            data = b""
        if not data:
            break
        seen += data
    return seen


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
