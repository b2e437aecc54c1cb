"""Every other route: what it answers, what it refuses, and that the document says so."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import math
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from ssm_cli import MemoryStore, StateMachine, Supervisor, Worker
from ssm_cli.commands.handlers import value_of
from ssm_cli.commands.routes import Route
from ssm_cli.commands.verb import Parameter
from ssm_cli.errors import CommandError
from ssm_cli.http import metrics
from ssm_cli.http.access import Gate
from ssm_cli.http.app import query_of
from ssm_cli.http.openapi import document
from ssm_cli.http.requests import Requests
from ssm_cli.http.routes import ROUTES
from ssm_cli.http.shape import ShapeRequests
from ssm_cli.http.statuses import HttpError
from ssm_cli.machines.kv import kv_store
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.performer.requests import REQUESTS
from ssm_cli.simulation.asking import with_futures
from ssm_cli.spec.model import SupervisorSpec
from tests.http.serving import serve
from tests.runtime.durable.parts import failing, worker
from tests.runtime.durable.parts import tree as durable
from tests.thorough import tries

KV4 = '{worker: kv4, start: "ssm_cli.machines.kv:kv_store"}'
SESSIONS = Supervisor("root", "simple_one_for_one", [Worker("session", kv_store)])


def run(steps: list[tuple[str, str, str, int]], tree: SupervisorSpec | str) -> list[Any]:
    """Requests one after the other, each with the status that it must get; their answers."""

    async def main() -> list[Any]:
        found = []
        async with serve(tree) as served:
            for method, target, body, status in steps:
                got, answer, _ = await served.ask(method, target, body)
                assert got == status, (method, target, answer)
                found.append(answer)
        return found

    return asyncio.run(main())


FLAGS = [
    (route, query.name)
    for route in ROUTES
    for query in route.placed
    if query.type == "boolean" or "yes" in (*query.choices, query.help.strip("`:").split("`")[0])
]


@pytest.mark.parametrize(("route", "name"), FLAGS, ids=lambda part: getattr(part, "effect", part))
def test_every_flag_of_every_route_is_read_alike(route: Route, name: str) -> None:
    needed = "".join(f"&{q.name}=x" for q in route.query if q.required)
    read = [query_of(route, f"{name}={w}{needed}".encode())[name] for w in ("yes", "true", "TRUE")]
    unset = [query_of(route, f"{name}={w}{needed}".encode())[name] for w in ("no", "false", "No")]
    assert (read, unset) in (([True] * 3, [False] * 3), (["yes"] * 3, ["no"] * 3))
    for word in ("maybe", "", "0", "1", "2", "y", "on"):
        with pytest.raises(HttpError, match=f"`{name}` is .* or .*, not `{word}`") as caught:
            query_of(route, f"{name}={word}{needed}".encode())
        assert caught.value.status == 400


def test_the_flags_are_those_that_are_known() -> None:
    assert {name for _, name in FLAGS} == {
        "crash", "every", "keep_remote", "off", "on", "page", "specs_only", "sure",
    }  # fmt: skip


INTEGERS = [(route, query) for route in ROUTES for query in route.placed if query.type == "integer"]
NO_NUMBERS = ["1e3", "5.0", "-0.0", "-1", "+1", "1_0", "x", "", str(2**53), "9" * 3_000]


@pytest.mark.parametrize("text", NO_NUMBERS, ids=lambda text: text[:20])
def test_a_whole_number_is_read_as_at_the_prompt(text: str) -> None:
    for route, query in INTEGERS:
        needed = "".join(f"&{q.name}=x" for q in route.query if q.required and q is not query)
        with pytest.raises(HttpError, match="one integer from 0 to 9,007,199,254,740,991, not"):
            query_of(route, f"{query.name}={quote(text)}{needed}".encode())
        assert query_of(route, f"{query.name}=12{needed}".encode())[query.name] == 12
    with pytest.raises(CommandError, match="from 0 to 9,007,199,254,740,991, got"):
        value_of(Parameter("events", "number"), text)


class Room(Enum):
    SINGLE = 1


ODD_STATE = {Room.SINGLE: math.nan, "1": b"xx", 1: [Room.SINGLE, {2.5}]}


@pytest.mark.parametrize("codec", ["text", "json", "msgpack"])
def test_a_state_is_the_same_as_text_and_as_json(codec: Any) -> None:
    machine = StateMachine(step=lambda _, state: (state, None), init=lambda *_: ODD_STATE)
    tree = Supervisor("root", children=[Worker("a", machine, codec=codec)])
    shown, status = run(
        [("GET", "/v1/workers/a/state", "", 200), ("GET", "/v1/workers/a/status", "", 200)], tree
    )
    assert [*shown["value"].values()] == ["nan", "xx", ["SINGLE", [2.5]]]
    assert json.loads(shown["text"]) == shown["value"] == json.loads(status["text"])
    assert status["status"]["state"] == shown["value"]


def test_a_child_is_started_stopped_restarted_and_deleted() -> None:
    children = "/v1/supervisors/storage/children"
    answers = run(
        [
            ("POST", children, KV4, 200),
            ("POST", children, KV4, 409),
            ("GET", children, "", 200),
            ("GET", f"{children}/kv4", "", 200),
            ("DELETE", f"{children}/kv4", "", 409),
            ("POST", f"{children}/kv4/terminate", "", 200),
            ("POST", f"{children}/kv4/restart", "", 200),
            ("POST", f"{children}/kv4/terminate", "", 200),
            ("DELETE", f"{children}/kv4", "", 200),
            ("GET", f"{children}/kv4", "", 409),
            ("GET", "/v1/supervisors/storage/count", "", 200),
            ("GET", "/v1/supervisors/kv1/count", "", 404),
            ("POST", children, "{worker: kv5}", 400),
            ("POST", children, "", 400),
        ],
        "trees/kv.yaml",
    )
    assert answers[0]["child"] == "kv4"
    assert answers[1]["error"]["term"] == "already_started"
    assert [child["id"] for child in answers[2]] == ["kv4", "kv3", "kv2"]
    assert answers[4]["error"]["term"] == "running"
    assert answers[10]["workers"] == 2


def test_a_dynamic_child_is_named_by_its_process_or_its_label() -> None:
    answers = run(
        [
            ("POST", "/v1/supervisors/root/children", "ann", 200),
            ("GET", "/v1/nodes/ann", "", 200),
            ("POST", "/v1/supervisors/root/children/ann/terminate?starts=1", "", 200),
            ("GET", "/v1/nodes/ann", "", 200),
            ("POST", "/v1/supervisors/root/children", "ann", 200),
            ("POST", "/v1/supervisors/root/children/ann/terminate", "", 200),
            ("GET", "/v1/nodes/ann", "", 200),
            ("POST", "/v1/supervisors/root/children/ann/terminate", "", 409),
        ],
        SESSIONS,
    )
    assert answers[1] == {"id": "ann", "starts": 1}
    assert answers[3] is answers[6] is None


def test_a_worker_is_looked_into_and_held() -> None:
    worker = "/v1/workers/kv1"
    answers = run(
        [
            ("PUT", f"{worker}/state", '{"x": 1}', 200),
            ("GET", f"{worker}/state", "", 200),
            ("PUT", f"{worker}/state", "{", 400),
            ("GET", f"{worker}/constructors", "", 200),
            ("POST", f"{worker}/keep?events=5", "", 200),
            ("POST", f"{worker}/trace", "", 200),
            ("POST", f"{worker}/call", "Lookup x", 200),
            ("POST", f"{worker}/trace?on=false", "", 200),
            ("GET", f"{worker}/stats", "", 200),
            ("GET", f"{worker}/status", "", 200),
            ("POST", "/v1/nodes/kv1/suspend", "", 200),
            ("POST", f"{worker}/call?timeout=0.01", "Lookup x", 504),
            ("POST", "/v1/nodes/kv1/resume", "", 200),
            ("POST", "/v1/nodes/kv1/kill", "", 200),
            ("POST", f"{worker}/call", "Lookup crash", 500),
            ("GET", "/v1/crashes?worker=kv1&last=1", "", 200),
            ("POST", "/v1/nodes/kv1/stop?reason=normal", "", 200),
            ("GET", "/v1/workers/kv9/state", "", 404),
        ],
        "trees/kv.yaml",
    )
    assert (answers[1]["value"], answers[1]["text"]) == ({"x": 1}, '{"x": 1}')
    assert [constructor["name"] for constructor in answers[3]] == ["Store", "Lookup"]
    assert answers[8]["steps"] == 1
    assert len(answers[9]["status"]["log"]) == 2
    assert answers[15][0]["error_type"] == "ZeroDivisionError"


def test_the_tree_tells_of_itself() -> None:
    answers = run(
        [
            ("GET", "/v1/info", "", 200),
            ("GET", "/v1/names?kind=worker", "", 200),
            ("GET", "/v1/names?kind=other", "", 400),
            ("GET", "/v1/log?after=3&last=2", "", 200),
            ("GET", "/v1/log?last=-1", "", 400),
            ("GET", "/health/ready", "", 200),
            ("GET", "/nowhere", "", 404),
            ("DELETE", "/v1/tree", "", 405),
        ],
        "trees/kv.yaml",
    )
    assert (answers[0]["name"], answers[0]["workers"]) == ("kv", 3)
    assert answers[1] == ["kv1", "kv2", "kv3"]
    assert [report["seq"] for report in answers[3]] == [9, 10]


def test_a_tree_that_is_not_well_is_not_ready() -> None:
    stop = "/v1/supervisors/root/children/kv1/terminate"
    run([("POST", stop, "", 200), ("GET", "/health/ready", "", 503)], "trees/kv.yaml")


def test_stop_answers_before_the_door_closes() -> None:
    async def main() -> None:
        async with serve() as served:
            status, record, _ = await served.ask("POST", "/v1/stop")
            assert (status, record["verb"]) == (200, "stop")
            assert not served.node.running

    asyncio.run(main())


def test_metrics_have_a_bound_on_their_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MOST_NODES", 2)
    (text,) = run([("GET", "/metrics", "", 200)], "trees/kv.yaml")
    lines = text.decode().splitlines()
    assert 'ssm_restarts_total{node="root"} 0.0' in lines
    assert 'ssm_restarts_total{node="other"} 0.0' in lines
    assert not any("kv3" in line for line in lines)


def test_every_route_has_a_handler() -> None:
    apart = {"call", "reports", "metrics", "openapi"}
    node = Node(SESSIONS)
    past = set(with_futures(node, str).effects)
    known = (
        apart
        | set(vars(Requests))
        | set(vars(ShapeRequests))
        | set(REQUESTS)
        | set(dir(node))
        | past
    )
    assert {route.effect for route in ROUTES} <= known
    assert len({route.effect for route in ROUTES}) == len(ROUTES)


def test_the_document_refers_to_nothing_that_it_does_not_have() -> None:
    found = document()
    schemas = found["components"]["schemas"]

    def refs(value: object) -> list[str]:
        if isinstance(value, dict):
            here = [value["$ref"]] if "$ref" in value else []
            return here + [ref for item in value.values() for ref in refs(item)]
        return [ref for item in value for ref in refs(item)] if isinstance(value, list) else []

    assert {ref.rpartition("/")[2] for ref in refs(found)} <= set(schemas)
    assert len({route.path for route in ROUTES}) == len(found["paths"])


@pytest.mark.skipif(
    importlib.util.find_spec("schemathesis") is None,
    reason="needs schemathesis",
)
def test_made_up_requests_get_declared_responses(tmp_path: Path) -> None:
    """schemathesis, in a process of its own: it has a thread and an event loop to itself."""
    import subprocess  # noqa: PLC0415 - of this test alone
    import sys  # noqa: PLC0415 - as above

    async def main() -> None:
        async with serve(gate=Gate({})) as closed, serve() as served:
            status, _, _ = await closed.ask("GET", "/openapi.json")
            assert status == 401
            url = f"http://127.0.0.1:{served.port}"
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json",
                "--checks", "status_code_conformance,content_type_conformance,"
                "response_schema_conformance,unsupported_method",
                "--exclude-path", "/v1/stop", "--exclude-path", "/v1/reports",
                "--max-examples", str(tries(1, 3)), "--seed", "1", "--phases", "examples,fuzzing",
                "--generation-database", "none", "--no-color",
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=tmp_path,
            )  # fmt: skip
            out, _ = await process.communicate()
            assert process.returncode == 0, out.decode()[-4000:]

    asyncio.run(main())


def test_every_route_refuses_a_key_of_the_query_that_it_does_not_have() -> None:
    targets = [(route.method, route.path.replace("{", "").replace("}", "")) for route in ROUTES]
    steps = [(method, f"{path}?nosuch=1", "", 400) for method, path in targets]
    answers = run(steps, "trees/kv.yaml")
    assert all("no `nosuch`" in answer["error"]["message"] for answer in answers)
    (answer,) = run([("GET", "/v1/log?lst=3", "", 400)], "trees/kv.yaml")
    assert answer["error"]["message"] == "/v1/log takes no `lst`; did you mean `last`?"


def test_an_input_whose_release_cannot_be_written_is_no_missing_one() -> None:
    store = MemoryStore()

    async def main() -> None:
        book = worker("a", quarantine=1, codec="json")
        async with serve(durable(book, on_storage_error="refuse"), store=store) as served:
            boom = json.dumps({"type": "Boom", "n": 0})
            assert (await served.call("a", boom))[0] == 500
            for number in ("2", "x", "9" * 5000):
                got, answer, _ = await served.ask("DELETE", f"/v1/quarantine/{number}")
                assert (got, answer["error"]["type"]) == (404, "HttpError"), number[:9]
            failing(store)
            got, answer, _ = await served.ask("DELETE", "/v1/quarantine/1")
            assert (got, answer["error"]) == (
                507, {"type": "StorageError", "message": "input 1 stays in quarantine: no room"},
            )  # fmt: skip
            assert len((await served.ask("GET", "/v1/quarantine"))[1]) == 1
            failing(store, None)
            assert (await served.ask("DELETE", "/v1/quarantine/1"))[0] == 200

    asyncio.run(main())
