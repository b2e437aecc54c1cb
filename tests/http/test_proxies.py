"""A tree behind real proxies, asked by real clients; skipped where a program is not there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ssm_cli.http.client.wire import EventParser, Response
from ssm_cli.http.parsing import Limits
from tests.http.certificates import make, needs_openssl
from tests.http.limited import TOKEN, running
from tests.http.proxies import PROXIES, WAYS, Way, hang_up, program_of, proxy
from tests.http.serving import DEADLINE_S, answers_from
from tests.http.test_program import Shell

pytestmark = needs_openssl
BOTH = ("direct", "direct-tls")
CALL, CAST = "/v1/workers/kv1/call", "/v1/workers/kv1/cast"
LARGE = b'Store m "' + b"x" * (2 << 20) + b'"'
UPGRADE = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c",
           "http2_settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"}  # fmt: skip


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Way]]:
    """All ways to two trees, through the proxies that are there, up for all tests."""
    folder = tmp_path_factory.mktemp("proxies")
    cert, key = make(folder, "proxy")
    options = ("--tls-cert", str(cert), "--tls-key", str(key))
    kv = "trees/kv.yaml"
    with contextlib.ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("XDG_RUNTIME_DIR", str(folder))
        one = stack.enter_context(running(folder / "one", 1024, kv, "--no-socket"))
        two = stack.enter_context(running(folder / "two", 1024, kv, "--no-socket", *options))
        found = {
            "direct": Way("direct", f"http://127.0.0.1:{one.port}", cert),
            "direct-tls": Way("direct-tls", f"https://localhost:{two.port}", cert),
        }
        for name in filter(program_of, PROXIES):
            behind = proxy(name, folder, (one.port, two.port), (cert, key))
            found |= stack.enter_context(behind)
        yield found


@pytest.fixture(params=[*BOTH, *WAYS])
def way(request: pytest.FixtureRequest, ways: dict[str, Way]) -> Way:
    if request.param not in ways:
        pytest.skip(f"{request.param.partition('-')[0]} is not installed")
    return ways[request.param]


def ask(way: Way, *requests: bytes) -> list[Any]:
    return [answer[:2] for answer in asyncio.run(way.talk(*requests))]


def state(way: Way) -> Any:
    [(status, record)] = ask(way, way.request("GET", "/v1/workers/kv1/state"))
    assert status == 200
    return record["value"]


def chunked(way: Way, target: str, *parts: bytes) -> bytes:
    head = way.request("POST", target, transfer_encoding="chunked")
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))
    return head.replace(b"content-length: 0\r\n", b"") + body


# -- bodies ----------------------------------------------------------------------------------------


def test_a_body_comes_through_however_it_is_sent(way: Way) -> None:
    found = ask(
        way,
        way.request("POST", CALL, b"Store a 1"),
        way.request("POST", CALL, b'{"type":"Store","key":"b","value":2}',
                    content_type="application/json"),
        chunked(way, CALL, b"Store ", b"c 3"),
        way.request("POST", CALL, b"Store d 4", expect="100-continue"),
        chunked(way, CAST, b"Store e", b" 5"),
    )  # fmt: skip
    assert [status for status, _ in found] == [200, 200, 200, 200, 202]
    expected = {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}
    assert {key: state(way).get(key) for key in expected} == expected


def test_a_cast_that_asks_for_http_2_is_kept_as_javas_client_sends_it(way: Way) -> None:
    for value in range(3):
        cast = way.request("POST", CAST, b"Store java %d" % value, **UPGRADE)
        assert [status for status, _ in ask(way, cast)] == [202]
        assert state(way)["java"] == value


def test_a_body_that_is_too_large_gets_its_answer_and_not_the_proxys(way: Way) -> None:
    for request in (way.request("POST", CALL, LARGE), chunked(way, CALL, LARGE[:-1], b'"')):
        try:
            [(status, record)] = ask(way, request)
        except (ConnectionError, ValueError):
            assert way.name.startswith("caddy")  # it closes on who sends more behind an answer
        else:
            assert (status, "split it" in record["error"]["message"]) == (413, True)
    assert "m" not in state(way)


def test_a_stranger_gets_the_trees_answer(way: Way) -> None:
    request = way.request("POST", CALL, b"Store s 1").replace(TOKEN.encode(), b"x" * len(TOKEN))
    [(status, record)] = ask(way, request)
    assert (status, record["outcome"]) == (401, "denied")
    assert "s" not in state(way)


# -- connections -----------------------------------------------------------------------------------


def test_a_connection_is_used_again_by_every_method(way: Way) -> None:
    async def main() -> list[Any]:
        reader, writer = await way.connect()
        found = []
        for n in range(60):
            call = way.request("POST", CALL, b"Store n %d" % n)
            for request in (call, way.request("GET", "/v1/info")):
                writer.write(request)
                found += [status for status, _, _ in await answers_from(reader, 1)]
        await hang_up(writer)
        return found

    assert asyncio.run(main()) == [200] * 120


def test_head_has_no_body_through_a_proxy_either(way: Way) -> None:
    async def main() -> tuple[bytes, bytes]:
        reader, writer = await way.connect()
        writer.write(way.request("HEAD", "/v1/info", connection="close"))
        async with asyncio.timeout(DEADLINE_S):
            head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
        await hang_up(writer)
        return head, rest

    head, rest = asyncio.run(main())
    assert head.startswith(b"HTTP/1.1 200")
    assert rest == b""


def test_an_idle_connection_is_kept_for_longer_than_proxies_keep_theirs() -> None:
    """One that the tree closes while a proxy sends a call on it is a 502."""
    nginx_s, go_s, caddy_s = 60, 90, 120
    assert Limits().idle_s > max(nginx_s, go_s, caddy_s)


# -- reports ---------------------------------------------------------------------------------------


def test_reports_come_as_they_happen_and_are_resumed_by_their_id(way: Way) -> None:
    async def main() -> None:
        first = await events(way, 3, after="0")
        assert [one["seq"] for one in first] == [1, 2, 3]
        [(_, info, _)] = await way.talk(way.request("GET", "/v1/info"))
        following = asyncio.create_task(events(way, 1, after=f"{info['instance']}-{info['seq']}"))
        await way.talk(way.request("POST", "/v1/workers/kv2/trace?on=true"),
                       way.request("POST", "/v1/workers/kv2/call", b"Lookup x"),
                       way.request("POST", "/v1/workers/kv2/trace?on=false"))  # fmt: skip
        assert (await following)[0]["seq"] == info["seq"] + 1
        again = await events(way, 2, after="0" * 16 + "-9")
        assert [one["seq"] for one in again] == [1, 2]

    asyncio.run(main())


async def events(way: Way, most: int, after: str) -> list[dict[str, Any]]:
    """The first events of a stream of reports."""
    reader, writer = await way.connect()
    writer.write(way.request("GET", "/v1/reports", last_event_id=after))
    response, parser, found = Response(), EventParser(), list[dict[str, Any]]()
    async with asyncio.timeout(DEADLINE_S):
        while len(found) < most:
            response.feed(await reader.read(65_536))
            found += parser.feed(response.take())
    await hang_up(writer)
    return found[:most]


# -- clients ---------------------------------------------------------------------------------------


def shell_for(way: Way, folder: Path) -> Shell:
    shell = Shell(folder)
    shell.environ |= {"SSM_TOKEN": TOKEN, "SSL_CERT_FILE": str(way.trusted), "SSM_URL": way.url}
    return shell


def test_our_own_client_stops_at_the_first_failure(way: Way, tmp_path: Path) -> None:
    """A proxy sends on what was sent behind a call that failed."""
    shell = shell_for(way, tmp_path)
    lines = "Store x 1\nStore x 2\nLookup crash\n" + "Store x 9\n" * 20
    assert "Ok\nOk\n" in shell.run("call", "kv3", "-", given=lines, code=1)
    assert shell.run("state", "kv3") == "{}\n"


def test_curl(way: Way) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    for more in (["--http2"], ["--http1.1", "-H", "Transfer-Encoding: chunked"],
                 ["-H", "Expect: 100-continue"]):  # fmt: skip
        done = subprocess.run(
            ["curl", "-sS", "-m", "20", "--cacert", str(way.trusted), "-d", "Store curl 1", *more,
             "-H", f"Authorization: Bearer {TOKEN}", f"{way.url}{CALL}"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert json.loads(done.stdout)["output"] == "Ok"


@pytest.mark.parametrize("library", ["httpx", "aiohttp"])
def test_python_clients(way: Way, library: str) -> None:
    client = pytest.importorskip(library, reason=f"{library} is not installed")
    context = ssl.create_default_context(cafile=str(way.trusted))
    headers, url = {"Authorization": f"Bearer {TOKEN}"}, f"{way.url}{CALL}"

    async def pieces() -> Any:
        yield b"Store "
        await asyncio.sleep(0)
        yield b"piece 1"

    async def with_httpx() -> list[int]:
        async with client.AsyncClient(verify=context, headers=headers, timeout=DEADLINE_S) as c:
            calls = [c.post(url, content=b"Store h %d" % n) for n in range(40)]
            found = await asyncio.gather(*calls, c.post(url, content=pieces()))
            return [answer.status_code for answer in found]

    async def with_aiohttp() -> list[int]:
        connector = client.TCPConnector(ssl=context)
        async with client.ClientSession(headers=headers, connector=connector) as session:

            async def post(data: Any, *, expects: bool) -> int:
                async with session.post(url, data=data, expect100=expects) as answer:
                    await answer.read()
                    return int(answer.status)

            calls = [post(b"Store a %d" % n, expects=n % 2 == 0) for n in range(40)]
            return [*await asyncio.gather(*calls, post(pieces(), expects=False))]

    assert asyncio.run(with_httpx() if library == "httpx" else with_aiohttp()) == [200] * 41


EVENTS = """
const { EventSource } = require('eventsource');
const [url, token] = process.argv.slice(1);
const give = (i, o) => fetch(i, {...o, headers: {...o.headers, Authorization: 'Bearer ' + token}});
const source = new EventSource(url, { fetch: give });
source.onmessage = (event) => { console.log(event.lastEventId); };
"""


def test_node_js_event_source(way: Way) -> None:
    node = shutil.which("node")
    probe = ["node", "-e", "require('eventsource').EventSource"]
    if node is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("node or its package eventsource (NODE_PATH) is not installed")
    environ = os.environ | {"NODE_EXTRA_CA_CERTS": str(way.trusted)}
    process = subprocess.Popen(
        [node, "-e", EVENTS, f"{way.url}/v1/reports", TOKEN],
        env=environ, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        numbers = [process.stdout.readline().rpartition("-")[2] for _ in range(3)]
    finally:
        process.kill()
        process.communicate()
    assert numbers == ["1\n", "2\n", "3\n"]
