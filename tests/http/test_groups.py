"""Groups over HTTP: who is a member, and one input to all of them."""

from __future__ import annotations

import asyncio
from typing import Any

from ssm_cli import Join, Ok, StateMachine, Supervisor, Worker
from ssm_cli.commands.execute import execute
from ssm_cli.commands.parse import parse_words
from ssm_cli.machines.kv import Lookup, Store, step
from tests.http.serving import serve


def room(value: object) -> StateMachine:
    """A key-value store in the group `room 1`."""
    joins: Any = Ok({}, effects=[Join("room 1", value)])
    return StateMachine(step=step, init=lambda *_: joins, inputs=Store | Lookup)


TREE = Supervisor("root", children=[Worker("a", room(None)), Worker("b", room(7))])
ROOM = "/v1/groups/room%201"


def test_members_are_listed_with_their_values_and_a_publish_says_how_many_there_are() -> None:
    async def main() -> None:
        async with serve(TREE) as served:
            _, listed, _ = await served.ask("GET", "/v1/groups")
            assert listed == [{"group": "room 1", "members": 2}]
            _, members, _ = await served.ask("GET", f"{ROOM}/members")
            assert members == [{"worker": "a", "value": ""}, {"worker": "b", "value": "7"}]
            answer = await served.ask("POST", f"{ROOM}/publish", "Store x 1")
            assert answer[:2] == (202, {"group": "room 1", "members": 2})
            json = '{"type": "Store", "key": "y", "value": 2}'
            await served.ask("POST", f"{ROOM}/publish", json, {"content-type": "application/json"})
            for worker in ("a", "b"):
                assert (await served.call(worker, "Lookup x"))[1]["output"] == "Result 1"
                assert (await served.call(worker, "Lookup y"))[1]["output"] == "Result 2"

    asyncio.run(main())


def test_a_group_that_nobody_is_in_has_no_members_and_a_bad_name_is_refused() -> None:
    async def main() -> None:
        async with serve(TREE) as served:
            assert (await served.ask("GET", "/v1/groups/none/members"))[:2] == (200, [])
            assert (await served.ask("GET", "/v1/workers/nobody/groups"))[0] == 404
            answer = await served.ask("POST", "/v1/groups/none/publish", "x")
            assert answer[1]["members"] == 0
            status, record, _ = await served.ask("POST", f"/v1/groups/{'x' * 201}/publish", "x")
            assert (status, record["error"]["term"]) == (409, "badarg")

    asyncio.run(main())


def hidden(value: Any) -> Any:
    """What may be seen."""
    return "hidden" if value == "secret" else value


def registered(value: object) -> StateMachine:
    joins: Any = Ok({}, effects=[Join("room 1", value)])
    return StateMachine(step=step, init=lambda *_: joins, inputs=Store | Lookup, redact=hidden)


VALUES: dict[str, Any] = {"a": None, "b": {"port": 80, "up": [True, 1.5]}, "c": "secret", "d": "x"}
REGISTRY = Supervisor(
    "root", children=[Worker(name, registered(value)) for name, value in VALUES.items()]
)
SHOWN = VALUES | {"c": "hidden"}


def test_a_lookup_answers_with_the_values_as_json_redacted_and_in_the_order_of_joining() -> None:
    async def main() -> None:
        async with serve(REGISTRY) as served:
            status, found, _ = await served.ask("GET", f"{ROOM}/lookup")
            rows = [{"worker": worker, "value": value} for worker, value in SHOWN.items()]
            assert (status, found) == (200, rows)
            assert (await served.ask("GET", "/v1/groups/none/lookup"))[:2] == (200, [])
            assert served.node.lookup("room 1") == VALUES, "in the process itself they are whole"
            lines = execute(parse_words(["lookup", "room 1"], []), served.node).lines
            assert lines == ("a  null", 'b  {"port":80,"up":[true,1.5]}', 'c  "hidden"', 'd  "x"')

    asyncio.run(main())
