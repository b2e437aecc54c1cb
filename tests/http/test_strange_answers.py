"""What is at a URL and is no tree: each answer is an error that says who, what and what next.

Never a defect, never success, never without end.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ssm_cli.cli import app
from ssm_cli.cli.environment import Environment
from ssm_cli.errors import CallTimeout, NoTree, SsmError, remote_error
from ssm_cli.http.client import connection as connections
from ssm_cli.http.client.answers import report_of
from ssm_cli.http.client.connection import address_of
from ssm_cli.http.client.failures import raise_error, raise_reply
from ssm_cli.http.client.node import HttpNode
from ssm_cli.http.client.wire import EventParser, Response

SERVER = """
import socket, sys
answer = sys.stdin.buffer.read()
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    sock, _ = listener.accept()
    data = b""
    while b"\\r\\n\\r\\n" not in data:
        more = sock.recv(65536)
        if not more:
            break
        data += more
    try:
        sock.sendall(answer)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass
    except OSError:
        pass
    sock.close()
"""


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A program that gives one answer to whatever is asked, and its URL."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write(answer)
        program.stdin.close()
        try:
            yield f"http://127.0.0.1:{int(program.stdout.readline())}"
        finally:
            program.kill()


def http(
    body: bytes | str, status: str = "200 OK", kind: str = "application/json", **more: str
) -> bytes:
    data = body.encode() if isinstance(body, str) else body
    headers = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in more.items())
    head = (
        f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{headers}content-length: {len(data)}\r\n\r\n"
    )
    return head.encode("latin-1") + data


DEEP = "[" * 200_000
HTML = "<!DOCTYPE html><html><body>Log in</body></html>"
STRANGE = {
    "301": (http("", "301 Moved Permanently", location="https://other.example/"), "other.example"),
    "302 with a page": (http(HTML, "302 Found", "text/html", location="/login"), "/login"),
    "307": (http("", "307 Temporary Redirect"), "status 307"),
    "308 with escapes": (http("", "308 P", location="\x1b[31m"), "status 308"),
    "304": (b"HTTP/1.1 304 Not Modified\r\n\r\n", "status 304"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", "nothing"),
    "a page": (http(HTML, kind="text/html"), "a page of HTML"),
    "a page that says it is JSON": (http(HTML), "a page of HTML"),
    "a page with 404": (http(HTML, "404 Not Found", "text/html"), "a page of HTML"),
    "a page with 502": (http(HTML, "502 Bad Gateway", "text/html"), "status 502"),
    "a page with 401": (http(HTML, "401 Unauthorized", "text/html"), "status 401"),
    "{}": (http("{}"), "{}"),
    "{} with 202": (http("{}", "202 Accepted"), "{}"),
    "{} with 500": (http("{}", "500 X"), "status 500"),
    "[]": (http("[]", "404 X"), "[]"),
    "null": (http("null", "500 X"), "null"),
    "text": (http("It works!", kind="text/plain"), "It works!"),
    "nothing": (http(""), "nothing"),
    "cut JSON": (http('{"v":1,"type":"re'), '"re'),
    "an error that is none": (http('{"type":"error","error":7}', "500 X"), "status 500"),
    "an error of another program": (http('{"error":"no such route"}', "404 X"), "no such route"),
    "a reply without output": (http('{"v":1,"type":"reply","outcome":"replied"}'), "reply"),
    "a reply that says it failed": (http('{"v":1,"type":"reply","outcome":"crashed"}'), "crashed"),
    "deep JSON": (http(DEEP), "[["),
    "JSON that is no UTF-8": (http(b'{"a":"\xff"}'), "xff"),
    "JSON that is no UTF-8 with 500": (http(b'{"a":"\xff"}', "500 X"), "status 500"),
    "gzip": (http(zlib.compress(b"{}"), content_encoding="deflate"), "status 200"),
    "another protocol": (b"SSH-2.0-OpenSSH_9.6\r\n", "before it answered"),
    "another protocol with lines": (b"220 mail ESMTP\r\n\r\n", "does not speak HTTP"),
    "TLS": (b"\x15\x03\x01\x00\x02\x02\x46", ""),
    "nothing at all": (b"", "before it answered"),
    "a cut head": (b"HTTP/1.1 200 OK\r\ncontent-le", "before it answered"),
    "a cut body": (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", "before it answered"),
    "a cut chunk": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{}", "before it"),
    "a chunk below 0": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-5\r\n{}", "chunk"),
    "a length of letters": (b"HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\n{}", "length"),
    "a length of other digits": (b"HTTP/1.1 200 OK\r\ncontent-length: \xb2\r\n\r\n{}", "length"),
    "a length below 0": (b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n{}", "length"),
    "a huge length": (b"HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n{}", "more"),
    "a length of 5000 digits": (
        b"HTTP/1.1 200 OK\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\n{}", "length",
    ),
    "a status of other digits": (b"HTTP/1.1 2\xb20 OK\r\n\r\n", "does not speak HTTP"),
    "a status of four digits": (b"HTTP/1.1 2000 OK\r\n\r\n", "does not speak HTTP"),
    "HTTP/2": (b"HTTP/2.0 200 OK\r\n\r\n", "does not speak HTTP"),
    "100 for ever": (b"HTTP/1.1 100 Continue\r\n\r\n" * 5000, "again and again"),
    "headers for ever": (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 50_000, "headers do not end"),
}  # fmt: skip

ASKED: dict[str, Callable[[HttpNode], object]] = {
    "call": lambda node: node.call("kv1", b"x"),
    "acall": lambda node: asyncio.run(node.acall("kv1", b"x")),
    "cast": lambda node: node.cast("kv1", b"x"),
    "tree": lambda node: node.tree(),
    "names": lambda node: [node.names(), 1 / 0] if node.names() else None,
    "info": lambda node: node.info(),
    "name": lambda node: node.name,
    "state": lambda node: node.get_state("kv1"),
    "set": lambda node: node.replace_state("kv1", 1),
    "status": lambda node: node.get_status("kv1"),
    "constructors": lambda node: node.constructors("kv1"),
    "statistics": lambda node: node.statistics("kv1"),
    "kill": lambda node: node.kill("kv1"),
    "suspend": lambda node: node.suspend("kv1"),
    "trace": lambda node: node.trace("kv1"),
    "stop": lambda node: node.stop(),
    "start_child": lambda node: node.start_child("root", "kv9"),
    "restart_child": lambda node: node.restart_child("root", "kv1"),
    "delete_child": lambda node: node.delete_child("root", "kv1"),
    "count_children": lambda node: node.count_children("root"),
    "which_children": lambda node: node.which_children("root"),
    "whereis": lambda node: node.whereis("kv1"),
    "follow": lambda node: list(node.follow()),
}


@pytest.mark.parametrize("name", list(STRANGE))
def test_no_question_takes_a_strange_answer(name: str) -> None:
    answer, said = STRANGE[name]
    listed = {"[]": {"names", "which_children", "constructors"}, "null": {"whereis"}}.get(
        name, set()
    )
    with answering(answer) as url:
        for asked, ask in ASKED.items():
            if asked in listed and b" 200 " in answer[:14]:
                continue
            node = HttpNode(address_of(url))
            try:
                with pytest.raises(NoTree) as refused:
                    ask(node)
            finally:
                node.connection.close()
            assert url in str(refused.value) or "the server" in str(refused.value), asked
            assert said in str(refused.value) or asked in ("info", "name"), asked


def test_an_empty_list_is_an_answer_where_a_list_is_asked_for() -> None:
    with answering(http("[]")) as url:
        node = HttpNode(address_of(url))
        assert list(node.names()) == []
        node.connection.close()
        with pytest.raises(NoTree):
            node.tree()
        node.connection.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # left open at exit
@pytest.mark.parametrize("name", list(STRANGE))
def test_the_program_says_so_in_one_line_and_ends_with_5(name: str) -> None:
    with answering(STRANGE[name][0]) as url:
        for words in (["call", "kv1", "x"], ["tree"], ["log", "-f"], ["wait", "kv1"]):
            out, err = io.StringIO(), io.StringIO()
            environ = {"SSM_TOKEN": "t" * 20, "XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"]}
            env = Environment(io.StringIO(), out, err, environ)
            code = app.main([*words, "--url", url], env)
            assert (code, out.getvalue()) == (5, ""), err.getvalue()
            (line,) = err.getvalue().splitlines()
            assert "defect" not in line
            assert line.isprintable()


# -- answers without end ---------------------------------------------------------------------------


class Dripping:
    """A socket of a server that sends a byte whenever it is asked, and lets a second pass."""

    def __init__(self, head: bytes, drip: bytes) -> None:
        self.now_s = 0.0
        self._data = iter(head)
        self._drip = drip
        self.timeout_s: float | None = None

    def monotonic(self) -> float:
        return self.now_s

    def settimeout(self, seconds: float | None) -> None:
        self.timeout_s = seconds

    def sendall(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        pass

    def recv(self, _: int) -> bytes:
        if self.timeout_s is not None and self.timeout_s < 1.0:
            raise TimeoutError
        self.now_s += 1.0
        assert self.now_s < 1000, "it is waited for without end"
        return bytes([byte]) if (byte := next(self._data, None)) is not None else self._drip


@pytest.mark.parametrize(
    ("head", "drip"),
    [
        (b"", b"H"), (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"), (b"HTTP/1.1 200 OK\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n"),
        (b"HTTP/1.1 500 X\r\n\r\n", b"x"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("ask", ["tree", "stop", "call", "follow"])
def test_an_answer_that_does_not_end_ends_in_time(
    monkeypatch: pytest.MonkeyPatch, head: bytes, drip: bytes, ask: str
) -> None:
    sock = Dripping(head, drip)
    monkeypatch.setattr(time, "monotonic", sock.monotonic)
    node = HttpNode(address_of("http://127.0.0.1:1"))
    monkeypatch.setattr(node.connection, "_connected", lambda: sock)
    with pytest.raises((CallTimeout, NoTree)) as refused:
        ASKED[ask](node)
    assert "http://127.0.0.1:1 did not answer" in str(refused.value)


def test_a_stop_is_waited_for_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    sock = Dripping(b"", b"")
    monkeypatch.setattr(time, "monotonic", sock.monotonic)
    limit = connections.Limit(None)
    sock.now_s = 100_000.0
    limit.note(b"", Response())
    assert limit.left_s() is None


# -- records ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"data: {\n\n", b"data: []\n\n", b"data: null\n\n", b"data: \xff\n\n",
        b'data: {"a":"\xff"}\n\n',
        b"data: " + b"[" * 200_000 + b"\n\n",
    ],
    ids=lambda data: data[:12],
)  # fmt: skip
def test_an_event_that_is_no_record_is_no_tree(data: bytes) -> None:
    with pytest.raises(NoTree, match="no record of a tree"):
        EventParser().feed(data)


GOOD = {
    "v": 1, "type": "report", "seq": 1, "at": "1970-01-01T00:00:01Z", "event": "started", "id": "a",
    "path": "a", "kind": "worker",
}  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        *({"remove": key} for key in GOOD if key != "v"), {"seq": "1"}, {"at": "yesterday"},
        {"at": 7}, {"event": None}, {"kind": "x"}, {"type": "reply"}, {"seq": 1.5},
    ],
    ids=str,
)  # fmt: skip
def test_a_report_that_is_none_is_no_tree(wrong: dict[str, Any]) -> None:
    record = {key: value for key, value in GOOD.items() if key != wrong.get("remove")} | wrong
    with pytest.raises(NoTree, match="no record of a tree"):
        report_of(record)
    stream = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: %s\n\n"
    with answering(stream % json.dumps(record).encode()) as url:
        node = HttpNode(address_of(url))
        with pytest.raises(NoTree):
            list(node.follow())
        node.connection.close()


@pytest.mark.parametrize(
    "error",
    [
        None, 7, [], {"type": 7}, {"message": None}, {"expected": 3}, {"expected": [1]},
        {"column": "x"}, {"column": 1e400}, {"type": "a\x00b", "message": "m"}, {"type": "no name"},
        {"reason": {}}, {"term": {"a": []}},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("outcome", ["crashed", "undecodable", "noproc", None, 7, {}])
def test_an_error_record_of_any_form_is_an_error_of_ours(error: object, outcome: object) -> None:
    for kind in ("reply", "error"):
        record = {"type": kind, "outcome": outcome, "error": error}
        with pytest.raises(SsmError):
            raise_reply(record, "kv1")
        with pytest.raises(SsmError):
            raise_error(record, "kv1", 500)


@pytest.mark.parametrize("kind", ["", "a b", "a\x00", "1", "\ud800", "x" * 10])
def test_the_class_of_a_remote_error_has_a_name_that_can_be_one(kind: str) -> None:
    assert type(remote_error(kind, "m")).__name__.isidentifier()


def test_trailers_belong_to_their_response() -> None:
    response = Response()
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    response.feed(head + b"2\r\nhi\r\n0\r\nx: y\r\n\r\nHTTP/1.1 404")
    assert (bytes(response.body), response.complete, response.rest) == (
        b"hi",
        True,
        b"HTTP/1.1 404",
    )


@pytest.mark.parametrize(
    "url",
    [f"http://{'a' * 64}.example", "http://a..b", "http://.a", "http://ä", "http://a b", "http://"],
)
def test_a_host_that_cannot_be_one_is_refused_before_it_is_looked_up(url: str) -> None:
    err = io.StringIO()
    assert app.main(["tree", "--url", url], Environment(io.StringIO(), io.StringIO(), err, {})) == 2
    assert "is no URL of a tree" in err.getvalue()


def test_a_connection_is_refused_in_a_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    node = HttpNode(address_of(f"http://127.0.0.1:{port}"))
    with pytest.raises(NoTree, match="Connection refused"):
        node.tree()
