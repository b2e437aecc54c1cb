from __future__ import annotations

import pytest

from ssm_cli.render.geometry import geometry


@pytest.mark.parametrize("size", [(36, 120), (24, 80), (20, 60), (12, 40), (60, 200), (10, 30)])
@pytest.mark.parametrize("tree_rows", [2, 7, 1000])
def test_the_parts_fill_the_screen_exactly_and_none_is_missing(
    size: tuple[int, int], tree_rows: int
) -> None:
    rows, columns = size
    shared = geometry(rows, columns, tree_rows)
    log = 0 if shared.wide else shared.log + 1
    assert 4 + shared.keys + shared.tree + log + shared.output == rows
    assert shared.tree >= 1
    assert shared.output >= 1
    assert shared.wide or shared.log >= 1


def test_the_log_stands_beside_the_tree_from_a_hundred_columns_on() -> None:
    assert not geometry(36, 99, 10).wide
    wide = geometry(36, 100, 10)
    assert wide.wide
    assert wide.tree_columns + 1 + wide.log_columns == 100


def test_a_small_tree_leaves_its_room_to_the_output() -> None:
    assert geometry(36, 120, 7).output > geometry(36, 120, 30).output


def test_forty_by_twelve_still_shows_tree_log_and_output() -> None:
    small = geometry(12, 40, 7)
    assert (small.tree, small.log, small.output, small.keys) == (3, 2, 2, 0)


def test_inline_takes_half_the_screen_at_most_and_has_no_output() -> None:
    panel = geometry(30, 100, 50, inline=True)
    assert panel.output == 0
    assert 4 + panel.keys + panel.tree <= 15
