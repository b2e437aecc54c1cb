"""The past over HTTP: its routes, the place of every other route, and who may ask."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ssm_cli import Cast, StateMachine, Supervisor, Worker
from ssm_cli.commands.execute import aexecute, execute
from ssm_cli.commands.parse import parse_line
from ssm_cli.commands.records import instant
from ssm_cli.commands.routes import PAST, Role
from ssm_cli.errors import CommandError
from ssm_cli.history import scratch
from ssm_cli.http.access import Gate
from ssm_cli.http.app import refuse_elsewhere
from ssm_cli.http.client.connection import Address
from ssm_cli.http.client.node import HttpNode
from ssm_cli.http.routes import ROUTES
from ssm_cli.http.statuses import HttpError
from ssm_cli.machines.kv import kv_store
from ssm_cli.runtime.api import NodeApi
from ssm_cli.simulation.asking import with_futures
from tests.history.reload.desk import Desk
from tests.http.serving import Served, serve

READER, CALLER, ADMIN = "reader" * 4, "caller" * 4, "admin" * 4
GATE = Gate({READER: Role.READ, CALLER: Role.CALL, ADMIN: Role.ADMIN})


async def asked(served: Served, steps: list[tuple[str, str, str, int]]) -> list[Any]:
    found = []
    for line in ("Store x 1", "Store x 5", "Lookup crash"):
        await served.call("kv2", line)
    for method, target, body, status in steps:
        got, answer, _ = await served.ask(method, target, body)
        assert got == status, (method, target, answer)
        found.append(answer)
    return found


def run(*steps: tuple[str, str, str, int]) -> list[Any]:
    async def main() -> list[Any]:
        async with serve(history=100) as served:
            return await asked(served, list(steps))

    return asyncio.run(main())


def test_a_fork_that_was_stopped_says_so_and_can_be_read_and_left() -> None:
    *_, called, cast, _, _ = run(
        ("POST", "/v1/history/fork", "", 200),
        ("POST", "/v1/stop?at=fork1", "", 200),
        ("POST", "/v1/workers/kv2/call?at=fork1", "Lookup x", 503),
        ("POST", "/v1/workers/kv2/cast?at=fork1", "Lookup x", 503),
        ("GET", "/v1/tree?at=fork1", "", 200),
        ("POST", "/v1/history/drop?at=fork1", "", 200),
    )
    for refused in (called, cast):
        said = "fork1 was stopped: `drop` leaves it, and `fork` makes another"
        assert refused["error"]["message"] == said


def test_the_routes_of_the_past_answer_with_data() -> None:
    answers = run(
        ("GET", "/v1/history?worker=kv2&last=9", "", 200),
        ("GET", "/v1/history/place?where=crash", "", 200),
        ("GET", "/v1/history/back?at=2", "", 200),
        ("GET", "/v1/history/next?at=1&when=state.x%20%3E%201", "", 200),
        ("GET", "/v1/history/diff?one=2", "", 200),
        ("GET", "/v1/history/blame?worker=kv2&path=x", "", 200),
        ("GET", "/v1/history/when?worker=kv2&expr=state.x%20%3E%201", "", 200),
        ("GET", "/v1/history/why?record=2", "", 200),
    )
    shown = [record["input"] for record in answers[0]["records"]]
    assert [text for text in shown if text] == ["Store x 1", "Store x 5", "Lookup crash"]
    assert [answer["place"] for answer in answers[1:4]] == ["2", "1", "2"]
    assert answers[4]["changes"] == [{"worker": "kv2", "path": "x", "before": 1, "after": 5}]
    assert [record["record"] for record in answers[5]["records"]] == [2, 1]
    assert answers[6]["record"]["record"] == 2
    assert answers[7]["records"][0]["by"] == "http"


def test_a_question_that_cannot_be_asked_is_refused() -> None:
    answers = run(
        ("GET", "/v1/history/place", "", 400),
        ("GET", "/v1/history/when?worker=kv2", "", 400),
        ("GET", "/v1/history/when?worker=kv2&expr=import%20os", "", 400),
        ("GET", "/v1/history/blame?worker=kv2&path=a..b", "", 400),
        ("GET", "/v1/history/place?where=99", "", 404),
        ("GET", "/v1/history/back?by=x", "", 400),
        ("GET", "/v1/tree?at=99", "", 404),
        ("GET", "/v1/tree?at=yesterday", "", 400),
        ("GET", "/v1/tree?at=fork9", "", 404),
    )
    assert "`where` is missing" in answers[0]["error"]["message"]
    assert answers[6]["error"]["type"] == "Forgotten"


def test_every_reading_route_shows_the_tree_of_its_place() -> None:
    answers = run(
        ("GET", "/v1/workers/kv2/state?at=1", "", 200),
        ("GET", "/v1/workers/kv2/state?at=crash", "", 200),
        ("GET", "/v1/workers/kv2/status?at=2", "", 200),
        ("GET", "/v1/tree?at=2", "", 200),
        ("GET", "/v1/log?at=2&last=1", "", 200),
        ("GET", "/v1/crashes?at=2", "", 200),
        ("GET", "/v1/names?at=2", "", 200),
        ("GET", "/v1/supervisors/storage/children?at=2", "", 200),
        ("GET", "/v1/supervisors/storage/count?at=2", "", 200),
        ("GET", "/v1/workers/kv2/state", "", 200),
    )
    assert [answers[0]["value"], answers[1]["value"]] == [{"x": 1}, {"x": 5}]
    assert answers[4][0]["event"] == "started"
    assert answers[5] == []
    assert answers[9]["value"] == {}


def test_at_a_record_every_route_that_does_something_is_refused() -> None:
    doing = [
        r for r in ROUTES if r.method != "GET" and not r.path.startswith((PAST, "/v1/futures/"))
    ]
    steps = []
    for route in doing:
        path = (
            route.path.replace("{name}", "kv2").replace("{child}", "kv2").replace("{number}", "1")
        )
        steps.append(
            (route.method, f"{path}?at=2", "Store x 9" if route.body != "none" else "", 409)
        )
    answers = run(*steps)
    assert {answer["error"]["type"] for answer in answers} == {"ReadOnly"}


def test_the_past_needs_the_role_read() -> None:
    async def main() -> None:
        async with serve(gate=GATE, history=100) as served:
            for token, status in ((READER, 200), (ADMIN, 200), ("nobody" * 4, 401)):
                headers = {"authorization": f"Bearer {token}"}
                got, _, _ = await served.ask("GET", "/v1/history", "", headers)
                assert got == status
            for token, status in ((READER, 403), (CALLER, 409)):
                headers = {"authorization": f"Bearer {token}"}
                target = "/v1/workers/kv2/call?at=0"
                got, _, _ = await served.ask("POST", target, "Store x 1", headers)
                assert got == status

    asyncio.run(main())


def test_a_call_of_a_fork_is_answered_and_the_tree_of_now_does_not_see_it() -> None:
    async def main() -> None:
        async with serve(history=100) as served:
            await served.call("kv2", "Store x 1")
            await served.call("kv2", "Store x 5")
            served.node.perform("fork", record="1")
            status, reply, _ = await served.call("kv2", "Lookup x", "?at=fork1")
            assert (status, reply["output"]) == (200, "Result 1")
            await served.call("kv2", "Store x 7", "?at=fork1")
            _, there, _ = await served.ask("GET", "/v1/workers/kv2/state?at=fork1")
            _, here, _ = await served.ask("GET", "/v1/workers/kv2/state")
            assert (there["value"], here["value"]) == ({"x": 7}, {"x": 5})

    asyncio.run(main())


def runs_away(message: str, state: int) -> Any:
    return state + 1, "Ok", [Cast(None, message)] if message == "go" else []


RUNNER = StateMachine(step=runs_away, init=lambda *_: 0, codec="text")


@pytest.mark.parametrize("way", ["call", "cast", "advance"])
def test_a_fork_that_runs_away_is_stopped_and_says_so_while_calls_are_served(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "GO_ON_S", 0.1)
    target = {
        "call": "/v1/workers/w/call?at=fork1", "cast": "/v1/workers/w/cast?at=fork1",
        "advance": "/v1/history/advance?span=1h&at=fork1",
    }[way]  # fmt: skip

    async def main() -> None:
        tree = Supervisor("root", children=[Worker("w", RUNNER), Worker("kv", kv_store)])
        async with serve(tree, history=100) as served:
            await served.call("kv", "Store x 1")
            served.node.perform("fork")
            if way == "advance":
                served.node.perform("standing", "fork1", reading=False).cast("w", "go")
            away = asyncio.create_task(served.ask("POST", target, "go"))
            answers = 0
            while not away.done():
                status, _, _ = await served.call("kv", "Lookup x")
                answers += status == 200
            assert answers > 1, "of the live tree"
            _, found, headers = await away
            said = found["stopped"] if way == "advance" else headers["ssm-stopped"]
            assert "too much happens in a fork" in said
            _, _, headers = await served.call("kv", "Lookup x", "?at=fork1")
            assert "ssm-stopped" in headers, "it still runs away"
            await served.ask("POST", "/v1/nodes/w/suspend?at=fork1")
            _, _, headers = await served.call("kv", "Lookup x", "?at=fork1")
            assert "ssm-stopped" not in headers

    asyncio.run(main())


def test_a_prompt_of_another_process_says_that_a_fork_was_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scratch, "GO_ON_S", 0.02)

    async def main() -> None:
        tree = Supervisor("root", children=[Worker("w", RUNNER)])
        async with serve(tree, history=100) as served:
            near = HttpNode(Address(host="127.0.0.1", port=served.port))
            served.node.perform("fork")
            for line in ("w go", "w stay", "advance 1s"):
                command = parse_line(line, ("w",))
                assert command is not None
                command = msgspec.structs.replace(command, at="fork1")
                result = await aexecute(command, near)
                assert "too much happens in a fork" in result.lines[-1], line

    asyncio.run(main())


LONG = "9" * 5_000
NUMBERED = [
    f"at {LONG}", f"why {LONG}", f"diff 1 {LONG}", f"fork {LONG}", f"without {LONG}",
    f"edit {LONG} Lookup x", f"shrink {LONG}", f"record {LONG}", f"back {LONG}", f"keep kv2 {LONG}",
    f"history -n {LONG}", f"state kv2 --at {LONG}", f"advance {LONG}",
    f"chaos --seed {LONG}", f"fuzz kv2 --from {LONG}", f"advance {LONG}s",
    f"shadow kv2 --code x.py --for {LONG}", f"at {'0' * 5_000}1", f"at {'9' * 40}",
    f"at {'9' * 41}",
]  # fmt: skip


def test_a_long_number_is_answered_alike_near_and_attached() -> None:
    def answer(line: str, api: NodeApi) -> tuple[int, str]:
        try:
            command = parse_line(line, ("kv2",))
        except CommandError as error:
            return 2, str(error)
        assert command is not None
        result = execute(command, api)
        return result.exit_code, "" if "longer" in result.lines[-1] else result.lines[-1]

    async def main() -> None:
        async with serve(history=100) as served:
            with_futures(served.node, instant)
            await served.call("kv2", "Store x 1")
            far = HttpNode(Address(host="127.0.0.1", port=served.port))
            for line in NUMBERED:
                code, said = answer(line, served.node)
                found, told = await asyncio.to_thread(answer, line, far)
                assert (found, told or said) == (code, said), line[:30]
                assert code in (0, 2, 4), line[:30]
            far.connection.close()

    asyncio.run(main())


def test_over_http_nothing_is_adopted_but_what_was_shown() -> None:
    async def main() -> None:
        async with serve(history=100) as served:
            await served.call("kv2", "Store x 1")
            served.node.perform("fork", record="0")
            adopt = "/v1/history/adopt?worker=kv2&why=w&at=fork1"
            _, shown, _ = await served.ask("POST", adopt)
            await served.call("kv2", "Store x 2")
            _, stale, _ = await served.ask("POST", f"{adopt}&sure=yes&plan={shown['plan']}")
            assert (stale["stale"], stale["adopted"]) == (True, False)
            assert served.node.get_state("kv2") == {"x": 2}
            _, done, _ = await served.ask("POST", f"{adopt}&sure=yes&plan={stale['plan']}")
            assert (done["stale"], done["adopted"]) == (False, True)
            assert served.node.get_state("kv2") == {}
            status, _, _ = await served.ask("POST", f"{adopt}&sure=yes&plan=")
            assert status == 400

    asyncio.run(main())


@pytest.mark.parametrize("target", ["/v1/history", "/v1/history/place?where=1"])
def test_a_tree_that_remembers_nothing_says_so(target: str) -> None:
    async def main() -> None:
        async with serve() as served:
            status, answer, _ = await served.ask("GET", target)
            assert status == 404
            assert "`--history N`" in answer["error"]["message"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("tree", "code", "refused"),
    [
        ("/srv/t/tree.yaml", None, False),
        ("/srv/t/tree.yaml", "/srv/t/worker.py", False),
        ("/srv/t/tree.yaml", "/srv/t/new/worker.py", False),
        ("/srv/t/tree.yaml", "/srv/t/../x/worker.py", True),
        ("/srv/t/tree.yaml", "/srv/tree.py", True),
        ("/srv/t/tree.yaml", "/etc/passwd", True),
        ("", "/srv/t/worker.py", True),
    ],
)
def test_over_the_network_code_is_in_the_folder_of_the_tree(
    tree: str, code: str | None, refused: bool
) -> None:
    if not refused:
        refuse_elsewhere(code, tree)
        return
    with pytest.raises(HttpError, match="over the network `code` is") as caught:
        refuse_elsewhere(code, tree)
    assert caught.value.status == 403


def test_breaks_need_the_role_admin_and_whoever_may_read_sees_who_is_held() -> None:
    async def main() -> None:
        async with serve(gate=GATE, history=100) as served:

            async def ask(token: str, method: str, target: str, body: str = "") -> Any:
                headers = {"authorization": f"Bearer {token}"}
                status, answer, _ = await served.ask(method, target, body, headers)
                return status, answer

            expr = f"{PAST}/break?worker=kv2&expr=state.x%20%3E%203"
            assert (await ask(CALLER, "POST", expr))[0] == 403
            assert (await ask(ADMIN, "POST", expr))[1]["break"] == 1
            status, answer = await ask(ADMIN, "POST", f"{expr}%20and")
            assert (status, "column" in answer["error"]["message"]) == (400, True)
            call = "/v1/workers/kv2/call"
            status, _ = await ask(CALLER, "POST", f"{call}?timeout=0.01", "Store x 5")
            assert status == 504
            status, found = await ask(READER, "GET", f"{PAST}/breaks")
            assert (status, found["held"][0]["input"]) == (200, "Store x 5")
            waits = asyncio.ensure_future(ask(CALLER, "POST", call, "Store x 2"))
            assert (await ask(CALLER, "POST", f"{PAST}/continue"))[0] == 403
            assert (await ask(ADMIN, "POST", f"{PAST}/continue"))[1]["worker"] == "kv2"
            status, reply = await waits
            assert (status, reply["output"]) == (200, "Ok")
            assert (await ask(ADMIN, "POST", f"{PAST}/continue"))[0] == 400

    asyncio.run(main())


async def as_asked(served: Served, token: str, target: str, body: str = "") -> Any:
    """Ask by a token; return the status and the answer."""
    headers = {"authorization": f"Bearer {token}"}
    status, answer, _ = await served.ask("POST", target, body, headers)
    return status, answer


def test_no_call_of_a_load_gets_another_outcome_than_of_before_or_after(tmp_path: Path) -> None:
    async def main() -> None:
        desk = Desk(tmp_path)
        async with serve(desk.node.spec, gate=GATE, history=1000) as served:

            async def load() -> list[str]:
                found: list[str] = []
                while not done.is_set() or found[-1:] != ["Got"]:
                    call = "/v1/workers/book/call"
                    status, reply = await as_asked(served, CALLER, call, "Put BUY 1")
                    assert status == 200
                    found.append(reply["output"])
                return found

            done = asyncio.Event()
            loads = [asyncio.create_task(load()) for _ in range(3)]
            await as_asked(served, CALLER, "/v1/workers/book/call", "Put BUY 1")
            desk.change('"Bought"', '"Got"')
            status, found = await as_asked(served, ADMIN, f"{PAST}/reload")
            assert (status, found["done"], found["differs"]) == (200, False, True)
            agreed = f"{PAST}/reload?sure=yes&plan={found['plan']}"
            assert (await as_asked(served, ADMIN, agreed))[1]["done"]
            done.set()
            for answers in await asyncio.gather(*loads):
                assert {*answers} <= {"Bought", "Got"}
                assert "Bought" not in answers[answers.index("Got") :]

    asyncio.run(main())


def test_code_is_changed_by_the_role_admin_and_only_by_files_of_the_tree(tmp_path: Path) -> None:
    async def main() -> None:
        desk = Desk(tmp_path)
        async with serve(desk.node.spec, gate=GATE, history=1000) as served:
            for verb in ("reload", "rollback", "shadow?worker=book", "promote?worker=book"):
                assert (await as_asked(served, CALLER, f"{PAST}/{verb}"))[0] == 403
            desk.change('"Bought"', "(")
            status, answer = await as_asked(served, ADMIN, f"{PAST}/reload")
            assert (status, answer["error"]["type"]) == (409, "CodeRefused")
            assert (await as_asked(served, ADMIN, f"{PAST}/reload?sure=maybe"))[0] == 400
            other = f"{PAST}/shadow?worker=book&code=/etc/passwd"
            assert (await as_asked(served, ADMIN, other))[0] == 403
            assert (await as_asked(served, ADMIN, f"{PAST}/promote?worker=book"))[0] == 409

    asyncio.run(main())


def test_changes_by_hand_over_http_say_so() -> None:
    answers = run(
        ("PUT", "/v1/workers/kv2/state", "{}", 200),
        ("POST", "/v1/supervisors/root/children/kv1/terminate", "", 200),
        ("GET", "/v1/history?last=99", "", 200),
    )
    by_hand = {r["how"]: r["by"] for r in answers[-1]["records"] if r["record"] > 3}
    assert {by_hand["replace_state"], by_hand["terminate_child"]} == {"http"}
