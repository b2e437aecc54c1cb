"""The doors of a cluster: who may speak to the embedded server, and what an order can have run.

`nobody` is another user of the computer. Tests that become that user need root, and are skipped
elsewhere.
"""

from __future__ import annotations

import asyncio
import importlib.util
import io
import json
import os
import re
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ssm_cli.cli.cluster.access import access_of
from ssm_cli.cli.environment import Environment
from ssm_cli.cluster.agent.agent import Agent
from ssm_cli.cluster.jetstream.cluster import NatsCluster, open_cluster
from ssm_cli.cluster.jetstream.embedded import TOLD, Embedded, running_server
from ssm_cli.cluster.jetstream.wire import Access, access_at, connect
from ssm_cli.cluster.owner.code import Undefined, tree_of
from ssm_cli.cluster.owner.page import LeasePage
from ssm_cli.cluster.ports import CallLost, ClusterError
from ssm_cli.cluster.protocol import names
from ssm_cli.cluster.protocol.messages import Lease, Ping, Said, Start
from ssm_cli.cluster.protocol.roles import ClusterRole
from ssm_cli.errors import CommandError
from tests.cluster.servers import Servers
from tests.program import ssm

pytest.importorskip("nats", reason="the extra `cluster` is not installed")
NOBODY = 65_534
TTL_S = 60.0  # of leases, none of which is to be over on a busy machine
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can try what another user can")
TREE = 'supervisor: r\nchildren: [{worker: a, start: "ssm_cli.machines.kv:kv_store"}]\n'
CODE = """\
from os import getcwd
from ssm_cli import Supervisor, Worker
from ssm_cli.machines.kv import kv_store
tree = Supervisor("r", children=[Worker("a", kv_store)])
def made():
    return tree
"""


# -- what an order can have run --------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a node, and one beside it with code that is not to be run."""
    here, outside = tmp_path / "here", tmp_path / "outside"
    (here / "pack").mkdir(parents=True)
    outside.mkdir()
    for place in (here, outside):
        (place / "billing.yaml").write_text(TREE)
    (here / "doors_of_node.py").write_text(CODE)
    (here / "pack" / "deep.yaml").write_text(TREE)
    (outside / "doors_evil.py").write_text("raise SystemExit('code from outside has run')")
    (here / "link.yaml").symlink_to(outside / "billing.yaml")
    (here / "linked").symlink_to(outside)
    (here / "doors_linked.py").symlink_to(outside / "doors_evil.py")
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield here
    for name in [name for name in sys.modules if name.startswith("doors_")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    "spec",
    [
        "billing.yaml", "./billing.yaml", "pack/deep.yaml", "doors_of_node:tree",
        "doors_of_node:made",
    ],
)  # fmt: skip
def test_what_lies_in_the_folder_is_found(folder: Path, spec: str) -> None:
    assert tree_of(spec, folder).id == "r"


@pytest.mark.parametrize(
    "spec",
    [
        "../outside/billing.yaml", "pack/../../outside/billing.yaml", "pack/../billing.yaml",
        "link.yaml", "linked/billing.yaml", "{outside}/billing.yaml", "{here}/billing.yaml",
        "doors_linked:tree", "linked.doors_evil:tree", "doors_evil:tree", "..doors_evil:tree",
        "os:abort", "sys:exit", "ssm_cli.machines.kv:kv_store", "/etc/passwd", "gone.yaml",
        "\0.yaml", "x" * 5000 + ".yaml", "~/billing.yaml", ":tree", "pack", "", ".",
    ],
)  # fmt: skip
def test_a_spec_never_leaves_the_folder(folder: Path, spec: str) -> None:
    outside = folder.parent / "outside"
    with pytest.raises(Undefined):
        tree_of(spec.format(here=folder, outside=outside), folder)


def test_only_functions_of_the_module_itself_are_called(folder: Path) -> None:
    with pytest.raises(Undefined, match="expected a Supervisor"):
        tree_of("doors_of_node:getcwd", folder)


Ask = Callable[[NatsCluster, str], Coroutine[Any, Any, Said | CallLost]]


