"""Refusals: the record of a request that is not carried out, whoever refuses it.

That of a call is a reply record. That of any other request, and of one whose headers were not
there whole, is an error record.
"""

from __future__ import annotations

import msgspec

from ssm_cli.commands.records import Record, error_detail, error_record, failed_reply_record
from ssm_cli.errors import CallError, Denied, SsmError
from ssm_cli.http.calling import text_in
from ssm_cli.http.exchange import Exchange, HttpAnswer
from ssm_cli.http.routes import text_of
from ssm_cli.http.statuses import RETRY_AFTER, HttpError, status_of

CALL_PREFIX, CALL_SUFFIX = b"/v1/workers/", b"/call"
OUTCOMES = {404: "noproc", 429: "queue_full", 503: "stopped"}
_encode = msgspec.json.Encoder().encode


def called(exchange: Exchange) -> str | None:
    """Return the worker that a call names; None if the request is no call."""
    path = exchange.path
    if exchange.method != b"POST" or not path.endswith(CALL_SUFFIX):
        return None
    if not path.startswith(CALL_PREFIX) or path.count(b"/") != 4:
        return None
    word = path[len(CALL_PREFIX) : -len(CALL_SUFFIX)]
    return text_of(word) if b"%" in word else word.decode("ascii", "backslashreplace")


def refused_request(status: int, message: str, exchange: Exchange | None) -> HttpAnswer:
    """Return the answer to a request that a connection refuses, and closes behind.

    `exchange` is None where the headers of the request were not there whole.
    """
    more = (RETRY_AFTER,) if status in (429, 503) else ()
    error = HttpError(status, message, more)
    return HttpAnswer(status, refusal_of(exchange, error), headers=more, closes=True)


def refusal_of(exchange: Exchange | None, error: SsmError) -> bytes:
    """Return the record for an error; one of the server's own (500, 507) is an error record."""
    worker, status = None if exchange is None else called(exchange), status_of(error)
    own = status in (500, 507) and not isinstance(error, CallError)
    if exchange is None or worker is None or own:
        return _encode(error_record(error))
    return _encode(_reply(worker, text_in(exchange.body), error, status))


def _reply(worker: str, given: str, error: SsmError, status: int) -> Record:
    """Return the reply record of a call that reached no worker.

    Its input is that of the call; of one that was refused before its body was read there is none.
    """
    if isinstance(error, CallError):
        return failed_reply_record(worker, given, error, 0.0)
    if status in (401, 403):
        return failed_reply_record(worker, given, Denied(str(error), worker=worker), 0.0)
    shown = CallError(str(error), worker=worker)
    record = failed_reply_record(worker, given, shown, 0.0)
    detail = error_detail(shown if isinstance(error, HttpError) else error)
    return record | {"outcome": OUTCOMES.get(status, "undecodable"), "error": detail}
