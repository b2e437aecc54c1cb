"""A disk whose syncs fail, for this process from now on: a filter of the kernel's (seccomp).

What was written stays in the page cache, as on a real disk that has failed: the next process
reads it. A filter cannot be taken off again; the process is to be killed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

SYNCS = {"x86_64": (74, 75), "aarch64": (82, 83)}  # fsync, fdatasync
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBER, FIRST_ARGUMENT = 0, 16  # places in what a filter sees of a call
ALLOW, FAIL = 0x7FFF0000, 0x00050000 | errno.EIO
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, BY_FILTER = 22, 38, 2


class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]


def can_fail() -> bool:
    """Whether this machine has such filters, as far as its kind tells."""
    return platform.system() == "Linux" and platform.machine() in SYNCS


def fail_syncs(but: int = -1) -> None:
    """Let each sync of a file fail with EIO, but those of one descriptor; raises `OSError`."""
    fsync, fdatasync = SYNCS[platform.machine()]
    steps = [
        (LOAD, 0, 0, NUMBER),
        (EQUAL, 1, 0, fsync),
        (EQUAL, 0, 3, fdatasync),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (EQUAL, 1, 0, but & 0xFFFFFFFF),
        (RETURN, 0, 0, FAIL),
        (RETURN, 0, 0, ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = Filter(len(steps), ctypes.addressof(code))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    asks = (PR_SET_NO_NEW_PRIVS, 1, 0), (PR_SET_SECCOMP, BY_FILTER, ctypes.byref(program))
    for what, *values in asks:
        if prctl(what, *values, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
