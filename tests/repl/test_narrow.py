"""What has no room on a narrow terminal leaves an ellipsis: the key bar and the hint line."""

from __future__ import annotations

from typing import get_args

import pytest
from prompt_toolkit.formatted_text import fragment_list_to_text
from rich.cells import cell_len

from ssm_cli.machines.kv import kv_store
from ssm_cli.render.reply import MARK
from ssm_cli.repl.keymap import BARS, Place
from ssm_cli.repl.panes.bars import key_words
from ssm_cli.repl.prompt.complete import HintLine, LineReader
from ssm_cli.repl.shell.names import Names
from ssm_cli.runtime.node import Node
from ssm_cli.spec.model import Supervisor, Worker

PLACES: tuple[Place, ...] = get_args(Place)
LINES = ("call ", "kv1 Store ", "start-child ", "log ", "kv1 Store x ")


def bar(place: Place, columns: int) -> str:
    return fragment_list_to_text(key_words(place, columns, lambda _: None)).rstrip()


def hint(node: Node, line: str, columns: int) -> str:
    reader = LineReader(Names(node), {})
    control = HintLine(
        reader, lambda: line, lambda: 0, lambda: (None, None, ""), lambda: f"ssm{MARK} "
    )
    return fragment_list_to_text(control.create_content(columns, 1).get_line(0)).rstrip()


@pytest.mark.parametrize("place", PLACES)
def test_a_key_bar_that_is_cut_ends_in_an_ellipsis_and_a_whole_one_does_not(place: Place) -> None:
    whole = bar(place, 1_000)
    assert "\u2026" not in whole
    for columns in range(1, len(whole) + 3):
        shown = bar(place, columns)
        assert len(shown) <= columns
        assert (shown == whole) is (columns >= len(whole)), columns
        assert shown.endswith("\u2026") is (columns < len(whole)), columns
        assert whole.startswith(shown.removesuffix("\u2026").rstrip())


@pytest.mark.parametrize("place", PLACES)
def test_every_key_of_a_bar_has_its_place_once_there_is_room(place: Place) -> None:
    assert all(f"{key.first} {key.bar}" in bar(place, 1_000) for key in BARS[place] if key.bar)


@pytest.mark.parametrize("line", LINES)
def test_a_hint_that_is_cut_ends_in_an_ellipsis_and_a_whole_one_does_not(line: str) -> None:
    with Node(Supervisor("root", children=[Worker("kv1", kv_store)])) as node:
        whole = hint(node, line, 1_000)
        assert whole
        assert "\u2026" not in whole
        for columns in range(6, len(whole) + 3):
            shown = hint(node, line, columns)
            assert cell_len(shown) <= columns
            assert shown.endswith("\u2026") is (columns < len(whole)), (columns, shown)
