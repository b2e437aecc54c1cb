"""Verbs reach into a remote child by name: the same answer as where its tree runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ssm_cli import FakeLinks, ManualClock, Node, Remote, Supervisor, Worker
from ssm_cli.cli.opening import with_reach
from ssm_cli.commands.execute import execute
from ssm_cli.commands.parse import parse_line, parse_words
from ssm_cli.commands.records import instant
from ssm_cli.commands.results import Result
from ssm_cli.commands.routes import HERE_ONLY, NAMED_WHOLE, Role
from ssm_cli.commands.verb import INTO, Verb
from ssm_cli.commands.verbs import TABLE
from ssm_cli.history.past import with_past
from ssm_cli.http.app import App, Service
from ssm_cli.http.carried import Carried, CarriedAnswer
from ssm_cli.http.exchange import Exchange, HttpAnswer
from ssm_cli.http.far_door import FarDoor
from ssm_cli.http.requests import About
from ssm_cli.http.routes import BY_EFFECT
from ssm_cli.machines.kv import kv_store
from ssm_cli.runtime import views
from ssm_cli.runtime.remote import ports
from ssm_cli.runtime.remote.ports import Outcome

BILLING = Supervisor("root", children=[Worker("kv", kv_store)], intensity=9)


class ReadingLinks(FakeLinks):
    """Links whose child reads its inputs as the process of a remote child does."""

    def __init__(self, far: Node, workers: dict[str, Any]) -> None:
        super().__init__(ManualClock(), workers)
        self._far = far

    def call(self, call: ports.Call, answered: ports.Answered) -> None:
        if call.worker != "kv":
            return super().call(call, answered)
        self._workers["billing.kv"] = lambda data: Outcome("replied", self._served(data, call))
        return super().call(call, answered)

    def cast(self, child: str, worker: str, carried: views.Carried) -> None:
        self._far.cast(worker, self._input(carried.data, carried.is_value))
        self._far.run(0)

    def _served(self, data: bytes, call: ports.Call) -> bytes:
        output = self._far.call(call.worker, self._input(data, call.is_value))
        return self._far.encode(call.worker, output) if call.is_value else output

    def _input(self, data: bytes, is_value: bool) -> Any:
        return self._far.decode("kv", data, "json") if is_value else data


class Scene:
    """A parent, and its remote child as a node of the same process."""

    def __init__(self, role: Role = Role.ADMIN) -> None:
        self.far = with_past(Node(BILLING, clock=ManualClock(), history=16), instant)
        self.far.start()
        self.door, self.role = FarDoor(self.far), role
        self.links = ReadingLinks(self.far, {"billing.": self.answer})
        tree = Supervisor("shop", children=[Worker("kv", kv_store), Remote("billing", "b.yaml")])
        self.near = with_past(with_reach(Node(tree, links=self.links, history=16)), instant)
        self.near.start()

    def answer(self, data: bytes) -> Outcome:
        """Answer as the process of the child would, without a loop of its own."""
        coming = self.door.answer(data, self.role)
        while True:
            try:
                coming.send(None)
            except StopIteration as done:
                return Outcome("replied", done.value)

    def http(
        self,
        method: bytes,
        path: bytes,
        query: bytes = b"",
        body: bytes = b"",
        headers: dict[bytes, bytes] | None = None,
    ) -> HttpAnswer:
        async def main() -> HttpAnswer:
            app = App(Service(self.near, About()))
            exchange = Exchange(method, path, query, headers or {}, body)
            refused = app.admit(exchange)
            if refused is not None:
                return refused
            coming: Any = app.answer(exchange)
            if isinstance(coming, HttpAnswer):
                return coming
            asked = asyncio.ensure_future(coming)
            while not asked.done():
                self.near.run(0)
                await asyncio.sleep(0)
            found: HttpAnswer = await asked
            return found

        return asyncio.run(main())


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    made.far.call("kv", b"Store x 1")
    made.far.call("kv", b"Store x 2")
    with pytest.raises(Exception, match="division"):
        made.far.call("kv", b"Lookup crash")
    made.far.call("kv", b"Store y 3")
    yield made
    made.near.stop()
    made.far.stop()


def said(node: Node, line: str) -> Result:
    command = parse_line(line, ["kv", "billing"])
    assert command is not None
    return execute(command, node, clock=lambda: 0.0)


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ("state kv", "state billing.kv"),
        ("state root/kv", "state billing.root/kv"),
        ("state kv", "state kv --in billing"),
        ("state kv", "state billing.kv --in billing"),
        ("stats kv", "stats billing.kv"),
        ("status kv", "status billing.kv"),
        ("crash kv", "crash billing.kv"),
        ("crash", "crash --in billing"),
        ("history kv -n 2", "history billing.kv -n 2"),
        ("history", "history --in billing"),
        ("blame kv x", "blame billing.kv x"),
        ("when kv state.x == 2", "when billing.kv state.x == 2"),
        ("tree", "tree --in billing"),
        ("log -n 3", "log --in billing -n 3"),
        ("timeline", "timeline --in billing"),
        ("why 3", "why 3 --in billing"),
        ("diff 1 2", "diff 1 2 --in billing"),
        ("state kv --at 1", "state billing.kv --at 1"),
        ("tree --at 1", "tree --at 1 --in billing"),
        ("breaks", "breaks --in billing"),
        ("blame kv nothing", "blame billing.kv nothing"),
    ],
)  # fmt: skip
def test_what_is_shown_is_what_the_childs_own_prompt_shows(
    scene: Scene, there: str, here: str
) -> None:
    near, far = said(scene.near, here), said(scene.far, there)
    assert (near.lines, near.exit_code) == (far.lines, far.exit_code)


WORDS = {"expr": "state", "path": "x", "number": "1", "text": "x", "worker": "kv"}


@pytest.mark.parametrize("verb", [v for v in TABLE if INTO in v.options], ids=lambda v: v.name)
def test_every_verb_that_takes_a_remote_child_refuses_one_that_is_not_there(
    scene: Scene, verb: Verb, tmp_path: Path
) -> None:
    words = [WORDS.get(p.kind, str(tmp_path / "1")) for p in verb.parameters if p.required]
    command = parse_words([verb.name, "--in", "nosuch", *words], ["kv", "billing"])
    refused = execute(command, scene.near, clock=lambda: 0.0)
    assert refused.lines == ("nosuch is no remote child of this tree",)
    assert refused.exit_code == 4
    assert not list(tmp_path.iterdir())


def test_the_page_of_a_remote_child_is_of_its_records(scene: Scene, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    written = said(scene.near, f"report {page} --in billing")
    assert written.lines == (f"4 records in {page}",)
    assert "Lookup crash" in page.read_text()
    assert said(scene.near, f"report {page} --force").lines == (f"0 records in {page}",)


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ("state nobody", "state billing.nobody"),
        ("kill nobody", "kill billing.nobody"),
        ("why 99", "why 99 --in billing"),
    ],
)
def test_what_goes_wrong_there_is_said_as_there_and_by_whom(
    scene: Scene, there: str, here: str
) -> None:
    near, far = said(scene.near, here), said(scene.far, there)
    assert near.exit_code == far.exit_code
    assert "billing" in near.lines[0]
    assert near.lines[0].replace("billing: ", "") == far.lines[0]


@pytest.mark.parametrize(
    ("line", "look", "shown"),
    [
        ("kill billing.kv", "log -n 4", "kv killed"),
        ("suspend billing.kv", "status kv", "status: suspended"),
        ('set billing.kv {"x": 9}', "state kv", '{"x": 9}'),
        ("break billing.kv state.x > 1", "breaks", "state.x > 1"),
    ],
)
def test_what_is_changed_is_changed_there_alone(
    scene: Scene, line: str, look: str, shown: str
) -> None:
    before = scene.near.get_state("kv")
    assert not said(scene.near, line).error
    assert shown in "\n".join(said(scene.far, look).lines)
    assert scene.near.get_state("kv") == before


def test_the_same_over_http_by_name_and_by_in(scene: Scene) -> None:
    named = scene.http(b"GET", b"/v1/workers/billing.kv/state")
    asked = scene.http(b"GET", b"/v1/workers/kv/state", b"in=billing")
    assert named == asked
    assert msgspec.json.decode(named.body)["value"] == {"y": 3}
    killed = scene.http(b"POST", b"/v1/nodes/billing.kv/kill")
    assert killed.status == 200
    assert scene.far.whereis("kv") != scene.near.whereis("kv")
    missing = scene.http(b"GET", b"/v1/workers/billing.nobody/state")
    assert missing.status == 404


TEXT, JSON = b"Store z 1", b'{"type": "Store", "key": "z", "value": 1}'


@pytest.mark.parametrize("body", [TEXT, JSON])
@pytest.mark.parametrize("verb", [b"call", b"cast"])
@pytest.mark.parametrize(
    ("name", "query"),
    [(b"billing.kv", b""), (b"kv", b"in=billing"), (b"billing.kv", b"in=billing"), (b"kv", b"in=")],
)
def test_an_input_reaches_a_worker_of_a_remote_child_as_text_and_as_json(
    scene: Scene, name: bytes, query: bytes, verb: bytes, body: bytes
) -> None:
    kind = {b"content-type": b"application/json"} if body == JSON else {}
    answer = scene.http(b"POST", b"/v1/workers/%s/%s" % (name, verb), query, body, kind)
    assert answer.status == {b"call": 200, b"cast": 202}[verb], answer
    scene.near.run(0)
    if query == b"in=":  # no name is this tree
        assert scene.near.get_state("kv") == {"z": 1}
        return
    assert (scene.far.get_state("kv"), scene.near.get_state("kv")) == ({"y": 3, "z": 1}, {})
    told = msgspec.json.decode(answer.body)
    assert told["worker"] == "billing.kv"


@pytest.mark.parametrize("verb", [b"call", b"cast"])
def test_in_a_child_that_is_not_there_nothing_is_called_nor_cast(scene: Scene, verb: bytes) -> None:
    answer = scene.http(b"POST", b"/v1/workers/kv/" + verb, b"in=nosuch", TEXT)
    assert answer.status == 404
    assert scene.near.get_state("kv") == {}


@pytest.mark.parametrize("effect", sorted(HERE_ONLY - NAMED_WHOLE))
def test_what_is_about_this_tree_alone_refuses_in_and_does_nothing(
    scene: Scene, effect: str
) -> None:
    route = BY_EFFECT[effect]
    path = route.path.replace("{name}", "kv").encode()
    answer = scene.http(route.method.encode(), path, b"in=billing", b"Store z 1")
    assert answer.status == 400, answer
    assert b"is not for" in answer.body
    assert scene.near.running
    assert scene.far.running
    assert scene.near.get_state("kv") == {}


@pytest.mark.parametrize(
    ("carried", "status", "why"),
    [
        (Carried("POST", "/v1/stop"), 400, "not carried"),
        (Carried("GET", "/v1/reports"), 400, "not carried"),
        (Carried("POST", "/v1/workers/kv/call", body=b"Store z 1"), 400, "not carried"),
        (Carried("GET", "/v1/nowhere"), 404, "nothing at"),
        (Carried("POST", "/v1/nodes/kv/kill", query="at="), 200, ""),
        (Carried("POST", "/v1/nodes/kv/kill", query="x=1"), 400, "takes no `x`"),
        (
            Carried("POST", "/v1/history/replay", query="worker=kv&code=/etc/passwd"),
            403,
            "not taken",
        ),
    ],
)
def test_what_is_carried_is_judged_where_it_is_answered(
    scene: Scene, carried: Carried, status: int, why: str
) -> None:
    answer = msgspec.json.decode(
        scene.answer(msgspec.json.encode(carried)).output, type=CarriedAnswer
    )
    assert answer.status == status
    assert why in answer.body.decode()
    assert scene.far.running
    assert "z" not in scene.far.get_state("kv")


def test_bytes_that_are_no_request_are_refused(scene: Scene) -> None:
    answer = msgspec.json.decode(scene.answer(b"\xff{").output, type=CarriedAnswer)
    assert answer.status == 400


@pytest.mark.parametrize("line", ["kill billing.kv", "set billing.kv {}", "suspend billing.kv"])
def test_who_may_look_changes_nothing(line: str) -> None:
    scene = Scene(Role.READ)
    refused = said(scene.near, line)
    assert refused.error
    assert "one may look" in refused.lines[0]
    assert said(scene.near, "state billing.kv").lines == ("{}",)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("tree --in kv", "kv is no remote child of this tree"),
        ("tree --in nobody", "nobody is no remote child of this tree"),
        ("state nobody.kv", "no worker nobody.kv"),
    ],
)
def test_what_is_no_remote_child_is_said(scene: Scene, line: str, words: str) -> None:
    refused = said(scene.near, line)
    assert refused.exit_code == 4
    assert words in refused.lines[0]


def test_a_child_that_is_cut_off_is_not_waited_for(scene: Scene) -> None:
    scene.links.link("billing", reachable=False)
    scene.near.run(0)
    refused = said(scene.near, "state billing.kv")
    assert refused.exit_code == 5
    assert "billing at node here cannot be reached" in refused.lines[0]


def test_an_answer_that_is_too_large_to_cross_is_said(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssm_cli.http.far_door.MAX_INPUT_BYTES", 20)
    refused = said(scene.near, "log --in billing")
    assert refused.error
    assert "ask for less" in refused.lines[0]
    assert ports.MAX_INPUT_BYTES == 12_000_000
