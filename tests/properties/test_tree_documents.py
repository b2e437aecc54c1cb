"""Random YAML documents: loading one gives a tree, or complaints that each have a place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ssm_cli.errors import TreeFileError
from ssm_cli.spec.keys import BACKOFF, REMOTE, ROOT, SUPERVISOR, WORKER
from ssm_cli.spec.load import load_tree
from ssm_cli.spec.model import SupervisorSpec
from tests.thorough import tries

KEYS = sorted({*ROOT, *SUPERVISOR, *WORKER, *REMOTE, *BACKOFF})
TAGS = [
    "", "", "", "!!str ", "!!int ", "!!float ", "!!bool ", "!!null ", "!!timestamp ", "!!binary ",
    "!!set ", "!!omap ", "!!pairs ", "!!map ", "!!seq ", "!!merge ", "!!value ", "!!python/none ",
    "!own ", "!<x> ", "! ", "&a ", "&b ",
]  # fmt: skip
SCALARS = [
    "x", "1", "-1", "1.5", ".nan", ".inf", "true", "~", "''", "5000", "2026-99-99", "0x", "0b1",
    "1:99", "2001-01-01T25:00:00Z", "=", "<<", "*a", "*b", "'\\0'", '"\\uD800"', '"\\U00110000"',
    "9" * 5000, "1e999", "infinity", "brutal_kill", "./nowhere.py:x", "journal", "one_for_one", "%",
    "é", "\U0001f600", "|\n  text", "-", "?", "@", "`",
]  # fmt: skip
WORDS = st.sampled_from(KEYS + SCALARS)


def tagged(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(st.sampled_from(TAGS), inner).map("".join)


def collections(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    keys = tagged(WORDS | st.just("? [x]"))
    pairs = st.tuples(keys, inner).map(": ".join)
    mappings = st.lists(pairs, max_size=4).map(lambda some: "{" + ", ".join(some) + "}")
    lists = st.lists(inner, max_size=3).map(lambda some: "[" + ", ".join(some) + "]")
    return tagged(mappings | lists)


VALUES = st.recursive(tagged(WORDS), collections, max_leaves=12)
LINES = st.tuples(tagged(st.sampled_from(KEYS)), VALUES).map(": ".join)
TREES = st.lists(LINES, max_size=6).map(lambda lines: "\n".join(["supervisor: root", *lines]))
PLACED = re.compile(r":(\d+):(\d+): \S.*: \S", re.DOTALL)
FOREIGN = ("constructor", "tag:yaml.org", 'in "<', "could not determine", "yaml.", "Traceback")


def hold(folder: Path, text: str) -> None:
    """Fail unless the text is a tree, or is refused with a place in words of ours."""
    file = folder / "tree.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    for complaint in complaints(file):
        placed = PLACED.match(complaint.removeprefix(str(file)))
        assert placed, complaint
        assert int(placed[1]) >= 1, complaint
        assert int(placed[2]) >= 1, complaint
        assert not any(word in complaint for word in FOREIGN), complaint


def complaints(file: Path) -> tuple[str, ...]:
    """Load a file: all complaints about it, none if it is a tree. Nothing else may be raised."""
    try:
        assert isinstance(load_tree(file), SupervisorSpec)
    except TreeFileError as error:
        return error.complaints or ("a refusal without a complaint",)
    return ()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("documents")


FEW = settings(
    max_examples=tries(100, 300),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)


@FEW
@given(text=TREES)
def test_a_document_with_the_keys_of_trees_is_a_tree_or_is_refused(folder: Path, text: str) -> None:
    hold(folder, text)


@FEW
@given(text=st.text(st.sampled_from(":-[]{}&*!|>'\"%@`#,? \n\tabc01\x00\x1b\ud800é"), max_size=40))
def test_any_text_is_a_tree_or_is_refused(folder: Path, text: str) -> None:
    hold(folder, text)


@FEW
@given(text=st.text(max_size=30), line=VALUES)
def test_any_args_are_taken_or_refused(folder: Path, text: str, line: str) -> None:
    quoted = text.encode("ascii", "backslashreplace").decode().replace("'", "''")
    start = "ssm_cli.machines.kv:kv_store"
    hold(
        folder,
        f"supervisor: r\nchildren:\n- {{worker: w, start: '{start}', "
        f"args: {{a: '{quoted}', b: {line}}}}}\n",
    )


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("{a: !!timestamp no}", 'is the text "no", which is no timestamp; expected a date that'),
        ("{a: !!binary é}", 'is the text "é", which is no binary; expected text in base64'),
        ("{a: !!int x}", 'is the text "x", which is no int; expected a whole number of at most'),
        ("{a: !!int ''}", 'is the text "", which is no int'),
        ("{a: !!float x}", 'is the text "x", which is no float; expected a number, such as'),
        ("{a: !!bool x}", 'is the text "x", which is no bool; expected true or false'),
        (f"{{a: {'9' * 4301}}}", "is a whole number of more than 4300 digits; expected a whole"),
        ("!!set {a}", "has the tag !!set; expected a mapping of argument names to values"),
        ("!!omap [a: 1]", "has the tag !!omap; expected a mapping of argument names to values"),
        ("{a: !!set x}", "has the tag !!set; expected plain YAML"),
        ("{a: !!omap [x: 1]}", "has the tag !!omap; expected a plain mapping or list"),
        ("{a: !!map [x]}", "has the tag !!map; expected a plain mapping or list"),
        ("{a: !!python/name:os.system x}", "has the tag !!python/name:os.system; expected plain"),
        ("{!own a: 1}", "has the unknown tag !own; expected plain YAML"),
        ("{<<: 1}", "is no mapping to merge with <<; expected the alias of a mapping"),
        ("{a: 1, a: 2}", "is there twice; expected each key once"),
        ("&a {a: *a}", "contains itself; expected an alias to something else"),
        ("!own {a: 1}", "has the unknown tag !own; expected a mapping of argument names"),
    ],
)
def test_each_thing_yaml_can_hold_is_refused_in_our_words(
    folder: Path, args: str, said: str
) -> None:
    file = folder / "tree.yaml"
    start = "ssm_cli.machines.kv:kv_store"
    file.write_text(
        f"supervisor: r\nchildren:\n- worker: w\n  start: {start}\n  args: {args}\n", "utf-8"
    )
    with pytest.raises(TreeFileError) as caught:
        load_tree(file)
    assert any(said in complaint for complaint in caught.value.complaints), caught.value.complaints
    assert all(c.startswith(f"{file}:5:") for c in caught.value.complaints)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("!own {supervisor: root}", "1:1: root: has the unknown tag !own; expected a mapping with"),
        ("!!set {supervisor}", "1:1: root: has the tag !!set; expected a mapping with"),
        ("{supervisor: !!str [root]}", "root.supervisor: has the tag !!str; expected 1 to"),
        (
            "{!own supervisor: root}",
            "1:2: root.supervisor: has the unknown tag !own; expected t",
        ),
        ("supervisor: !own root", "1:13: root.supervisor: has the unknown tag !own; expected 1 to"),
    ],
)
def test_a_tag_where_none_belongs_is_named(folder: Path, text: str, said: str) -> None:
    file = folder / "tree.yaml"
    file.write_text(text)
    with pytest.raises(TreeFileError) as caught:
        load_tree(file)
    assert any(said in complaint for complaint in caught.value.complaints), caught.value.complaints


def test_a_merge_key_needs_no_anchor(folder: Path) -> None:
    file = folder / "tree.yaml"
    file.write_text("supervisor: root\n<<: {intensity: 7}\n")
    assert load_tree(file).intensity == 7
