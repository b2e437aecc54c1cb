"""Tokens: what is one, whom a client sends it to, and the files that hold them."""

from __future__ import annotations

import io
import os
import socket
import stat
from pathlib import Path

import pytest

from ssm_cli.cli import app
from ssm_cli.cli.environment import Environment
from ssm_cli.commands.routes import Role
from ssm_cli.errors import CommandError
from ssm_cli.http.access import (
    MAX_TOKEN,
    MIN_TOKEN,
    Gate,
    client_token,
    is_own,
    make_tokens,
    read_tokens,
    server_tokens,
)
from ssm_cli.http.client.connection import address_of
from ssm_cli.http.client.logins import host_to_log_in, logins_path, store_login, token_for
from tests.http.test_strange_answers import answering

GOOD = "good-token" * 3
OTHER = "other-token" * 3
HUSHED = "hush"
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to another user")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Variables with a token file of three tokens."""
    found = {"SSM_TOKEN_FILE": str(tmp_path / "ssm" / "tokens")}
    server_tokens(found)
    return found


WRONG = [
    "", " ", "\n", f"{GOOD}\n", f"{GOOD}\r\n", f" {GOOD}", f"{GOOD} ", f"{GOOD} {OTHER}",
    f"{GOOD}\t{OTHER}", f"{GOOD}\n{OTHER}", f"{GOOD}\x00", f"{GOOD}\x7f", f"{GOOD}\x1b[m",
    f"{GOOD}ä", f"{GOOD}\u2028", f"{GOOD}\udcff", "x" * (MIN_TOKEN - 1), "x" * (MAX_TOKEN + 1),
    "x" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("token", WRONG, ids=ascii)
def test_a_variable_that_is_no_token_is_refused_and_not_repeated(token: str) -> None:
    for ask in (server_tokens, client_token):
        with pytest.raises(CommandError, match=r"\$SSM_TOKEN .*; expected") as refused:
            ask({"SSM_TOKEN": token})
        assert "good-token" not in str(refused.value)
        assert "xxx" not in str(refused.value)


@pytest.mark.parametrize("token", ["x" * MIN_TOKEN, "x" * MAX_TOKEN, "a-._~+/=:!b" * 3])
def test_a_variable_that_is_a_token_is_taken(token: str) -> None:
    assert server_tokens({"SSM_TOKEN": token}) == {token: Role.ADMIN}


@pytest.mark.parametrize(
    "text",
    [
        "", "# nothing\n", "admin", f"boss {GOOD}", f"admin {GOOD} more", "admin short",
        f"admin {GOOD}\nread {GOOD}", f"admin {GOOD}ä", f"admin {GOOD}\x00", f"admin\t{GOOD}",
        f"admin {GOOD}\x0bread {OTHER}", "admin " + "x" * (MAX_TOKEN + 1), "x" * 100_000,
        "".join(f"read {GOOD}{n:03}\n" for n in range(101)),
    ],
    ids=lambda text: ascii(text[:30]),
)  # fmt: skip
def test_a_token_file_that_is_not_understood_is_refused_without_its_content(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "tokens"
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(CommandError, match=str(path)) as refused:
        read_tokens(path)
    assert "good-token" not in str(refused.value)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620, 0o601, 0o666, 0o644])
def test_a_token_file_that_others_may_open_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "tokens"
    make_tokens(path)
    path.chmod(mode)
    with pytest.raises(CommandError, match="chmod 600"):
        read_tokens(path)


@as_root
def test_a_token_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    make_tokens(path)
    os.chown(path, 65_534, 65_534)
    with pytest.raises(CommandError, match="belongs to somebody else"):
        read_tokens(path)


def test_a_token_file_that_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir(0o700)
    for name in ("pipe", "folder", "none"):
        with pytest.raises(CommandError, match=name):
            read_tokens(tmp_path / name)


@pytest.mark.parametrize("umask", [0, 0o777])
def test_token_files_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        make_tokens(tmp_path / "tokens")
        store_login(tmp_path / "logins", "kv.example", GOOD)
    finally:
        os.umask(before)
    for name in ("tokens", "logins"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logins", "tokens"]


def test_tokens_that_another_process_has_just_made_are_kept(tmp_path: Path) -> None:
    make_tokens(tmp_path / "tokens")
    first = read_tokens(tmp_path / "tokens")
    make_tokens(tmp_path / "tokens")
    assert read_tokens(tmp_path / "tokens") == first


# -- whom a client sends a token to ----------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "http://localhost", "https://localhost:1", "http://[::1]:80"]
)
def test_a_token_of_the_file_is_sent_to_loopback(environ: dict[str, str], url: str) -> None:
    token = token_for(address_of(url), environ)
    assert token is not None
    assert read_tokens(Path(environ["SSM_TOKEN_FILE"]))[token] is Role.ADMIN


