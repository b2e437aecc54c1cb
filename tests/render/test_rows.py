from __future__ import annotations

import msgspec
import pytest
from rich.cells import cell_len

from ssm_cli.render.columns import Row, columns_for
from ssm_cli.render.rows import header, row_key, row_text
from ssm_cli.runtime.views import NodeView


def worker(name: str, path: str = "root", **more: object) -> NodeView:
    view = NodeView(name, f"{path}/{name}", "worker", "running", uptime_s=7.0)
    return msgspec.structs.replace(view, **more)


def supervisor(name: str, strategy: str, *, intensity: int = 3, left: int = 1) -> NodeView:
    return NodeView(
        name,
        name,
        "supervisor",
        "running",
        uptime_s=8_000.0,
        strategy=strategy,
        intensity=intensity,
        period=5.0,
        budget_left=left,
    )


ROWS = (
    Row("", supervisor("root", "one_for_one", intensity=1), size=2, rate=48_123.0),
    Row("├─ ", worker("kv1"), rate=4_100.0),
    Row("└─ ", supervisor("storage", "rest_for_one"), size=2),
    Row("   ├─ ", worker("kv2", state="restarting", restarts=7, queue=41), rate=0.0),
    Row("   └─ ", worker("kv3", restarts=1, uptime_s=125.0), rate=7.4),
)


def drawn(width: int) -> str:
    lines = [header(width).plain, *(row_text(row, width).plain for row in ROWS)]
    assert all(cell_len(line) == width for line in lines)
    return "\n".join(line.rstrip() for line in lines)


def test_a_wide_tree_shows_every_column() -> None:
    assert (
        drawn(72)
        == """\
NODE                           STATUS             RST QUEUE MSG/S     UP
▾ root one_for_one             2 children         0/1     ·   48k   2h13
├─ ● kv1                       running              ·     ·  4.1k     7s
└─ ▾ storage rest_for_one      2 children        2/3!     ·     ·   2h13
   ├─ ↻ kv2                    restarting           7    41     ·      —
   └─ ● kv3                    running              1     ·     7   2m05"""
    )


def test_a_narrow_tree_drops_uptime_then_rates_then_status() -> None:
    assert [len(columns_for(width)[0]) for width in (72, 59, 51, 43)] == [5, 4, 3, 2]
    assert (
        drawn(40)
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
    line = row_text(Row("", supervisor("storage", "rest_for_one", left=3)), 60).plain
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


def test_a_flash_is_seen_without_colour() -> None:
    text = row_text(Row("", worker("kv1")), 60, flash=True)
    assert any("reverse" in str(span.style) for span in text.spans)


def test_the_chosen_row_is_seen_without_colour_and_told_from_a_flash() -> None:
    chosen = row_text(Row("", worker("kv1")), 60, chosen=True)
    both = row_text(Row("", worker("kv1")), 60, chosen=True, flash=True)
    assert [str(chosen.spans[-1].style), str(both.spans[-1].style)] == [
        "reverse bold",
        "bold underline",
    ]


def test_the_column_that_is_sorted_by_is_marked() -> None:
    assert " *QUEU" in header(72, "QUEUE").plain
    assert " *RST" in header(72, "RST").plain


def test_a_folded_rest_says_how_many_it_stands_for() -> None:
    row = Row("└─ ", supervisor("root", "one_for_one"), hidden=9_984)
    assert row_text(row, 60).plain.rstrip() == "└─ … 9,984 more"


def test_a_closed_supervisor_has_another_glyph() -> None:
    row = Row("", supervisor("root", "one_for_one"), closed=True)
    assert row_text(row, 60).plain.startswith("▸ root")


def test_a_row_is_redrawn_only_when_something_in_it_can_be_seen_to_change() -> None:
    first = Row("", worker("kv1", uptime_s=7.2, steps=1))
    assert row_key(first) == row_key(Row("", worker("kv1", uptime_s=7.9, steps=2)))
    assert row_key(first) != row_key(Row("", worker("kv1", uptime_s=8.1)))
    assert row_key(first) != row_key(Row("", worker("kv1", uptime_s=7.2, queue=1)))
