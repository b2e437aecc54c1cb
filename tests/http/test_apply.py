"""`apply` over HTTP: a role of its own, files of the tree's folder alone, stale plans."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from ssm_cli import Node, load_tree
from ssm_cli.commands.routes import Role
from ssm_cli.http.access import Gate
from ssm_cli.http.served import Entrance, ServedNode
from tests.http.serving import Served

TOKENS = {role: role.name.lower() * 8 for role in (Role.READ, Role.CALL, Role.APPLY, Role.ADMIN)}
GATE = Gate({token: role for role, token in TOKENS.items()})
WORKER = "  - {{worker: {0}, start: ssm_cli.machines.kv:kv_store}}\n"


def write(file: Path, *workers: str) -> None:
    file.write_text("supervisor: root\nchildren:\n" + "".join(map(WORKER.format, workers)))


class Client:
    """Asks as somebody with a role."""

    def __init__(self, served: Served) -> None:
        self.served = served

    async def ask(self, role: Role, target: str, method: str = "POST") -> tuple[int, Any]:
        headers = {"authorization": f"Bearer {TOKENS[role]}"}
        status, body, _ = await self.served.ask(method, target, b"", headers)
        return status, body


def serving(file: Path, story: Any) -> None:
    async def main() -> None:
        node = Node(load_tree(file))
        node.file = str(file)
        sock = socket.create_server(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        served = ServedNode(node, entrances=(Entrance(sock, gate=GATE),), file=str(file))
        node.start()
        task = asyncio.create_task(served.serve())
        try:
            await story(Client(Served(served, port)), node)
        finally:
            node.stop()
            await task

    asyncio.run(main())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tree" / "kv.yaml"
    path.parent.mkdir()
    write(path, "kv1", "kv2")
    return path


def test_planning_and_applying_need_the_role_apply_which_may_do_no_more(file: Path) -> None:
    async def story(client: Client, node: Node) -> None:
        write(file, "kv1", "kv3")
        for role in (Role.READ, Role.CALL):
            for target in ("/v1/plan", "/v1/apply"):
                status, body = await client.ask(role, target)
                assert (status, "the role apply" in body["error"]["message"]) == (403, True)
        status, plan = await client.ask(Role.APPLY, "/v1/plan")
        assert (status, [step["act"] for step in plan["steps"]]) == (200, ["stop", "start"])
        assert (plan["v"], plan["type"]) == (1, "plan")
        assert node.whereis("kv3") is None
        status, done = await client.ask(Role.APPLY, f"/v1/apply?plan={plan['digest']}")
        assert (status, len(done["done"]), done["failed"]) == (200, 2, None)
        assert (done["v"], done["type"]) == (1, "applied")
        for target in ("/v1/nodes/kv1/kill", "/v1/stop", "/v1/supervisors/root/children"):
            assert (await client.ask(Role.APPLY, target))[0] == 403
        assert (await client.ask(Role.ADMIN, "/v1/plan"))[0] == 200

    serving(file, story)


def test_a_stale_plan_is_a_conflict(file: Path) -> None:
    async def story(client: Client, node: Node) -> None:
        write(file, "kv1")
        status, body = await client.ask(Role.APPLY, "/v1/apply?plan=0123456789ab")
        assert (status, body["error"]["term"]) == (409, "stale")
        assert node.whereis("kv2") is not None

    serving(file, story)


def test_over_the_network_only_files_of_the_folder_of_the_tree_are_read(
    file: Path, tmp_path: Path
) -> None:
    async def story(client: Client, node: Node) -> None:
        inside, outside = file.parent / "next.yaml", tmp_path / "other.yaml"
        for path in (inside, outside):
            write(path, "kv1")
        for target in ("/v1/plan", "/v1/apply"):
            status, body = await client.ask(Role.ADMIN, f"{target}?tree={outside}")
            assert (status, "`tree` is a file in" in body["error"]["message"]) == (403, True)
        status, _ = await client.ask(Role.APPLY, f"/v1/apply?tree={inside}")
        assert (status, node.whereis("kv2")) == (200, None)

    serving(file, story)


@pytest.mark.parametrize("name", ["t.yaml%00", "%00"])
def test_what_is_no_path_of_a_file_is_told(file: Path, name: str) -> None:
    async def story(client: Client, _: Node) -> None:
        for target in (f"/v1/plan?tree={name}", f"/v1/apply?tree={name}"):
            status, body = await client.ask(Role.ADMIN, target)
            told = "`tree` is no path of a file" in body["error"]["message"]
            assert (status, told) == (400, True)

    serving(file, story)


def test_a_file_with_mistakes_is_refused_with_every_complaint(file: Path) -> None:
    async def story(client: Client, _: Node) -> None:
        write(file, "kv1", "kv1", "kv 2")
        status, body = await client.ask(Role.APPLY, "/v1/apply")
        assert (status, body["error"]["message"].count("kv.yaml:")) == (400, 2)
        assert (await client.ask(Role.APPLY, "/v1/apply?specs_only=maybe"))[0] == 400

    serving(file, story)


@pytest.mark.parametrize("query", ["pln={0}", "plan=", "plan={0}&plan={0}", "at=&pla=x"])
def test_a_guard_that_is_not_understood_is_no_leave_to_go_on_without_it(
    file: Path, query: str
) -> None:
    async def story(client: Client, node: Node) -> None:
        write(file, "kv1")
        status, body = await client.ask(Role.APPLY, f"/v1/apply?{query.format('0123456789ab')}")
        assert (status, "plan`" in body["error"]["message"]) == (400, True)
        assert node.whereis("kv2") is not None

    serving(file, story)
