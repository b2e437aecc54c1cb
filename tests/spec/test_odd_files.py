"""Files that cannot be taken, as a tree and as the code of a worker: told, and never waited for."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from ssm_cli.errors import TreeFileError
from ssm_cli.spec import files
from ssm_cli.spec.load import load_tree


def a_folder(path: Path) -> None:
    path.mkdir()


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # its name is short then
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)
    os.chdir(here)


def a_loop(path: Path) -> None:
    path.symlink_to(path.name)


def a_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def a_huge_file(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(files.MAX_BYTES + 1)


def utf16(path: Path) -> None:
    path.write_text("supervisor: root\n", encoding="utf-16")


def not_utf8(path: Path) -> None:
    path.write_bytes(b"# ok\n\xff\xfe: 1\n")


def nul(path: Path) -> None:
    path.write_bytes(b"a = 1\n\0\n")


def nothing(path: Path) -> None:
    path.touch()


SAID: dict[Callable[[Path], None], tuple[str, str]] = {
    a_folder: ("is a folder", "is a folder"),
    a_fifo: ("is no regular file", "is no regular file"),
    a_device: ("is no regular file", "is no regular file"),
    a_socket: ("is no regular file", "is no regular file"),
    a_loop: ("cannot be read: Too many levels of symbolic links",) * 2,
    a_dangling_link: ("does not exist", "is no Python file"),
    a_huge_file: ("is too large; expected at most 64 MiB",) * 2,
    utf16: ("is not UTF-8: the byte 0xff", "which is not valid Python: SyntaxError: "),
    not_utf8: ("is not UTF-8: the byte 0xff", "which is not valid Python: SyntaxError: "),
    nul: ("U+0000", "null byte"),
    nothing: ("is empty", "has no echo"),
}
NAMES = ["x" * 300, "a\0b", "\udc80\ud800", "y/" * 2100 + "z", "../" * 3000 + "z", "tab\tand\nline"]


def complaint_about(file: Path) -> str:
    with pytest.raises(TreeFileError) as caught:
        load_tree(file)
    (only,) = caught.value.complaints
    return only


@pytest.mark.parametrize("make", SAID, ids=lambda make: make.__name__)
def test_an_odd_tree_file_is_told(tmp_path: Path, make: Callable[[Path], None]) -> None:
    file = tmp_path / "tree.yaml"
    make(file)
    said = complaint_about(file)
    assert said.startswith(f"{file}:")
    assert SAID[make][0] in said


@pytest.mark.parametrize("make", SAID, ids=lambda make: make.__name__)
def test_an_odd_file_of_a_worker_is_told(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "w.py")
    tree = tmp_path / "tree.yaml"
    tree.write_text("supervisor: r\nchildren:\n- worker: w\n  start: ./w.py:echo\n")
    said = complaint_about(tree)
    assert said.startswith(f"{tree}:4:10: r/w.start: ")
    assert SAID[make][1] in said


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_that_no_file_can_have_is_told(tmp_path: Path, name: str) -> None:
    assert f"{name}.yaml:1:1: (file): " in complaint_about(tmp_path / f"{name}.yaml")


@pytest.mark.parametrize("name", ["x" * 300, "a\\0b", "y/" * 2100 + "z", "../" * 3000 + "z"])
def test_so_is_one_that_names_the_code_of_a_worker(tmp_path: Path, name: str) -> None:
    tree = tmp_path / "tree.yaml"
    tree.write_text(f'supervisor: r\nchildren:\n- worker: w\n  start: "./{name}.py:echo"\n')
    assert complaint_about(tree).startswith(f"{tree}:4:10: r/w.start: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    file = tmp_path / "tree.yaml"
    file.write_text("supervisor: root\n")
    file.chmod(0)
    assert "cannot be read: Permission denied" in complaint_about(file)


def test_a_folder_whose_name_is_no_utf8_holds_trees(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(bytes(tmp_path) + b"/\xff"))
    folder.mkdir()
    (folder / "tree.py").write_text("from ssm_cli import Supervisor\ntree = Supervisor('root')\n")
    assert load_tree(folder / "tree.py").id == "root"