@pytest.mark.parametrize(
    "url",
    [
        "http://kv.example", "https://kv.example", "https://10.0.0.1", "http://0.0.0.0:80",
        "http://127.0.0.1.evil.example", "http://localhost.evil.example", "http://[fe80::1]",
        "https://192.168.0.1:8443", "http://2130706433", "http://127.1", "http://localhost.",
    ],
)  # fmt: skip
def test_a_token_of_the_file_is_sent_nowhere_else(environ: dict[str, str], url: str) -> None:
    assert token_for(address_of(url), environ) is None


def test_a_login_is_for_its_host_over_tls(environ: dict[str, str]) -> None:
    path = logins_path(environ)
    store_login(path, "kv.example", GOOD)
    store_login(path, "db.example:8443", OTHER)
    assert token_for(address_of("https://kv.example:99"), environ) == GOOD
    assert token_for(address_of("https://KV.Example"), environ) == GOOD
    assert token_for(address_of("https://db.example:8443"), environ) == OTHER
    for other in ("https://db.example", "https://a.kv.example", "https://kv.example.org"):
        assert token_for(address_of(other), environ) is None
    for plain in ("http://kv.example", "http://db.example:8443"):
        with pytest.raises(CommandError, match="plain HTTP") as refused:
            token_for(address_of(plain), environ)
        assert GOOD not in str(refused.value)


def test_a_login_for_loopback_stands_before_the_own_tokens(environ: dict[str, str]) -> None:
    store_login(logins_path(environ), "localhost:9000", GOOD)
    assert token_for(address_of("http://localhost:9000"), environ) == GOOD
    assert token_for(address_of("http://localhost:9001"), environ) != GOOD


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "https://localhost", "http://[::1]:80"])
def test_the_variable_is_sent_to_loopback_before_all_others(
    environ: dict[str, str], url: str
) -> None:
    store_login(logins_path(environ), "localhost", OTHER)
    assert token_for(address_of(url), environ | {"SSM_TOKEN": GOOD}) == GOOD


def test_the_variable_is_sent_to_the_host_of_the_url_beside_it(environ: dict[str, str]) -> None:
    environ |= {"SSM_TOKEN": GOOD, "SSM_URL": "https://kv.example:8443/below"}
    for url in ("https://kv.example:8443", "https://KV.example:8443/other"):
        assert token_for(address_of(url), environ) == GOOD
    store_login(logins_path(environ), "kv.example", OTHER)
    assert token_for(address_of("https://kv.example:8443"), environ) == GOOD
    assert token_for(address_of("https://kv.example"), environ) == OTHER


ELSEWHERE = [
    "https://kv.example", "https://10.0.0.1", "https://127.0.0.1.evil.example", "https://127.1",
    "https://localhost.evil.example", "https://db.example", "https://db.example:8444",
    "https://a.db.example:8443", "https://2130706433", "https://0.0.0.0:80",
]  # fmt: skip


@pytest.mark.parametrize("url", ELSEWHERE)
@pytest.mark.parametrize("named", ["", "https://db.example:8443", "unix:/run/kv.sock"])
def test_the_variable_is_sent_nowhere_else_and_the_error_says_what_to_do(
    environ: dict[str, str], url: str, named: str
) -> None:
    environ |= {"SSM_TOKEN": GOOD, "SSM_URL": named}
    with pytest.raises(CommandError, match=r"\$SSM_TOKEN is not sent to .*`ssm login") as refused:
        token_for(address_of(url), environ)
    assert f"set SSM_URL={url}" in str(refused.value)
    assert GOOD not in str(refused.value)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("url", ["http" + url.removeprefix("https") for url in ELSEWHERE])
def test_the_variable_is_not_sent_over_plain_http_even_to_the_host_it_is_for(
    environ: dict[str, str], url: str, named: bool
) -> None:
    with pytest.raises(CommandError, match=r"plain HTTP.* use https://, or a tunnel") as refused:
        token_for(address_of(url), environ | {"SSM_TOKEN": GOOD, "SSM_URL": url if named else ""})
    assert GOOD not in str(refused.value)


