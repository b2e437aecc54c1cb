"""Who may come in on TCP: tokens, roles, Host, Origin; and the file that has the tokens."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from ssm_cli.commands.routes import Role
from ssm_cli.errors import CommandError
from ssm_cli.http.access import (
    Gate,
    client_token,
    host_of,
    make_tokens,
    read_tokens,
    server_tokens,
)
from ssm_cli.http.routes import ROUTES
from tests.http.serving import serve

TOKENS = {"reader" * 4: Role.READ, "caller" * 4: Role.CALL, "admin" * 4: Role.ADMIN}
READER, CALLER, ADMIN = TOKENS


def bearer(token: str, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}", **more}


@pytest.mark.parametrize(
    ("method", "target", "token", "status"),
    [
        ("GET", "/v1/tree", READER, 200),
        ("GET", "/v1/tree", "wrong" * 5, 401),
        ("GET", "/v1/nowhere", "wrong" * 5, 401),
        ("GET", "/metrics", READER, 200),
        ("POST", "/v1/workers/kv1/call", READER, 403),
        ("POST", "/v1/workers/kv1/call", "", 401),
        ("POST", "/v1/workers/kv1/call", CALLER, 200),
        ("POST", "/v1/nodes/kv1/kill", CALLER, 403),
        ("POST", "/v1/nodes/kv1/kill", ADMIN, 200),
        ("POST", "/v1/nodes/kv1/restart", CALLER, 403),
        ("POST", "/v1/nodes/kv1/restart", ADMIN, 200),
        ("GET", "/health/live", "", 200),
    ],
)
def test_a_token_may_do_what_its_role_may(
    method: str, target: str, token: str, status: int
) -> None:
    async def main() -> None:
        async with serve(gate=Gate(TOKENS)) as served:
            body = "Store x 1" if target.endswith("call") else ""
            got, record, headers = await served.ask(method, target, body, bearer(token))
            assert got == status
            if status in (401, 403) and target.endswith("call"):
                assert record["outcome"] == "denied"
            assert ("www-authenticate" in headers) == (status == 401)

    asyncio.run(main())


def test_every_route_but_health_needs_a_token() -> None:
    async def main() -> None:
        async with serve(gate=Gate(TOKENS)) as served:
            for route in ROUTES:
                path = route.path.replace("{name}", "kv1").replace("{child}", "kv1")
                status, _, _ = await served.ask(route.method, path)
                assert (status == 401) == (route.role is not Role.NOBODY), route.path

    asyncio.run(main())


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "kv:80:90"])
def test_a_foreign_host_is_refused_whatever_the_token(host: str) -> None:
    async def main() -> None:
        async with serve(gate=Gate(TOKENS)) as served:
            status, record, _ = await served.ask(
                "GET", "/v1/tree", headers=bearer(ADMIN), host=host
            )
            assert status == 403
            assert "not called" in record["error"]["message"]
            assert (
                f"`--allow-host {host.removesuffix(':90') or 'HOST'}`" in record["error"]["message"]
            )

    asyncio.run(main())


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://evil.example", 403), ("null", 403), ("http://localhost:80", 200)],
)
def test_a_page_of_another_origin_is_refused(origin: str, status: int) -> None:
    async def main() -> None:
        async with serve(gate=Gate(TOKENS)) as served:
            headers = bearer(ADMIN, origin=origin)
            got, _, _ = await served.ask("GET", "/v1/tree", headers=headers, host="localhost:80")
            assert got == status

    asyncio.run(main())


def test_hosts_are_compared_without_port_and_case() -> None:
    assert host_of(b"LOCALHOST:8080") == b"localhost"
    assert host_of(b"[::1]:8080") == b"[::1]"


def test_the_file_of_tokens_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    environ = {"SSM_TOKEN_FILE": str(tmp_path / "ssm" / "tokens")}
    tokens = server_tokens(environ)
    path = Path(environ["SSM_TOKEN_FILE"])
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(tokens.values()) == [Role.READ, Role.CALL, Role.APPLY, Role.ADMIN]
    assert server_tokens(environ) == tokens
    token = client_token(environ)
    assert token is not None
    assert tokens[token] is Role.ADMIN


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    make_tokens(path)
    path.chmod(0o644)
    with pytest.raises(CommandError, match="chmod 600"):
        read_tokens(path)


@pytest.mark.parametrize("text", ["", "admin", "boss aaaaaaaaaaaaaaaaaaaa", "admin short"])
def test_a_file_that_is_not_understood_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokens"
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(CommandError, match="expected"):
        read_tokens(path)


def test_the_variable_stands_for_the_file() -> None:
    assert server_tokens({"SSM_TOKEN": "t" * 20}) == {"t" * 20: Role.ADMIN}
    assert client_token({"SSM_TOKEN": "t" * 20}) == "t" * 20
    assert client_token({"SSM_TOKEN_FILE": os.devnull + "-none"}) is None
