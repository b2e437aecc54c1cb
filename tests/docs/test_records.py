"""What `-o json` prints has the fields that the reference of records names, and no others."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests import program
from tests.architecture.source import ROOT
from tests.docs.test_reference import REFERENCE, rows

PAGE = REFERENCE / "records.md"
HEAD = {"v", "type"}
COMMANDS = {
    "tree": "tree", "which-children": "which-children root",
    "count-children": "count-children root",
    "get-childspec": "get-childspec storage kv2", "status": "status kv2", "stats": "stats kv2",
    "reply": "call kv2 Store x 1", "crash": "crash", "report": "log -n 1",
    "restart-child": "restart-child storage kv2",
}  # fmt: skip
KEPT = """\
supervisor: r
children:
- {worker: k, start: "ssm_cli.machines.kv:kv_store", persist: journal}
"""


def ssm(*words: str) -> list[dict[str, Any]]:
    """The records that a command prints."""
    run = program.ssm(*words, cwd=ROOT)
    found = [json.loads(line) for line in run.stdout.splitlines() if line[:1] in "[{"]
    return [one for value in found for one in (value if isinstance(value, list) else [value])]


@pytest.fixture(scope="module")
def printed() -> dict[str, list[dict[str, Any]]]:
    """What each command prints, in one session of a tree whose kv2 has crashed."""
    before = ["kv2 Lookup crash", "terminate-child storage kv2", "restart-child storage kv2"]
    words = [w for c in before[:2] for w in ("-c", c)]
    found: dict[str, list[dict[str, Any]]] = {}
    for name, command in COMMANDS.items():
        given = words if name == "restart-child" else words[:2]
        verb, _, rest = command.partition(" ")
        asked = f"{verb} -o json {rest}".strip()
        found[name] = ssm(
            "run", "trees/kv.yaml", "--quiet", "--no-socket", "--keep-going", *given, "-c", asked
        )
    return found


def words_of(text: str) -> set[str]:
    return set(re.findall(r"`([a-z_]+)`", re.sub(r"\([^)]*\)", "", text)))


def documented(verb: str) -> set[str]:
    """The fields of the answer of a verb."""
    for cells in rows(PAGE, "## Other commands"):
        if verb in re.findall(r"`([^`]+)`", cells[0]):
            return words_of(cells[1])
    raise AssertionError(f"{verb} is not documented")


def fields_of(heading: str) -> set[str]:
    return {name for cells in rows(PAGE, heading) for name in words_of(cells[0])}


@pytest.mark.parametrize(
    "verb", ["which-children", "count-children", "get-childspec", "status", "stats"]
)
def test_the_answer_of_a_verb_has_the_fields_of_its_row(
    printed: dict[str, list[dict[str, Any]]], verb: str
) -> None:
    assert printed[verb]
    assert all(set(record) == documented(verb) for record in printed[verb])


def test_the_tree_has_the_fields_of_its_row(printed: dict[str, list[dict[str, Any]]]) -> None:
    (root,) = printed["tree"]
    assert set(root) <= documented("tree")
    assert set(root["children"][0]) <= documented("tree")
    remote = {"node", "epoch", "age_s", "why"}
    assert documented("tree") - set(root) == {"label", "delay_ms", "runs", *remote}


def test_a_crash_has_the_fields_of_its_table(printed: dict[str, list[dict[str, Any]]]) -> None:
    (crash,) = printed["crash"]
    assert set(crash) - HEAD == fields_of("## Crash report")


def test_a_report_has_the_fields_of_its_table(printed: dict[str, list[dict[str, Any]]]) -> None:
    (report,) = printed["report"]
    assert fields_of("## Reports") <= set(report) - HEAD


def test_a_reply_has_the_fields_of_its_table(printed: dict[str, list[dict[str, Any]]]) -> None:
    (reply,) = printed["reply"]
    assert set(reply) - HEAD == fields_of("## Replies") - {"error", "place"}


def test_what_is_done_says_by_which_verb(printed: dict[str, list[dict[str, Any]]]) -> None:
    (done,) = printed["restart-child"]
    assert set(done) - HEAD == {"verb", "sup", "id", "child"}


def test_the_info_of_a_tree_has_the_fields_of_its_table() -> None:
    assert ssm("run", "trees/kv.yaml", "--headless", "--detach") == []
    try:
        (info,) = ssm("ls", "-o", "json")
        assert info["type"] == "info"
        assert set(info) - HEAD == fields_of("### `info`")
    finally:
        ssm("stop", "kv")


def test_the_records_of_kept_data_have_the_fields_of_their_rows(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(KEPT)
    where = str(tmp_path / "t.yaml")
    ssm("run", where, "--quiet", "--no-socket", "-c", "k Store x 1")
    found = rows(PAGE, "### Records of other commands")
    table = {cells[0].strip("`"): words_of(cells[2]) for cells in found}
    (data,) = ssm("data", "ls", "-o", "json")
    assert set(data) - HEAD == table["data"] - {"error"}
    exported = ssm("data", "export", "t")
    assert exported
    assert all(table["record"] <= set(record) for record in exported)


def test_a_period_is_written_in_one_way(printed: dict[str, list[dict[str, Any]]]) -> None:
    assert isinstance(printed["tree"][0]["period"], float)
    assert isinstance(printed["crash"][0]["period"], float)
