"""Where trees are found: names, folders, sockets that a killed tree left behind."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ssm_cli.errors import CommandError, NoTree
from ssm_cli.http import places
from ssm_cli.http.client.find import find, running_trees


@pytest.fixture
def environ() -> dict[str, str]:
    return {"XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"]}


def leave_behind(name: str, environ: dict[str, str]) -> Path:
    """The socket of a tree that was killed."""
    sock, path, _ = places.listen(name, environ)
    sock.close()
    return path


def test_folder_and_socket_are_the_users_alone(environ: dict[str, str]) -> None:
    sock, path, said = places.listen("kv", environ)
    with sock:
        assert said == []
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert path == Path(environ["XDG_RUNTIME_DIR"]) / "ssm" / "kv.sock"


def test_a_socket_is_not_there_before_it_listens(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[bool] = []

    class Slow(socket.socket):
        def listen(self, backlog: int = 0, /) -> None:
            there.append(places.socket_path("kv", environ).exists())
            super().listen(backlog)

    monkeypatch.setattr(socket, "socket", Slow)
    sock, path, _ = places.listen("kv", environ)
    with sock:
        assert (there, places.is_alive(path), places.names(environ)) == ([False], True, ["kv"])
        assert [one.name for one in path.parent.iterdir() if one.is_socket()] == ["kv.sock"]


def test_a_second_tree_of_a_name_is_refused_and_told_where_the_first_runs(
    environ: dict[str, str],
) -> None:
    sock, path, _ = places.listen("kv", environ)
    with sock, pytest.raises(CommandError, match=f"runs already, at {path}"):
        places.listen("kv", environ)


def test_the_socket_of_a_killed_tree_is_replaced_and_said_so(environ: dict[str, str]) -> None:
    path = leave_behind("kv", environ)
    sock, again, said = places.listen("kv", environ)
    with sock:
        assert again == path
        assert said == [f"removed {path}: no tree was behind it any more"]
        assert places.is_alive(path)


def test_listing_removes_what_nobody_listens_on(environ: dict[str, str]) -> None:
    path = leave_behind("kv", environ)
    said: list[str] = []
    assert running_trees(environ, said.append) == []
    assert said == [f"removed {path}: no tree was behind it any more"]
    assert not path.exists()


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a b", "x" * 65])
def test_a_name_that_no_file_can_have_is_refused(name: str, environ: dict[str, str]) -> None:
    with pytest.raises(CommandError, match="--name"):
        places.socket_path(name, environ)


def test_a_path_too_long_for_a_socket_is_refused_with_what_to_do() -> None:
    with pytest.raises(CommandError, match="--no-socket"):
        places.socket_path("kv", {"XDG_RUNTIME_DIR": "/" + "x" * 100})


def test_a_folder_that_is_a_file_is_refused(environ: dict[str, str]) -> None:
    (Path(environ["XDG_RUNTIME_DIR"]) / "ssm").write_text("")
    with pytest.raises(CommandError, match="cannot make"):
        places.listen("kv", environ)


def test_a_wider_folder_is_made_narrow(environ: dict[str, str]) -> None:
    folder = Path(environ["XDG_RUNTIME_DIR"]) / "ssm"
    folder.mkdir(mode=0o755)
    sock, _, _ = places.listen("kv", environ)
    sock.close()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_with_no_tree_there_is_a_line_that_says_how_to_start_one(environ: dict[str, str]) -> None:
    with pytest.raises(NoTree, match="ssm run TREE"):
        find(environ)
    leave_behind("kv", environ)
    with pytest.raises(NoTree, match="ssm run TREE"):
        find(environ)
    with pytest.raises(NoTree, match="no running tree is called kv9"):
        find(environ, name="kv9")


def test_of_several_trees_one_must_be_chosen(environ: dict[str, str]) -> None:
    first, _, _ = places.listen("kv", environ)
    second, _, _ = places.listen("zoo", environ)
    with first, second:
        with pytest.raises(NoTree, match="several trees run: kv, zoo"):
            find(environ)
        assert find(environ, name="zoo").name == "zoo"
        assert find(environ | {"SSM_NAME": "kv"}).name == "kv"


def test_the_only_tree_is_found_by_itself(environ: dict[str, str]) -> None:
    sock, path, _ = places.listen("kv", environ)
    with sock:
        assert find(environ).connection.address.path == str(path)


def test_a_url_and_a_name_are_one_too_many(environ: dict[str, str]) -> None:
    with pytest.raises(CommandError, match="not both"):
        find(environ, url="http://localhost:1", name="kv")


@pytest.mark.parametrize("url", ["localhost", "ftp://x", "http://", "http://x:y"])
def test_a_url_that_no_tree_can_have_is_refused(url: str, environ: dict[str, str]) -> None:
    with pytest.raises(CommandError, match="no URL of a tree"):
        find(environ, url=url)


def test_nobody_at_a_url_is_no_tree(environ: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    with pytest.raises(NoTree, match="no tree can be reached at http:"):
        find(environ | {"SSM_TOKEN": "t" * 20}, url=f"http://127.0.0.1:{port}").tree()


def test_without_the_variable_there_is_a_folder_of_the_users_and_no_warning() -> None:
    assert places.folder({}).name == "ssm"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_not_trusted(environ: dict[str, str]) -> None:
    folder = Path(environ["XDG_RUNTIME_DIR"]) / "ssm"
    folder.mkdir()
    os.chown(folder, 12_345, -1)
    with pytest.raises(CommandError, match="belongs to somebody else"):
        find(environ)


@pytest.mark.parametrize("name", [None, "shop"])
def test_where_a_cluster_is_named_and_no_tree_runs_here_it_is_said_how_to_call_there(
    name: str | None, environ: dict[str, str]
) -> None:
    with pytest.raises(NoTree) as here:
        find(environ, name=name)
    assert "--cluster" not in str(here.value)
    with pytest.raises(NoTree, match="in the cluster of SSM_CLUSTER call with `--cluster URL`"):
        find(environ | {"SSM_CLUSTER": "nats://h:4222"}, name=name)