def ordered(servers: Servers, tmp_path: Path, lease: Lease | None, *, behind: int = 0) -> Said:
    """The answer of an agent to a start; `behind`: the order names an older lease."""

    async def main() -> Said:
        cluster = await open_cluster(Access(servers.url), "test")
        agent = Agent(
            cluster, cluster, Access(servers.url), name=tmp_path.name, labels={},
            folder=str(tmp_path),
        )  # fmt: skip
        stop = asyncio.Event()
        running = asyncio.ensure_future(agent.run(stop))
        try:
            await answered(cluster, names.looks(tmp_path.name), Ping())
            revision = 1
            if lease is not None:
                cells = await cluster.cells(names.leases(tmp_path.name))
                done = await cells.cas("s", msgspec.json.encode(lease), 0)
                assert isinstance(done, int)
                revision = done - behind
            start = Start(tmp_path.name, "s", "billing.yaml", 1, revision, TTL_S)
            said = await answered(cluster, names.agent(tmp_path.name), start)
            assert not agent._children or said.ok
        finally:
            stop.set()
            await running
            await cluster.close()
        return said

    return asyncio.run(main())


async def answered(cluster: NatsCluster, subject: str, message: Ping | Start) -> Said:
    for _ in range(200):
        reply = await cluster.calls.call(subject, msgspec.json.encode(message), 60.0)
        if not isinstance(reply, CallLost):
            return msgspec.json.decode(reply, type=Said)
        await asyncio.sleep(0.02)
    raise AssertionError(f"nobody answers at {subject}")


def lease_for(node: str, **other: Any) -> Lease:
    return Lease(**{"node": node, "epoch": 1, "ttl_s": TTL_S, "spec": "billing.yaml", **other})


def test_an_order_without_a_lease_of_the_parent_starts_nothing(
    one_server: Servers, tmp_path: Path
) -> None:
    said = ordered(one_server, tmp_path, None)
    assert (said.ok, said.reason) == (False, "fenced")
    assert said.detail == "no lease asks this node for epoch 1 of billing.yaml"


@pytest.mark.parametrize(
    "other",
    [{"node": "n9"}, {"epoch": 2}, {"spec": "other.yaml"}, {"spec": ""}, {"released": True}],
    ids=str,
)
def test_an_order_that_is_not_what_the_lease_says_starts_nothing(
    one_server: Servers, tmp_path: Path, other: dict[str, Any]
) -> None:
    said = ordered(one_server, tmp_path, lease_for(**{"node": tmp_path.name, **other}))
    assert (said.ok, said.reason) == (False, "fenced")


def test_an_order_that_names_an_older_lease_starts_nothing(
    one_server: Servers, tmp_path: Path
) -> None:
    said = ordered(one_server, tmp_path, lease_for(tmp_path.name), behind=1)
    assert (said.ok, said.reason) == (False, "fenced")


def test_an_order_that_the_lease_names_is_carried_out(one_server: Servers, tmp_path: Path) -> None:
    (tmp_path / "billing.yaml").write_text(TREE)
    assert ordered(one_server, tmp_path, lease_for(tmp_path.name)).ok


def test_code_is_not_loaded_before_the_lease_is_taken(one_server: Servers, tmp_path: Path) -> None:
    """The process of a subtree, started by hand, with a page that no agent keeps."""
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    start = Start(tmp_path.name, "s", "evil.py", 1, 1, TTL_S)
    job = {
        "start": msgspec.to_builtins(start), "access": {"url": one_server.url}, "node": "n",
        "folder": str(tmp_path),
    }  # fmt: skip
    page = LeasePage()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        numbers = [theirs.fileno(), page.fileno()]
        process = subprocess.Popen(
            [sys.executable, "-m", "ssm_cli.cluster.owner.host", *map(str, numbers)],
            pass_fds=numbers,
        )
        theirs.close()
        ours.sendall(json.dumps(job).encode() + b"\n")
        told = json.loads(ours.makefile().readline())
    process.wait(180)
    assert (told["event"], told["reason"]) == ("ended", "fenced")
    assert not (tmp_path / "ran").exists()


