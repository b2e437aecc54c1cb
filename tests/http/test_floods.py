"""Floods of connections on the real program: the tree outlives them, and works meanwhile."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ssm_cli.http.client.wire import request_bytes
from ssm_cli.http.door import ACCEPTED
from tests.http.limited import BEARER, DEADLINE_S, Program, need_files, running

pytestmark = [
    pytest.mark.skipif(not need_files(2000), reason="needs 2,000 file descriptors"),
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]
HALF = request_bytes("POST", "/v1/workers/kv1/call", "localhost", b"Store x 1", BEARER)[:-3]
RESET = struct.pack("ii", 1, 0)


@contextlib.contextmanager
def opened(program: Program, count: int, *, unix: bool) -> Iterator[list[socket.socket]]:
    """So many connections, as far as they can be had; closed at the end."""
    found: list[socket.socket] = []
    for _ in range(count):
        with contextlib.suppress(ConnectionError, BlockingIOError):
            found.append(program.connect(unix=unix))
    try:
        yield found
    finally:
        for sock in found:
            sock.close()


def works(program: Program, *, unix: bool = True) -> bool:
    """Whether a call is answered; one that is turned away comes again."""
    for _ in range(20):
        try:
            target = "/v1/workers/kv1/call"
            return program.ask("POST", target, b"Lookup x", unix=unix)[0] == 200
        except (ConnectionError, AssertionError):
            continue
    return False


@pytest.mark.parametrize("uvloop", [False, True])
@pytest.mark.parametrize(
    ("files", "count", "unix"),
    [(1024, 1015, False), (256, 260, True), (256, 600, False), (64, 100, True), (64, 100, False)],
)
def test_idle_connections_end_no_tree_and_lock_nobody_out(
    tmp_path: Path, files: int, count: int, unix: bool, uvloop: bool
) -> None:
    with running(tmp_path, files, uvloop=uvloop) as program:
        with opened(program, count, unix=unix):
            assert works(program)
            assert works(program, unix=False)
            assert program.descriptors() <= files - min(64, files // 4) + ACCEPTED
        assert works(program)
        code, said = program.stop()
        assert (code, "failed" in said) == (0, False)


@pytest.mark.parametrize("uvloop", [False, True])
@pytest.mark.parametrize("sent", [b"", b"x", b"GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n"])
@pytest.mark.parametrize("unix", [False, True])
def test_connections_that_are_reset_end_no_tree(
    tmp_path: Path, sent: bytes, unix: bool, uvloop: bool
) -> None:
    with running(tmp_path, 256, uvloop=uvloop) as program:
        for _ in range(500):
            with opened(program, 1, unix=unix) as found:
                for sock in found:
                    with contextlib.suppress(ConnectionError):
                        sock.sendall(sent)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        assert works(program)
        code, said = program.stop()
        assert (code, "failed" in said) == (0, False)


@pytest.mark.parametrize("unix", [False, True])
def test_those_who_are_idle_at_a_door_lock_nobody_out_of_the_other(
    tmp_path: Path, unix: bool
) -> None:
    with running(tmp_path, 64) as program, opened(program, 100, unix=unix) as held:
        for sock in held:  # those that are let in answer; all of them are then
            with contextlib.suppress(OSError):
                sock.sendall(request_bytes("GET", "/health/live", "localhost", b"", BEARER))
                sock.recv(65_536)
        for _ in range(3):
            assert program.ask("POST", "/v1/workers/kv1/call", b"Lookup x", unix=not unix)[0] == 200


@pytest.mark.parametrize("half", [b"", HALF[:30], HALF], ids=["nothing", "headers", "a body"])
@pytest.mark.parametrize("count", [20, 100])
@pytest.mark.parametrize("unix", [False, True])
def test_half_sent_requests_turn_nobody_away_from_either_door(
    tmp_path: Path, half: bytes, count: int, unix: bool
) -> None:
    """Those who come first and wait give way to those who come last and ask."""
    whole = request_bytes("POST", "/v1/workers/kv1/call", "localhost", b"Lookup x", BEARER)
    with running(tmp_path, 64) as program, opened(program, count, unix=unix) as held:
        for sock in held:
            with contextlib.suppress(OSError):
                sock.sendall(half)
        for at in (True, False):
            with opened(program, 16, unix=at) as asking:
                for sock in asking:
                    sock.sendall(whole)
                assert [sock.recv(15) for sock in asking] == [b"HTTP/1.1 200 OK"] * 16


def test_descriptors_that_owners_leave_are_kept_again_and_newcomers_get_others(
    tmp_path: Path,
) -> None:
    """Those who hold what is kept for owners since are not the only ones to give way."""
    whole = request_bytes("POST", "/v1/workers/kv1/call", "localhost", b"Lookup x", BEARER)
    with running(tmp_path, 64) as program:
        with opened(program, 16, unix=True) as owners:
            for sock in owners:
                sock.sendall(whole)
                assert sock.recv(65_536)
            held = [program.connect(unix=False) for _ in range(60)]
            for sock in held:
                with contextlib.suppress(OSError):
                    sock.sendall(HALF)
        with opened(program, 16, unix=False) as asking:
            for sock in asking:
                sock.sendall(whole)
            assert [sock.recv(15) for sock in asking] == [b"HTTP/1.1 200 OK"] * 16
        for sock in held:
            sock.close()


def test_busy_connections_leave_the_unix_socket_to_its_owner(tmp_path: Path) -> None:
    """The last descriptors are not for TCP."""
    with running(tmp_path, 96) as program, opened(program, 120, unix=False) as held:
        for sock in held:
            with contextlib.suppress(ConnectionError):
                sock.sendall(HALF)
        assert works(program)
        assert program.ask("POST", "/v1/stop")[0] == 200
        assert program.process.wait(timeout=DEADLINE_S) == 0
