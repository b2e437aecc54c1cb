"""Groups over HTTP: who is a member, and one input to all of them."""

from __future__ import annotations

import asyncio
from typing import Any

from ssm_cli import Join, Ok, StateMachine, Supervisor, Worker
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
            answer = await served.ask("POST", "/v1/groups/none/publish", "x")
            assert answer[1]["members"] == 0
            status, record, _ = await served.ask("POST", f"/v1/groups/{'x' * 201}/publish", "x")
            assert (status, record["error"]["term"]) == (409, "badarg")

    asyncio.run(main())
