"""Exit codes: one enum, and one table from error classes to codes (`CONTRACT` section 2)."""

from __future__ import annotations

from enum import IntEnum

from ssm_cli import errors


class ExitCode(IntEnum):
    """What the process tells its caller when it ends.

    The codes from 128 on are the shell's convention, 128 + the number of the signal; 70 and
    74 are those of BSD's sysexits: a defect of `ssm` itself, and input or output that failed.
    """

    DONE = 0
    CRASHED = 1
    USAGE = 2
    NOT_RUNNING = 3
    REFUSED = 4
    NO_TREE = 5
    UNDECODABLE = 6
    GAVE_UP = 7
    DENIED = 8
    QUEUE_FULL = 9
    BUG = 70
    IO_ERROR = 74
    TIMEOUT = 124
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


CODES: dict[type[BaseException], ExitCode] = {
    errors.CalleeCrashed: ExitCode.CRASHED,
    errors.CalleeStopped: ExitCode.REFUSED,
    errors.NoProc: ExitCode.REFUSED,
    errors.CallTimeout: ExitCode.TIMEOUT,
    errors.DecodeError: ExitCode.UNDECODABLE,
    errors.QueueFull: ExitCode.QUEUE_FULL,
    errors.NoConnection: ExitCode.NO_TREE,
    errors.Denied: ExitCode.DENIED,
    errors.SupervisorError: ExitCode.REFUSED,
    errors.StartFailed: ExitCode.CRASHED,
    errors.GaveUp: ExitCode.GAVE_UP,
    errors.CodeRefused: ExitCode.REFUSED,
    errors.Forgotten: ExitCode.REFUSED,
    errors.ReadOnly: ExitCode.REFUSED,
    errors.TakenOver: ExitCode.DENIED,
    errors.SpecError: ExitCode.USAGE,
    errors.CommandError: ExitCode.USAGE,
    errors.CalledFromStep: ExitCode.CRASHED,
    errors.NoTree: ExitCode.NO_TREE,
    errors.StorageError: ExitCode.IO_ERROR,
    errors.SsmError: ExitCode.CRASHED,
}


def exit_code_of(error: BaseException) -> ExitCode:
    """The exit code of an error: that of the nearest class in the table; a bug otherwise.

    >>> exit_code_of(errors.NoProc("no worker `kv9`", worker="kv9")).name
    'REFUSED'
    >>> exit_code_of(KeyError("x")).name
    'BUG'
    """
    return next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), ExitCode.BUG)