@pytest.mark.parametrize("status", ["301", "302", "303", "307", "308"])
def test_nobody_is_followed_with_a_token(status: str) -> None:
    """Whoever answers at a URL may name another computer; it is asked nothing."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        to = f"http://127.0.0.1:{other.getsockname()[1]}/v1/tree"
        head = f"HTTP/1.1 {status} On\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"
        with answering(head.encode()) as url:
            code, out, err = run({"SSM_TOKEN": GOOD}, "tree", "--url", url)
        assert (code, "Nobody is followed" in err, GOOD in out + err) == (5, True, False)
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()


@pytest.mark.parametrize("url", [f"https://h/?token={GOOD}", f"http://h/#{GOOD}", f"h?{GOOD}"])
def test_what_a_url_has_behind_its_path_is_refused_and_not_repeated(url: str) -> None:
    for environ, words in (({}, ["tree", "--url", url]), ({"SSM_URL": url}, ["tree"])):
        code, out, err = run(dict(environ), *words)
        assert (code, "is no URL of a tree" in err) == (2, True)
        assert GOOD not in out + err


def test_a_socket_needs_no_token_and_reads_no_file(environ: dict[str, str]) -> None:
    Path(environ["SSM_TOKEN_FILE"]).chmod(0o644)
    assert token_for(address_of("unix:/run/kv.sock"), environ) is None


@pytest.mark.parametrize("host", ["http://kv.example", "", "a b", "user:pw@h", "ä.example", "h?x"])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(CommandError) as refused:
        host_to_log_in(host)
    assert "pw" not in str(refused.value)


def run(environ: dict[str, str], *words: str, stdin: str = "") -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    code = app.main(words, Environment(io.StringIO(stdin), out, err, environ))
    return code, out.getvalue(), err.getvalue()


def test_login_reads_a_token_from_a_pipe_and_keeps_it(environ: dict[str, str]) -> None:
    code, out, _ = run(environ, "login", "kv.example", stdin=f"{GOOD}\n")
    assert code == 0
    assert out == f"the token for kv.example is kept in {logins_path(environ)}\n"
    assert run(environ, "login", "kv.example", stdin=OTHER)[0] == 0
    assert token_for(address_of("https://kv.example"), environ) == OTHER
    assert run(environ, "login", "kv.example", "--remove")[0] == 0
    assert token_for(address_of("https://kv.example"), environ) is None
    code, _, err = run(environ, "login", "kv.example", "--remove")
    assert (code, "no token is kept" in err) == (2, True)


@pytest.mark.parametrize("token", [w for w in WRONG if "\n" not in w and "\r" not in w], ids=ascii)
def test_login_refuses_what_is_no_token_and_does_not_repeat_it(
    environ: dict[str, str], token: str
) -> None:
    code, out, err = run(environ, "login", "kv.example", stdin=token)
    assert (code, out) == (2, "")
    assert "good-token" not in err
    assert not logins_path(environ).exists()


@pytest.mark.parametrize(
    "url", [f"http://ann:{HUSHED}@h", f"https://{HUSHED}@h", f"http://x@[{HUSHED}"]
)
def test_a_password_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    code, out, err = run({}, "tree", "--url", url)
    assert code == 2
    assert HUSHED not in out + err


# -- names of this computer ------------------------------------------------------------------------


def test_the_literals_of_own_addresses_are_accepted_as_host() -> None:
    gate = Gate({GOOD: Role.READ}, ("kv.example",))
    token = f"Bearer {GOOD}".encode()
    for host in (b"127.0.0.1:80", b"127.0.0.2", b"kv.example:1"):
        gate.check({b"host": host, b"authorization": token}, Role.READ)


@pytest.mark.parametrize(
    "name",
    [
        b"192.0.2.1", b"[2001:db8::1]", b"0.0.0.0", b"[::]", b"224.0.0.1", b"255.255.255.255",
        b"::1", b"[127.0.0.1]", b"127.1", b"localhost", b"", b"[", b"[::1", b"\xff", b"1.2.3.4\x00",
    ],
)  # fmt: skip
def test_what_is_no_literal_of_an_own_address_is_not(name: bytes) -> None:
    assert not is_own(name)


def test_the_address_that_this_computer_has_is_its_own() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this computer has no address besides loopback")
        assert is_own(probe.getsockname()[0].encode())
