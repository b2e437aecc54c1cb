"""HTTP as bytes: responses in any pieces, and what is no HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssm_cli import StateMachine, Supervisor, Worker, errors
from ssm_cli.commands.values import child_spec_of
from ssm_cli.errors import NoTree
from ssm_cli.http.client.connection import Address, address_of
from ssm_cli.http.client.failures import raise_error, raise_reply, record_of
from ssm_cli.http.client.specs import text_of_spec
from ssm_cli.http.client.wire import EventParser, Response, request_bytes
from ssm_cli.machines.kv import kv_store
from ssm_cli.spec.importing import load_file
from ssm_cli.spec.model import RemoteSpec, SupervisorSpec, WorkerSpec

WITH_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n"
)
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\n" + WITH_LENGTH


@given(st.sampled_from([WITH_LENGTH, CHUNKED, CONTINUED]), st.lists(st.integers(1, 9)))
def test_a_response_is_the_same_in_any_pieces(data: bytes, sizes: list[int]) -> None:
    response = Response()
    for size in [*sizes, len(data)]:
        part, data = data[:size], data[size:]
        response.feed(part)
    assert (response.status, bytes(response.body), response.complete) == (200, b"hello", True)
    assert response.rest == b""


def test_what_follows_a_response_is_kept() -> None:
    response = Response()
    response.feed(WITH_LENGTH + b"HTTP/1.1 404")
    assert response.rest == b"HTTP/1.1 404"


def test_a_response_without_length_ends_with_the_connection() -> None:
    response = Response()
    response.feed(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhel")
    response.feed(b"lo")
    assert not response.complete
    response.end()
    assert (bytes(response.body), response.complete, response.closes) == (b"hello", True, True)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"x" * 100_000,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1" * 2000,
    ],
)
def test_what_is_no_http_is_no_tree(data: bytes) -> None:
    with pytest.raises(NoTree, match="does not speak HTTP"):
        Response().feed(data)


def test_a_header_cannot_smuggle_another() -> None:
    with pytest.raises(NoTree, match="characters"):
        request_bytes("GET", "/", "h", b"", {"idempotency-key": "a\r\nhost: evil"})


@given(st.lists(st.integers(1, 30)))
def test_events_are_the_same_in_any_pieces(sizes: list[int]) -> None:
    data = b': follow\n\nid: 1\ndata: {"seq":1}\n\n: ping\n\nid: 2\nevent: x\ndata: {"seq":2}\n\n'
    parser, found = EventParser(), []
    for size in [*sizes, len(data)]:
        part, data = data[:size], data[size:]
        found += parser.feed(part)
    assert found == [{"seq": 1}, {"seq": 2}]


def test_an_event_has_a_bound() -> None:
    with pytest.raises(NoTree, match="larger than"):
        EventParser().feed(b"x" * 2_000_000)


def test_an_address_shows_what_the_host_header_says() -> None:
    assert address_of("https://kv.example").host_header == "kv.example"
    assert address_of("http://[::1]:8080/ssm/").shown == "http://[::1]:8080/ssm"
    assert Address(path="/run/kv.sock").shown == "/run/kv.sock"


@pytest.mark.parametrize(
    "odd", [" ", "\t", "\n", "\r\n", "\x00", "\x1b", "\x7f", "\x85", "é", "\u2028"]
)
@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/a{}b", "{}http://a/b", "http://a/b{}", "http://a{}b/"]
)
def test_a_url_with_blanks_controls_or_other_letters_is_refused(url: str, odd: str) -> None:
    with pytest.raises(errors.CommandError, match="is no URL of a tree") as refused:
        address_of(url.format(odd))
    assert "%XX" in str(refused.value)


def test_a_path_in_a_url_is_sent_as_it_is_quoted() -> None:
    assert address_of("http://127.0.0.1:1/a%20b%C3%A9/~c").prefix == "/a%20b%C3%A9/~c"


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        ("noproc", errors.NoProc),
        ("timeout", errors.CallTimeout),
        ("queue_full", errors.QueueFull),
        ("stopped", errors.CalleeStopped),
        ("denied", errors.Denied),
        ("undecodable", errors.DecodeError),
        ("crashed", errors.CalleeCrashed),
        ("something new", errors.CallError),
    ],
)
def test_a_failure_is_the_error_that_it_was(outcome: str, kind: type[errors.CallError]) -> None:
    error = {"type": "KeyError", "message": "why", "reason": "crash"}
    with pytest.raises(kind) as caught:
        raise_reply({"type": "reply", "outcome": outcome, "error": error}, "kv1")
    assert caught.value.worker == "kv1"
    if isinstance(caught.value, errors.CalleeCrashed):
        assert type(caught.value.error).__name__ == "KeyError"
        assert str(caught.value.error) == "why"


def test_a_refusal_keeps_its_term() -> None:
    error = {"type": "SupervisorError", "message": "m", "term": {"a": "b"}}
    with pytest.raises(errors.SupervisorError) as caught:
        raise_error({"error": error}, "root", 409)
    assert caught.value.term == {"a": "b"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, errors.Denied), (403, errors.Denied), (503, errors.QueueFull), (500, errors.SsmError)],
)
def test_other_failures_go_by_their_status(status: int, kind: type[errors.SsmError]) -> None:
    with pytest.raises(kind):
        raise_error({"error": {"type": "HttpError", "message": "m"}}, "kv1", status)


def test_an_answer_that_is_no_record_is_no_tree() -> None:
    with pytest.raises(NoTree, match="is the URL right"):
        record_of(b"<html>")


def test_a_spec_goes_and_comes_back() -> None:
    worker = Worker(
        "kv9", kv_store, args={"a": 1}, restart="transient", shutdown="brutal_kill", label="nine"
    )
    spec = Supervisor("sup", "rest_for_one", [worker], intensity=2, period=7)
    assert child_spec_of(text_of_spec(spec)) == spec


@pytest.mark.parametrize(
    "written",
    [
        (
            "{worker: kv9, start: ssm_cli.machines.kv:kv_store, restart: temporary,"
            " shutdown: infinity, significant: true, step_timeout: infinity, init_timeout: 9,"
            " persist: snapshot, on_crash: saved, save_inputs: 3, save_seconds: 4,"
            " quarantine: never, codec: json, on_unrecoverable: init, label: nine, args: {a: 1},"
            " backoff: {initial: 1, factor: 3, max: 9, jitter: 0.5}}"
        ),
        (
            "{remote: far, tree: there.yaml, place: {zone: b}, lease: 3, takeover: lease,"
            " orphan: stop, restart: transient, shutdown: 7, significant: true, backoff: {}}"
        ),
        (
            "{supervisor: pool, strategy: simple_one_for_one, intensity: 9, period: 8,"
            " auto_shutdown: any_significant, max_children: 4, restart: temporary, shutdown: 5,"
            " significant: true, children: [{worker: one, start: ssm_cli.machines.kv:kv_store}]}"
        ),
    ],
)
def test_every_setting_of_a_spec_goes_and_comes_back(written: str) -> None:
    spec = child_spec_of(written)
    assert isinstance(spec, WorkerSpec | RemoteSpec | SupervisorSpec)
    assert child_spec_of(text_of_spec(spec)) == spec


def test_a_spec_of_a_file_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "bank.py"
    file.write_text("from ssm_cli import GenServer\n\nclass Bank(GenServer):\n    pass\n")
    spec = Worker("bank", load_file(file).Bank)
    assert f'"start":"{file}:Bank"' in text_of_spec(spec)
    assert child_spec_of(text_of_spec(spec)) == spec


def test_a_spec_that_nobody_could_import_is_refused() -> None:
    step = StateMachine(step=lambda message, state: (state, message))
    with pytest.raises(errors.CommandError, match="import"):
        text_of_spec(Worker("kv9", step))
    with pytest.raises(errors.SupervisorError, match="is an object; expected a StateMachine"):
        text_of_spec(Worker("kv9", object()))  # type: ignore[arg-type]  # that is what is wrong
