"""Another user of the computer (uid 65534) tries the doors and the files of a tree that runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http.test_program import Shell, shell
from tests.ports import free_ports

__all__ = ["shell"]
NOBODY = 65_534
pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can try what others can")
AS_NOBODY = f"""
import encodings.idna, errno, os, socket, sys
os.setgroups([])
os.setgid({NOBODY})
os.setuid({NOBODY})
"""
CONNECTS = """
for path in sys.argv[1:]:
    try:
        socket.socket(socket.AF_UNIX).connect(path)
        print("connected to", path)
    except OSError as error:
        print(errno.errorcode[error.errno])
"""
OPENS = """
for path in sys.argv[1:]:
    for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_CREAT):
        try:
            os.open(path, flags)
            print("opened", path)
        except OSError as error:
            print(errno.errorcode[error.errno])
"""
ASKS = """
for token in sys.argv[2:]:
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10) as sock:
        sock.sendall(b"POST /v1/stop HTTP/1.1\\r\\nhost: localhost\\r\\nconnection: close\\r\\n"
                     + token.encode() + b"content-length: 0\\r\\n\\r\\n")
        print(sock.makefile("rb").readline().split()[1].decode())
"""
REPLACES = """
for path in sys.argv[1:]:
    for act in (os.unlink, lambda path: os.rename(path, path + ".old"),
                lambda path: os.symlink("/etc/passwd", path + ".new"),
                lambda path: os.chmod(path, 0o777)):
        try:
            act(path)
            print("did it to", path)
        except OSError as error:
            print(errno.errorcode[error.errno])
"""


def as_nobody(script: str, *arguments: str) -> list[str]:
    """What a script says, run by another user; it is started first, so that it can be."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", AS_NOBODY + script, *arguments],
        capture_output=True, text=True, check=True, cwd="/", timeout=60,
    )  # fmt: skip
    return done.stdout.split()


@pytest.fixture
def port(shell: Shell, tmp_path: Path) -> Iterator[int]:
    """The port of a tree that runs, its folders open to all but for the files' own modes."""
    [port] = free_ports(1)
    at = ("--http", f"127.0.0.1:{port}")
    shell.run("run", "trees/kv.yaml", "--headless", "--detach", *at)
    shell.run("login", "kv.example", given="t" * 20)
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    yield port
    shell.run("stop", "kv")


def opened_up(shell: Shell, tmp_path: Path) -> list[Path]:
    """Let everybody enter the folders of a user; what is in them."""
    tops = (shell.socket.parents[1], tmp_path / "state", tmp_path / "config")
    for top in tops:
        for folder in (top, *filter(Path.is_dir, top.rglob("*"))):
            folder.chmod(0o755)
    return [path for top in tops for path in top.rglob("*") if not path.is_dir()]


@pytest.mark.usefixtures("port")
def test_the_socket_lets_nobody_in(shell: Shell, tmp_path: Path) -> None:
    assert as_nobody(CONNECTS, str(shell.socket)) == ["EACCES"]
    opened_up(shell, tmp_path)
    assert as_nobody(CONNECTS, str(shell.socket)) == ["EACCES"]
    assert shell.run("call", "kv1", "Store x 1") == "Ok\n"


@pytest.mark.usefixtures("port")
def test_no_file_of_a_user_can_be_opened_replaced_or_linked(shell: Shell, tmp_path: Path) -> None:
    files = opened_up(shell, tmp_path)
    assert {"tokens", "logins", "kv.log", "kv.sock", ".lock"} <= {path.name for path in files}
    names = [str(path) for path in files]
    for said in (as_nobody(OPENS, *names), as_nobody(REPLACES, *names)):
        assert set(said) <= {"EACCES", "EPERM", "ENXIO"}, said
        assert len(said) >= 3 * len(names)


def test_the_port_asks_for_a_token_of_whoever_comes(shell: Shell, port: int) -> None:
    guesses = ["", "Authorization: Bearer x\r\n", f"Authorization: Bearer {'t' * 20}\r\n"]
    assert as_nobody(ASKS, str(port), *guesses) == ["401"] * 3
    assert shell.run("call", "kv1", "Store x 1") == "Ok\n"


@pytest.mark.usefixtures("port")
def test_the_environment_of_the_process_is_its_users(shell: Shell) -> None:
    assert set(as_nobody(OPENS, f"/proc/{shell.pid()}/environ")) <= {"EACCES", "EPERM"}
