from __future__ import annotations

import msgspec
import pytest
from rich.cells import cell_len

from ssm_cli.render.columns import columns_for
from ssm_cli.render.rows import GROUP_FIRST, Row, header, row_key, row_text, visible_rows
from ssm_cli.runtime.views import NodeView


def worker(name: str, path: str = "root", **more: object) -> NodeView:
    view = NodeView(name, f"{path}/{name}", "worker", "running", uptime_s=7.0)
    return msgspec.structs.replace(view, **more)


def storage(*, budget_left: int = 1) -> NodeView:
    return NodeView(
        "storage",
        "root/storage",
        "supervisor",
        "running",
        uptime_s=8_000.0,
        strategy="rest_for_one",
        intensity=3,
        period=5.0,
        budget_left=budget_left,
        children=(
            worker("kv2", "root/storage", state="restarting", restarts=7, queue=41),
            worker("kv3", "root/storage", restarts=1, uptime_s=125.0),
        ),
    )


def tree(*children: NodeView) -> NodeView:
    return NodeView(
        "root",
        "root",
        "supervisor",
        "running",
        uptime_s=8_000.0,
        strategy="one_for_one",
        intensity=1,
        period=5.0,
        budget_left=1,
        children=children or (worker("kv1"), storage()),
    )


def drawn(view: NodeView, width: int) -> str:
    lines = [header(width).plain, *(row_text(row, width).plain for row in visible_rows(view))]
    assert all(cell_len(line) == width for line in lines)
    return "\n".join(line.rstrip() for line in lines)


def test_a_wide_tree_shows_every_column() -> None:
    assert (
        drawn(tree(), 72)
        == """\
NODE                                 STATUS             RST QUEUE     UP
▾ root one_for_one                   2 children         0/1     ·   2h13
├─ ● kv1                             running              ·     ·     7s
└─ ▾ storage rest_for_one            2 children        2/3!     ·   2h13
   ├─ ↻ kv2                          restarting           7    41      —
   └─ ● kv3                          running              1     ·   2m05"""
    )


def test_a_narrow_tree_drops_uptime_then_status() -> None:
    assert [len(columns_for(width)[0]) for width in (72, 57, 43)] == [4, 3, 2]
    assert (
        drawn(tree(), 40)
        == """\
NODE                           RST QUEUE
▾ root one_for_one             0/1     ·
├─ ● kv1                         ·     ·
└─ ▾ storage rest_for_one     2/3!     ·
   ├─ ↻ kv2                      7    41
   └─ ● kv3                      1     ·"""
    )


def test_a_name_too_long_for_its_column_ends_in_an_ellipsis() -> None:
    line = row_text(Row("├─ ", worker("a-very-long-name-indeed")), 30).plain
    assert line == "├─ ● a-very-long…      ·     ·"
    assert cell_len(line) == 30


def test_wide_characters_keep_the_columns_in_line() -> None:
    line = row_text(Row("├─ ", worker("数据库")), 60).plain
    assert cell_len(line) == 60
    assert line.endswith("     7s")


def test_a_deep_guide_leaves_room_for_the_name() -> None:
    line = row_text(Row("│  " * 40 + "├─ ", worker("kv1")), 50).plain
    assert "kv1" in line
    assert cell_len(line) == 50


def test_escape_sequences_in_a_name_are_shown_not_sent() -> None:
    line = row_text(Row("", worker("a\x1b[31mb")), 60).plain
    assert "\x1b" not in line
    assert "a\\x1b[31mb" in line


def test_an_untouched_budget_is_not_a_warning() -> None:
    line = row_text(Row("", storage(budget_left=3)), 60).plain
    assert "0/3 " in line
    assert "!" not in line


@pytest.mark.parametrize(
    ("state", "glyph"),
    [("stopped", "○"), ("suspended", "‖"), ("unreachable", "?"), ("restarting", "↻")],
)
def test_each_state_has_its_glyph(state: str, glyph: str) -> None:
    line = row_text(Row("", worker("kv1", state=state)), 60).plain
    assert line.startswith(f"{glyph} kv1")
    assert state in line


def test_a_worker_held_back_says_when_it_is_tried_again() -> None:
    line = row_text(Row("", worker("kv1", state="restarting", delay_ms=1_240.0)), 60).plain
    assert "retry in 1.2s" in line


def test_a_group_of_twenty_is_shown_whole() -> None:
    view = tree(*(worker(f"w{i:02}") for i in range(20)))
    assert len(visible_rows(view)) == 21


def test_a_large_group_folds_to_its_first_the_interesting_and_a_count() -> None:
    children = [worker(f"w{i:04}") for i in range(1000)]
    children[500] = worker("w0500", state="restarting")
    children[600] = worker("w0600", queue=64)
    rows = visible_rows(tree(*children), frozenset({"root/w0700"}))
    names = [row.node.id for row in rows[1:-1]]
    assert names == [*(f"w{i:04}" for i in range(GROUP_FIRST)), "w0500", "w0600", "w0700"]
    assert row_text(rows[-1], 60).plain.rstrip() == "└─ … 991 more"


def test_at_most_four_interesting_children_are_unfolded() -> None:
    children = [worker(f"w{i:04}", state="stopped") for i in range(100)]
    rows = visible_rows(tree(*children))
    assert rows[-1].hidden == 90
    assert len(rows) == 1 + 6 + 4 + 1


def test_a_flash_is_seen_without_colour() -> None:
    text = row_text(Row("", worker("kv1")), 60, flash=True)
    assert any("reverse" in str(span.style) for span in text.spans)


def test_a_row_is_redrawn_only_when_something_in_it_can_be_seen_to_change() -> None:
    first = Row("", worker("kv1", uptime_s=7.2, steps=1))
    assert row_key(first) == row_key(Row("", worker("kv1", uptime_s=7.9, steps=2)))
    assert row_key(first) != row_key(Row("", worker("kv1", uptime_s=8.1)))
    assert row_key(first) != row_key(Row("", worker("kv1", uptime_s=7.2, queue=1)))
