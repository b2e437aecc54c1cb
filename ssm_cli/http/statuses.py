"""HTTP statuses: one table from error classes to statuses."""

from __future__ import annotations

from ssm_cli import errors


class HttpError(errors.SsmError):
    """A bad request: no such route, too large, malformed.

    Attributes:
        status: its HTTP status.
        headers: the headers of that status (`Allow`, `WWW-Authenticate`, ...).
    """

    def __init__(
        self, status: int, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


STATUSES: dict[type[BaseException], int] = {
    errors.CalleeCrashed: 500,
    errors.CalleeStopped: 503,
    errors.NoProc: 404,
    errors.CallTimeout: 504,
    errors.DecodeError: 400,
    errors.QueueFull: 503,
    errors.NoConnection: 503,
    errors.Denied: 403,
    errors.SupervisorError: 409,
    errors.SysError: 409,
    errors.CodeRefused: 409,
    errors.Forgotten: 404,
    errors.ReadOnly: 409,
    errors.TakenOver: 503,
    errors.CommandError: 400,
    errors.SpecError: 400,
    errors.StorageError: 507,
    errors.SsmError: 500,
}

RETRY_AFTER = (b"retry-after", b"1")  # seconds; the queue is served in far less


def status_of(error: errors.SsmError) -> int:
    """Return the status of an error: its own, or that of the nearest class in the table.

    >>> status_of(errors.QueueFull("full")), status_of(HttpError(405, "no"))
    (503, 405)
    """
    if isinstance(error, HttpError):
        return error.status
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
