"""Files that are no tree at all, and YAML that is out to do harm: one clear complaint each."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ssm_cli.errors import TreeFileError
from ssm_cli.spec import files
from ssm_cli.spec.load import load_tree
from ssm_cli.spec.model import SupervisorSpec, WorkerSpec

Load = Callable[[str], SupervisorSpec]
Complain = Callable[[str], list[str]]


def complaint_about(file: Path) -> str:
    with pytest.raises(TreeFileError) as caught:
        load_tree(file)
    (only,) = caught.value.complaints
    assert str(caught.value) == only
    return only.removeprefix(f"{file}:")


def test_a_missing_file_is_told_with_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "kv.yaml").touch()
    expected = "1:1: (file): does not exist; expected a tree file, .yaml, .yml or .py; did you "
    assert complaint_about(tmp_path / "kw.yaml") == expected + "mean kv.yaml?"
    assert complaint_about(tmp_path / "kv.yml") == expected + "mean kv.yaml?"
    assert "did you mean" not in complaint_about(tmp_path / "none.yaml"), (
        "its suffix alone is alike"
    )


def test_a_folder_is_no_tree(tmp_path: Path) -> None:
    assert "(file): is a folder; expected a tree file" in complaint_about(tmp_path)


def test_another_suffix_is_no_tree(tmp_path: Path) -> None:
    (tmp_path / "tree.json").write_text("{}")
    assert "(file): has the suffix .json; expected" in complaint_about(tmp_path / "tree.json")
    assert "(file): has the suffix (none); expected" in complaint_about(tmp_path / "tree")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "tree.yaml")
    assert "(file): is no regular file; expected" in complaint_about(tmp_path / "tree.yaml")


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    too_long = tmp_path / f"{'x' * 300}.yaml"
    assert "(file): cannot be read: File name too long; expected" in complaint_about(too_long)
    assert "(file): has a name that no file can have; expected" in complaint_about(
        tmp_path / "a\0b.yaml"
    )


def test_bytes_that_are_not_utf8_are_told_with_their_place(tmp_path: Path) -> None:
    file = tmp_path / "tree.yaml"
    file.write_bytes("supervisor: root\n# é ".encode() + b"\xff\n")
    assert complaint_about(file).startswith("2:5: (file): is not UTF-8: the byte 0xff does not")


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "''"])
def test_an_empty_file_is_told(complain: Complain, text: str) -> None:
    (only,) = complain(text)
    assert only.startswith("1:1: (file): is empty; expected")


@pytest.mark.parametrize("text", ["[]", "just text", "7", "~"])
def test_a_document_that_is_no_mapping_is_told(complain: Complain, text: str) -> None:
    (only,) = complain(text)
    assert only.startswith("1:1: root: is ")
    assert only.endswith("expected a mapping with `supervisor`")


def test_a_byte_order_mark_is_no_part_of_the_tree(load: Load) -> None:
    assert load("\ufeffsupervisor: root\n").id == "root"


def test_a_file_over_the_bound_is_not_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tree.yaml"
    with file.open("wb") as stream:
        stream.truncate(files.MAX_BYTES + 1)
    assert "1:1: (file): is too large; expected at most 64 MiB" in complaint_about(file)
    monkeypatch.setattr(files, "MAX_BYTES", 3)
    file.write_text("a: 1")
    assert "is too large" in complaint_about(file)


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("supervisor: root\nchildren: [\n", "3:1", "is not valid YAML: while parsing"),
        ("supervisor: root\n\tperiod: 5\n", "2:1", "; expected spaces for indentation"),
        ("supervisor: *root\n", "1:13", "is not valid YAML: found undefined alias"),
        ("supervisor: root\nlabel: 'é\x01'\n", "2:10", "has the character U+0001: control char"),
        ("supervisor: root\n---\nsupervisor: two\n", "3:1", "has several YAML documents; expected"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_place(
    complain: Complain, text: str, place: str, said: str
) -> None:
    (only,) = complain(text)
    assert only.startswith(f"{place}: (file): ")
    assert said in only


@pytest.mark.parametrize("unit", ["[", "- ", "? ", "{a: "])
def test_nesting_has_a_bound(complain: Complain, unit: str) -> None:
    (only,) = complain(unit * 50_000)
    assert "(file): is nested too deep; expected at most 400 levels" in only


def test_args_have_a_bound_on_nesting(complain: Complain) -> None:
    deep = "[" * 80 + "]" * 80
    (only,) = complain(
        "supervisor: root\nchildren:\n"
        f"- {{worker: w, start: ./machines.py:echo, args: {{a: {deep}}}}}\n"
    )
    assert "is nested too deep; expected at most 64 levels" in only


def test_an_alias_repeats_what_its_anchor_has(load: Load) -> None:
    tree = load(
        "supervisor: root\nchildren:\n"
        "- {worker: a, start: &echo ./machines.py:echo, args: &args {x: [1]}}\n"
        "- {worker: b, start: *echo, args: *args}\n"
    )
    first, second = tree.children
    assert isinstance(first, WorkerSpec)
    assert isinstance(second, WorkerSpec)
    assert first.start is second.start
    assert first.args == second.args
    assert first.args["x"] is not second.args["x"]


def test_a_merge_key_takes_what_the_mapping_itself_does_not_say(load: Load) -> None:
    tree = load(
        "supervisor: root\nchildren:\n"
        "- &a {worker: a, start: ./machines.py:echo, shutdown: 9, label: x}\n"
        "- &b {<<: *a, worker: b, shutdown: 8}\n"
        "- {<<: [*b, *a], worker: c}\n"
    )
    workers = [child for child in tree.children if isinstance(child, WorkerSpec)]
    assert [worker.id for worker in workers] == ["a", "b", "c"]
    assert [worker.shutdown_ms for worker in workers] == [9, 8, 8]
    assert {worker.options.label for worker in workers} == {"x"}


def test_a_merge_of_something_else_is_refused(complain: Complain) -> None:
    (only,) = complain("supervisor: &a root\n<<: *a\n")
    assert "(file): is no mapping to merge with <<; expected the alias of a mapping" in only


def test_an_alias_to_itself_is_refused(complain: Complain) -> None:
    (only,) = complain("supervisor: root\nchildren: &a\n  - supervisor: s\n    children: *a\n")
    assert only == "2:11: (file): contains itself; expected an alias to something else"


def test_aliases_that_multiply_are_refused(complain: Complain) -> None:
    laughs = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    laughs += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    (only,) = complain("\n".join(laughs))
    assert "has aliases that stand for more than 1,000,000 nodes; expected aliases that" in only