# -- who may speak to the embedded server ----------------------------------------------------------


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of an embedded server that runs, made under the worst umask."""
    folder = tmp_path_factory.mktemp("embedded")
    folder.chmod(0o755)
    for parent in folder.parents[:3]:
        parent.chmod(0o755)
    before = os.umask(0)
    server = Embedded(folder, os.environ)
    try:
        assert server.take()
        asyncio.run(server.start())
    finally:
        os.umask(before)
    yield folder
    server.stop()


def access_in(folder: Path, role: ClusterRole) -> Access:
    found = running_server(folder, role)
    assert found is not None
    return found


def test_its_files_are_for_their_owner_alone(embedded: Path) -> None:
    files = [path for path in embedded.iterdir() if path.is_file()]
    assert {path.name for path in files} >= {TOLD, "server.conf", "server.log", "lock"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((embedded / "store").stat().st_mode) == 0o700


def test_who_has_no_password_is_refused_and_told_so(embedded: Path) -> None:
    url = access_in(embedded, ClusterRole.TREE).url
    for access in (Access(url), access_at(url.replace("//", "//tree:guessed@")), access_at(url)):
        with pytest.raises(ClusterError, match="refuses us") as refused:
            asyncio.run(open_cluster(access, "intruder"))
        assert "guessed" not in str(refused.value)


def test_its_user_enters_it_by_its_url_as_well_and_nobody_is_sent_its_passwords(
    embedded: Path, tmp_path: Path
) -> None:
    (tmp_path / "ssm").mkdir()
    (tmp_path / "ssm" / "cluster").symlink_to(embedded)
    env = Environment(
        io.StringIO(), io.StringIO(), io.StringIO(), {"XDG_STATE_HOME": str(tmp_path)}
    )
    role = ClusterRole.TREE
    own = access_in(embedded, role)
    for url in (own.url, f"{own.url}/", own.url.replace("127.0.0.1", "localhost")):
        assert access_of(env, url, role) == own
    for url in ("nats://127.0.0.1:1", "nats://10.0.0.1:4222", f"tls{own.url[4:]}"):
        assert access_of(env, url, role) == Access(url)


INTRUDER = """
import socket, sys
host, port = sys.argv[1].removeprefix("nats://").split(":")
with socket.create_connection((host, int(port)), 60) as sock:
    file = sock.makefile("rwb")
    file.readline()
    file.write(b'CONNECT {"verbose":false}\\r\\nPUB ssm.node.n1.ctl 2\\r\\n{}\\r\\nPING\\r\\n')
    file.flush()
    print(file.readline().decode().strip())
for path in sys.argv[2:]:
    try:
        print(open(path).read())
    except OSError as error:
        print(error.strerror)
