"""The program of a process that does one run: it reads what to call, calls it, and answers.

It imports nothing of ours that it does not need, so that it begins quickly. It ends when the node
does: its process group is sent SIGIO, which nobody catches, as the socket closes.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import pickle
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

DOOR = 3  # the file descriptor of the socket to the node
LENGTH_BYTES = 8
CHUNK_BYTES = 1 << 20


def main() -> None:
    """Do the run that comes through the door."""
    close_others()
    os.set_inheritable(DOOR, False)
    door = socket.socket(fileno=DOOR)
    message = read_message(door)
    end_with(door)
    most, paths, main_file, files, texts, work = pickle.loads(message)  # noqa: S301 - of the node
    sys.path[:] = paths
    if files:
        from ssm_cli.spec.importing import expect  # noqa: PLC0415 - many runs need none of it

        expect(files, texts)
    answer = work_done(work, main_file)
    if len(answer) > most:
        said = f"its answer takes {len(answer):,} bytes; at most {most:,} can be sent back"
        answer = failure_sent("unsendable", "", said)
    door.sendall(len(answer).to_bytes(LENGTH_BYTES, "big") + answer)
    os._exit(0)


def close_others() -> None:
    """Close all descriptors of the node that were not closed by `exec`."""
    for path in [*Path("/dev/fd").iterdir()]:
        if int(path.name) > DOOR:
            with suppress(OSError):
                os.close(int(path.name))


def end_with(door: socket.socket) -> None:
    """Have this process, and those that it makes, end when the other side of the door does.

    Nothing more comes from there: the signal is sent once, as that is closed.
    """
    fcntl.fcntl(door, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(door, fcntl.F_SETFL, fcntl.fcntl(door, fcntl.F_GETFL) | os.O_ASYNC)
    try:
        door.recv(1, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return
    os._exit(1)


def read_message(door: socket.socket) -> bytes:
    """Read a message with its length before it; the process ends where there is none."""
    found = bytearray()
    while len(found) < LENGTH_BYTES or len(found) < LENGTH_BYTES + length_of(found):
        data = door.recv(CHUNK_BYTES)
        if not data:
            os._exit(1)
        found += data
    return bytes(found[LENGTH_BYTES:])


def length_of(found: bytearray) -> int:
    """Return the length of the message that begins so."""
    return int.from_bytes(found[:LENGTH_BYTES], "big")


def work_done(work: bytes, main_file: str) -> bytes:
    """Call what is to be called; the answer as it is sent."""
    try:
        if main_file:
            load_main(main_file)
        function, args = pickle.loads(work)  # noqa: S301 - the node has written it
    except BaseException as error:  # noqa: BLE001 - whatever an import raises
        return failure_sent(
            "unsendable", type(error).__name__, f"a process cannot import it: {what_it_says(error)}"
        )
    try:
        value = function(*args)
    except BaseException as error:  # noqa: BLE001 - whatever it raises is its failure
        return failure_sent("raised", type(error).__name__, what_it_says(error))
    try:
        return b"D" + pickle.dumps(value)
    except BaseException as error:  # noqa: BLE001 - whatever pickling raises
        text = (
            f"its answer, of type {type(value).__name__}, cannot be pickled: {what_it_says(error)}"
        )
        return failure_sent("unsendable", type(error).__name__, text)


def load_main(file: str) -> None:
    """Load the program of the node as a module, under another name, so that it does not begin."""
    spec = importlib.util.spec_from_file_location("__mp_main__", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module
    spec.loader.exec_module(module)


def what_it_says(error: BaseException) -> str:
    """Return what an exception says, as far as it can say it."""
    try:
        return str(error)[:1000]
    except BaseException as worse:  # noqa: BLE001 - whatever its text raises
        return f"<{type(error).__name__} that cannot be shown: {type(worse).__name__}>"


def failure_sent(*parts: Any) -> bytes:
    """Return a failure as it is sent."""
    return b"F" + pickle.dumps(parts)


if __name__ == "__main__":
    main()
