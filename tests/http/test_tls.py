"""TLS of a listener: keys with a password, files that do not fit, and renewal at SIGHUP."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from ssm_cli.cluster.jetstream.wire import Access, secure
from ssm_cli.cluster.ports import ClusterError
from ssm_cli.errors import CommandError
from ssm_cli.http.tls import ServerTls
from tests.http.certificates import make, needs_openssl
from tests.http.test_program import Shell, shell
from tests.ports import free_ports

__all__ = ["shell"]
pytestmark = needs_openssl
PASSWORD = "hunter2"  # noqa: S105 - of a key that lives as long as a test


def secret(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "password"
    path.touch(mode)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_key_with_a_password_needs_it(tmp_path: Path) -> None:
    cert, key = make(tmp_path, "a", PASSWORD)
    assert ServerTls(cert, key, secret(tmp_path, f"{PASSWORD}\n")).context is not None
    with pytest.raises(CommandError, match=f"{key} is encrypted"):
        ServerTls(cert, key)


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("wrong", 0o600, "password of the key is wrong"), ("", 0o600, "one line"),
        (f"{PASSWORD}\nmore\n", 0o600, "one line"), (PASSWORD, 0o644, "chmod 600"),
    ],
)  # fmt: skip
def test_a_password_file_that_is_wrong_is_refused_and_not_repeated(
    tmp_path: Path, text: str, mode: int, said: str
) -> None:
    cert, key = make(tmp_path, "a", PASSWORD)
    with pytest.raises(CommandError, match=said) as refused:
        ServerTls(cert, key, secret(tmp_path, text, mode))
    assert PASSWORD not in str(refused.value)


def test_files_that_do_not_fit_are_told_apart(tmp_path: Path) -> None:
    cert, key = make(tmp_path, "a")
    _, other = make(tmp_path, "b")
    junk = tmp_path / "junk"
    junk.write_text("junk")
    os.mkfifo(tmp_path / "pipe")
    for pair, said in [
        ((cert, other), "not that of the certificate"),
        ((junk, key), "in PEM"),
        ((cert, junk), "in PEM"),
        ((cert, tmp_path / "none"), "none: No such file"),
        ((tmp_path, key), "is no file"),
        ((cert, tmp_path / "pipe"), "is no file"),
    ]:
        with pytest.raises(CommandError, match=said):
            ServerTls(*pair)


def test_the_client_of_a_cluster_asks_nobody_for_a_password(tmp_path: Path) -> None:
    cert, key = make(tmp_path, "a", PASSWORD)
    access = Access("tls://h", cert=str(cert), key=str(key))
    with pytest.raises(ClusterError, match="is encrypted"):
        secure(access)
    assert secure(Access("tls://h", cert=str(cert), key=str(key), key_password=PASSWORD))


def test_a_renewal_that_fails_leaves_what_is_in_use(tmp_path: Path) -> None:
    cert, key = make(tmp_path, "a")
    tls = ServerTls(cert, key)
    shutil.copy(make(tmp_path, "b")[0], cert)  # the new certificate is there, its key is not yet
    with pytest.raises(CommandError, match="not that of the certificate"):
        tls.reload()
    assert shown(lambda: tls.context) != pem(cert)
    shutil.copy(tmp_path / "b.key", key)
    tls.reload()
    assert shown(lambda: tls.context) == pem(cert)


def pem(path: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(path.read_text())


def shown(context: Callable[[], ssl.SSLContext]) -> bytes:
    """The certificate that a client of a context gets, without a connection."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(back, there)
    two = context().wrap_bio(there, back, server_side=True)
    for _ in range(4):
        for side in (one, two):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    found = one.getpeercert(binary_form=True)
    assert found is not None
    return found


def served(port: int) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), 10) as sock,
        context.wrap_socket(sock) as secured,
    ):
        found = secured.getpeercert(binary_form=True)
    assert found is not None
    return found


def test_a_renewed_certificate_is_served_after_sighup_and_the_tree_goes_on(
    shell: Shell, tmp_path: Path
) -> None:
    cert, key = make(tmp_path, "a")
    [port] = free_ports(1)
    at = ("--http", f"127.0.0.1:{port}", "--tls-cert", str(cert), "--tls-key", str(key))
    shell.run("run", "trees/kv.yaml", "--headless", "--detach", *at)
    shell.run("call", "kv1", "Store x 1")
    first = served(port)
    assert first == pem(cert)
    for name, file in zip(make(tmp_path, "c"), (cert, key), strict=True):
        shutil.copy(name, file)
    os.kill(shell.pid(), signal.SIGHUP)
    assert shell.run("call", "kv1", "Lookup x") == "Result 1\n"  # behind the signal, by the loop
    for _ in range(200):
        if served(port) == pem(cert):
            break
    assert served(port) == pem(cert)
    shell.run("stop", "kv")


def test_the_client_says_what_to_do_where_tls_does_not_fit(shell: Shell, tmp_path: Path) -> None:
    cert, key = make(tmp_path, "a")
    for tls, url, said in (
        (True, "https://localhost", "not trusted: self-signed certificate; SSL_CERT_FILE names"),
        (True, "http://localhost", "does it want https://?"),
        (False, "https://localhost", "it does not speak TLS; is it http://?"),
    ):
        [port] = free_ports(1)
        with_tls = ("--tls-cert", str(cert), "--tls-key", str(key)) if tls else ()
        at = ("--http", f"127.0.0.1:{port}", *with_tls)
        shell.run("run", "trees/kv.yaml", "--headless", "--detach", *at)
        assert said in shell.run("call", "--url", f"{url}:{port}", "kv1", "Lookup x", code=5)
        shell.run("stop", "kv")


def test_a_renewal_that_fails_is_a_line_and_the_tree_goes_on(shell: Shell, tmp_path: Path) -> None:
    cert, key = make(tmp_path, "a", PASSWORD)
    word = secret(tmp_path, f"{PASSWORD}\n")
    [port] = free_ports(1)
    tls = ("--tls-cert", str(cert), "--tls-key", str(key), "--tls-password-file", str(word))
    at = ("--http", f"127.0.0.1:{port}", *tls)
    word.write_text("wrong")
    refused = shell.run("run", "trees/kv.yaml", "--headless", "--detach", *at, code=2)
    assert "password of the key is wrong" in refused
    word.write_text(PASSWORD)
    shell.run("run", "trees/kv.yaml", "--headless", "--detach", *at)
    first = served(port)
    for spoil in (lambda: word.write_text("wrong"), word.unlink, cert.unlink):
        spoil()
        os.kill(shell.pid(), signal.SIGHUP)
        assert shell.run("call", "kv1", "Store x 1") == "Ok\n"
        assert served(port) == first
    shell.run("stop", "kv")
