"""The commands that ask a cluster of a user's own servers, in the clear and over TLS."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from ssm_cli.cluster.agent.directory import call
from ssm_cli.cluster.ports import Cluster, ClusterDenied
from ssm_cli.cluster.simulated.ports import SimCluster
from ssm_cli.http.client.find import find
from ssm_cli.machines.kv import Store
from tests.cluster.conftest import simulated
from tests.cluster.servers import Servers
from tests.cluster.test_program import BILLING, Shell
from tests.http.certificates import make, needs_openssl

pytest.importorskip("nats", reason="the extra `cluster` is not installed")

TLS = 'tls {{ cert_file: "{cert}", key_file: "{key}" }}\n'


def shell_of(folder: Path, *, tls: bool, more: str = "") -> tuple[Shell, Servers]:
    """A shell whose `SSM_CLUSTER` names a server of its own, and that server."""
    shell = Shell(folder)
    (folder / "billing.yaml").write_text(f"{BILLING}intensity: 9\n")
    if not tls:
        servers = Servers(folder, more=more).start_all()
        shell.environ["SSM_CLUSTER"] = servers.url
        return shell, servers
    cert, key = make(folder, "server")
    servers = Servers(folder, more=TLS.format(cert=cert, key=key) + more).start_all()
    url = servers.url.replace("nats://127.0.0.1", "tls://localhost")
    shell.environ |= {"SSM_CLUSTER": url, "SSM_CLUSTER_CA": str(cert)}
    return shell, servers


@pytest.fixture(scope="module", params=["nats", pytest.param("tls", marks=needs_openssl)])
def shop(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shell]:
    """Two nodes, and a tree with a remote child."""
    shell, servers = shell_of(tmp_path_factory.mktemp("shop"), tls=request.param == "tls")
    try:
        shell.start("node", "--name", "n1", "--label", "zone=a")
        shell.start("node", "--name", "n2", "--label", "zone=a")
        shell.until(lambda: len(shell.nodes()) == 2)
        shell.start("run", "shop.yaml", "--headless")
        shell.until(lambda: shell.tree().get("mail", {}).get("state") == "running")
        yield shell
    finally:
        shell.end()
        servers.stop()


def asked(shop: Shell, verb: str, *words: str, given: str = "") -> tuple[int, str, str]:
    """What a command with `--cluster URL` comes to; nothing that is not ours is printed."""
    done = shop.run(verb, "--cluster", shop.environ["SSM_CLUSTER"], *words, given=given)
    assert "eof_received" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_a_call_by_name_prints_its_outputs(shop: Shell) -> None:
    assert asked(shop, "call", "billing.invoice", "Store x 1", "Lookup x") == (
        0, "Ok\nResult 1\n", "",
    )  # fmt: skip
    assert asked(shop, "call", "--name", "shop", "billing.invoice", "Lookup x")[:2] == (
        0, "Result 1\n",
    )  # fmt: skip
    code, out, _ = asked(shop, "call", "-o", "json", "billing.invoice", "Lookup x")
    record = json.loads(out)
    assert (code, record["outcome"], record["output"]) == (0, "replied", "Result 1")


def test_json_over_http_reaches_a_worker_of_a_remote_child_as_text_does(shop: Shell) -> None:
    node = find(shop.environ, name="shop")
    assert node.call("billing.invoice", Store("json", 7)) == "Ok"
    assert node.call("billing.invoice", b"Lookup json") == b"Result 7"
    node.cast("billing.invoice", Store("cast", 7))
    node.connection.close()
    shop.until(lambda: asked(shop, "call", "billing.invoice", "Lookup cast")[1] == "Result 7\n")


def test_a_call_by_name_takes_its_inputs_from_standard_input(shop: Shell) -> None:
    given = "Store line 7\nLookup line\n"
    assert asked(shop, "call", "billing.invoice", "-", given=given) == (0, "Ok\nResult 7\n", "")


def test_the_same_request_id_steps_each_input_once(shop: Shell) -> None:
    words = ("--request-id", "r1", "billing.invoice", "Store id 1", "Store id 2", "Lookup id")
    for _ in range(2):
        assert asked(shop, "call", *words) == (0, "Ok\nOk\nResult 2\n", "")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("billing.invoice", "Nonsense"), 6, "billing.invoice was not touched: "),
        (("billing.invoice", "Store x"), 6, "billing.invoice was not touched: "),
        (("billing.nobody", "Lookup x"), 4, "no worker nobody\n"),
        (("nosuch.invoice", "Lookup x"), 4, "no node hosts a subtree nosuch; "),
        (("billing", "Lookup x"), 4, "billing names no worker; one is SUBTREE.WORKER\n"),
        (
            ("--name", "other", "--timeout", "3", "billing.invoice", "Lookup x"), 4,
            "billing.invoice: nobody serves ssm.other.call.billing.invoice at ",
        ),
        (("--tree", "shop.yaml", "billing.invoice", "x"), 2, "leave out --tree"),
        (("--url", "http://x", "billing.invoice", "x"), 2, "leave out --url"),
    ],
)  # fmt: skip
def test_a_call_by_name_that_fails_says_why(
    shop: Shell, words: tuple[str, ...], code: int, said: str
) -> None:
    found = asked(shop, "call", *words)
    assert found[:2] == (code, "")
    assert said in found[2]
    assert "defect" not in found[2]


def test_a_crash_tells_the_exception_and_where_its_supervisor_is_heard(shop: Shell) -> None:
    """By name and through the tree, in a remote child: the log is not that of the tree here."""
    crash = "billing.invoice crashed on `Lookup crash`: ZeroDivisionError: "
    code, _, err = asked(shop, "call", "billing.invoice", "Lookup crash")
    assert code == 1
    assert err.startswith(crash)
    assert f"`ssm log --cluster {shop.environ['SSM_CLUSTER']}` shows" in err
    near = shop.run("call", "billing.invoice", "Lookup crash")
    assert near.returncode == 1
    assert near.stderr.startswith(crash)
    assert "`ssm log --in billing` shows what its supervisor did" in near.stderr
    assert "crashed" in shop.run("log", "--in", "billing").stdout


def test_the_page_of_a_subtree_is_of_its_records(shop: Shell) -> None:
    asked(shop, "call", "billing.invoice", "Store page 1")
    written = shop.run("report", "page.html", "--in", "billing", "--force")
    assert (written.returncode, written.stderr) == (0, "")
    assert "Store page 1" in (shop.folder / "page.html").read_text()
    refused = shop.run("report", "none.html", "--in", "nosuch")
    assert (refused.returncode, refused.stdout) == (4, "")
    assert not (shop.folder / "none.html").exists()


def test_how_to_fuzz_a_worker_of_a_subtree_again_can_be_pasted(shop: Shell) -> None:
    found = shop.run("fuzz", "billing.invoice", "--steps", "2000")
    again = found.stdout.rpartition("the same again: ssm ")[2].rstrip("\n")
    assert again.startswith("fuzz billing.invoice --seed 1 --steps 2000")
    pasted = shop.run(*shlex.split(again))
    assert (pasted.returncode, pasted.stderr) == (found.returncode, "")
    assert pasted.stdout.rpartition("ssm ")[2] == f"{again}\n"


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        (("--in", "billing"), "--in"), (("--name", "shop"), "--name"),
        (("--tree", "shop.yaml"), "--tree"), (("--at", "3"), "--at"),
        (("--data", "."), "--data"), (("--url", "http://x"), "--url"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("verb", ["tree", "log"])
def test_what_names_another_tree_is_refused_beside_a_cluster(
    shop: Shell, verb: str, words: tuple[str, str], refused: str
) -> None:
    found = asked(shop, verb, *words)
    assert (found[0], found[1]) == (2, "")
    assert f"--cluster asks a cluster; leave out {refused}\n" in found[2]


def test_the_whole_cluster_is_shown_moved_and_heard(shop: Shell) -> None:
    for verb in ("tree", "nodes"):
        code, out, err = asked(shop, verb)
        assert (code, err) == (0, "")
        assert "shop/billing" in out
    there = next(node["node"] for node in shop.nodes() if node["subtrees"])
    other = "n1" if there == "n2" else "n2"
    moved = asked(shop, "move", "billing", other)
    assert moved == (0, f"billing has gone from {there} to {other}\n", "")
    assert asked(shop, "call", "billing.invoice", "Store y 3")[:2] == (0, "Ok\n")
    shop.until(lambda: f"billing moved node={other}" in shop.run("log").stdout)
    code, out, err = asked(shop, "log")
    assert (code, err) == (0, "")
    assert "invoice" in out
    refused = asked(shop, "nodes", "--forget", "n1")
    assert refused[0] == 5
    assert "n1 answers" in refused[2]


def test_a_worker_in_the_place_of_the_url_is_told_as_that(shop: Shell) -> None:
    done = shop.run("call", "--cluster", "billing.invoice", "Lookup x")
    assert done.returncode == 2
    assert "`billing.invoice` is no URL; write --cluster nats://HOST:PORT billing" in done.stderr


@needs_openssl
def test_a_certificate_that_is_missing_is_named_by_its_variable(tmp_path: Path) -> None:
    wants = 'tls {{ cert_file: "{cert}", key_file: "{key}", ca_file: "{cert}", verify: true }}\n'
    cert, key = make(tmp_path, "server")
    servers = Servers(tmp_path, more=wants.format(cert=cert, key=key)).start_all()
    shell = Shell(tmp_path)
    url = servers.url.replace("nats://127.0.0.1", "tls://localhost")
    try:
        for given, said in (
            ({}, f"the certificate of the cluster at {url} is not trusted: .*SSM_CLUSTER_CA names"),
            ({"SSM_CLUSTER_CA": "/nope"}, "of /nope, which SSM_CLUSTER_CA names: "),
            ({"SSM_CLUSTER_CA": str(cert)}, f"{url} wants a certificate of ours.*_CERT and .*_KEY"),
            ({"SSM_CLUSTER_CERT": "/nope"}, "SSM_CLUSTER_CERT and SSM_CLUSTER_KEY: "),
        ):
            shell.environ |= {"SSM_CLUSTER": url, **given}
            done = shell.run("nodes")
            assert done.returncode == 5
            assert re.search(said, done.stderr), done.stderr
    finally:
        shell.end()
        servers.stop()


def test_who_may_not_look_is_told_to_name_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    async def denied(*_: object) -> None:
        raise ClusterDenied("h:4222 does not let us publish to $JS.API.STREAM.INFO.KV_SSM_NODES")

    async def body(one: Cluster, two: Cluster) -> None:
        with pytest.raises(ClusterDenied, match="KV_SSM_NODES; with --name TREE"):
            await call(one, "billing.invoice", b"Lookup x", 1.0)

    monkeypatch.setattr(SimCluster, "cells", denied)
    simulated(body)