"""


@as_root
def test_another_user_of_the_computer_is_refused(embedded: Path) -> None:
    url = access_in(embedded, ClusterRole.TREE).url
    files = [str(embedded / name) for name in (TOLD, "server.conf", "server.log")]
    done = subprocess.run(
        ["/usr/bin/env", "python3", "-c", INTRUDER, url, *files],
        user=NOBODY, group=NOBODY, extra_groups=[], cwd="/", capture_output=True, text=True,
        env={"PATH": os.environ["PATH"]}, check=False, timeout=60,
    )  # fmt: skip
    if "Permission denied" in done.stderr:
        pytest.skip("that user cannot run this Python")
    denied = ["Permission denied"] * len(files)
    assert done.stdout.splitlines() == ["-ERR 'Authorization Violation'", *denied], done.stderr


def refusal(access: Access, do: Callable[[NatsCluster], Coroutine[Any, Any, Any]]) -> str:
    """What the server says against an action, of publishing or of listening; "" if nothing."""

    async def main() -> str:
        cluster = await open_cluster(access, "role")
        client = cluster._wire._client
        said: list[str] = []

        async def heard(error: Exception) -> None:
            said.append(str(error))

        client._error_cb = heard
        try:
            await do(cluster)
            await client.flush()
            await asyncio.sleep(0)
        finally:
            await cluster.close()
        return " ".join(said)

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("role", "subject"),
    [
        ("look", "ssm.node.n1.ctl"), ("look", "ssm.shop.call.billing.invoice"),
        ("look", "$KV.SSM_shop_L.billing"), ("look", "$JS.API.STREAM.DELETE.SSM_shop"),
        ("look", "$JS.API.STREAM.MSG.GET.SSM_shop"),
        ("call", "ssm.node.n1.ctl"), ("call", "ssm.shop.ctl.billing"), ("call", "ssm.shop.j.b"),
        ("call", "$KV.SSM_NODES.n1"), ("call", "ssm.shop.exit.billing"),
        ("tree", "ssm.shop.j.billing"), ("tree", "ssm.shop.exit.billing"),
        ("tree", "$JS.API.STREAM.PURGE.SSM_shop"),
        ("subtree", "ssm.node.n1.ctl"), ("subtree", "ssm.shop.ctl.billing"),
        ("node", "ssm.node.n2.ctl"), ("node", "ssm.shop.j.billing"), ("node", "$KV.SSM_shop_L.b"),
        *((role, "$JS.API.STREAM.DELETE.SSM_NODES") for role in ClusterRole),
        *((role, "$SYS.REQ.SERVER.PING") for role in ClusterRole),
    ],
)  # fmt: skip
def test_a_role_may_not_write_where_it_has_no_business(
    embedded: Path, role: str, subject: str
) -> None:
    said = refusal(
        access_in(embedded, ClusterRole(role)), lambda cluster: cluster.calls.send(subject, b"{}")
    )
    assert re.search("permissions violation for publish", said, re.IGNORECASE)


@pytest.mark.parametrize(
    ("role", "subject"),
    [
        ("look", ">"), ("call", "ssm.>"), ("call", "_INBOX.>"), ("call", "_INBOX.tree.>"),
        ("tree", "ssm.shop.call.billing.*"), ("subtree", "ssm.node.n1.ctl"),
        ("node", "ssm.shop.call.>"),
    ],
)  # fmt: skip
def test_a_role_may_not_listen_where_it_has_no_business(
    embedded: Path, role: str, subject: str
) -> None:
    async def listen(cluster: NatsCluster) -> None:
        await cluster._wire._client.subscribe(subject)

    said = refusal(access_in(embedded, ClusterRole(role)), listen)
    assert re.search("permissions violation for subscription", said, re.IGNORECASE)


# -- passwords of a URL ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "user", "password"),
    [
        ("nats://ann:s3cret@h:4222", "ann", "s3cret"), ("tls://s3cret@h", "", "s3cret"),
        ("nats://ann:s3cret@h1,nats://ann:s3cret@h2", "ann", "s3cret"),
        ("ann:s3%40cret@h", "ann", "s3@cret"), ("nats://h", "", ""),
    ],
)  # fmt: skip
def test_a_password_of_a_url_is_never_part_of_what_is_shown(
    url: str, user: str, password: str
) -> None:
    found = access_at(url)
    assert (found.user, found.password) == (user, password)
    assert "@" not in found.url
    assert "s3" not in found.url


@pytest.mark.parametrize(
    ("url", "what"),
    [("http://h:1", "`http://`"), ("nats://h,foo://h", "`foo://`"), ("nats://s3cret://h", "this")],
)
def test_a_url_of_something_else_is_refused_before_anybody_is_asked(url: str, what: str) -> None:
    with pytest.raises(CommandError, match=f"^{what} is no URL of a cluster; expected nats://"):
        access_at(url)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("nats:10.0.0.1", "nats:10.0.0.1"), ("nats:/10.0.0.1:4222", "nats:/10.0.0.1:4222"),
        ("nats://", ""), ("nats://ann:s3cret@", ""), ("nats://h:99999", "h:99999"),
        ("nats://h:abc", "h:abc"), ("nats://h:0", "h:0"), ("nats://h:4222,", ""), (",h", ""),
        ("nats://h: 4222", "h: 4222"), ("tls://::1", "::1"), ("nats://h:1:2", "h:1:2"),
        ("nats://h/x", "h/x"), ("nats://h:\u0663", "h:\u0663"), ("", ""),
    ],
)  # fmt: skip
def test_a_url_that_names_no_server_is_refused_before_anybody_is_asked(
    url: str, place: str
) -> None:
    with pytest.raises(CommandError, match=f"^`{re.escape(place)}` is no server of a cluster; "):
        access_at(url)


@pytest.mark.parametrize("url", ["h", "h:1", "nats://[::1]:4222", "tls://h:65535/", "10.0.0.1"])
def test_a_url_that_names_a_server_is_taken(url: str) -> None:
    assert access_at(url).url == url


@pytest.mark.parametrize(
    "command", [("nodes",), ("call", "b.w", "x"), ("node",), ("move", "a", "b")]
)
def test_a_password_on_the_command_line_is_refused_and_not_repeated(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    done = ssm(*command, "--cluster", "nats://ann:s3cret@h:1", cwd=tmp_path)
    assert done.returncode == 2
    assert "SSM_CLUSTER" in done.stderr
    assert "s3cret" not in done.stdout + done.stderr


def test_a_password_of_the_variable_is_in_no_error(tmp_path: Path) -> None:
    environ = {**os.environ, "SSM_CLUSTER": "nats://ann:s3cret@127.0.0.1:1"}
    done = ssm("nodes", env=environ, cwd=tmp_path)
    assert done.returncode == 5
    assert "no cluster at nats://127.0.0.1:1" in done.stderr
    assert "s3cret" not in done.stderr


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: None])
def test_credentials_that_cannot_be_read_are_named(
    tmp_path: Path, make: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "n1.creds"
    make(path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())  # nkeys is installed
    access = Access("nats://127.0.0.1:1", creds=str(path))
    with pytest.raises(ClusterError, match=f"cannot read the credentials of {path}, which SSM_"):
        asyncio.run(connect(access, "t"))


def test_without_what_reads_credentials_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "nkeys" else found(name)
    )
    access = Access("nats://127.0.0.1:1", creds=str(tmp_path / "n1.creds"))
    with pytest.raises(ClusterError, match=r"SSM_CLUSTER_CREDS names, need .*pip install nkeys"):
        asyncio.run(connect(access, "t"))
