"""A link that cuts what a terminal sends: no part of a key is ever typed, and none is lost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssm_cli.repl.prompt.sequences import PASTE_CHARACTERS, Sequences
from tests.thorough import tries

KEYS = (
    "\x1b[A",  # up
    "\x1bOP",  # F1
    "\x1b[15~",  # F5
    "\x1b[1;5C",  # Ctrl-right
    "\x1b[<35;10;12M",  # the mouse
    "\x1b[24;80R",  # where the cursor is
)
UNKNOWN = (
    "\x1b[I",
    "\x1b[97;5u",
    "\x1b[9;9Z",
    "\x1b]11;rgb:0000/0000/0000\x07",
    "\x1bP1$r0m\x1b\\",
)
PASTE = "\x1b[200~kv1 Store x 1\nkv1 Lookup x\x1b[201~"


def cut(stream: str, places: list[int], pause_s: float) -> tuple[str, list[str]]:
    """What is typed and what is pasted of a stream that comes in pieces, with a pause after each.

    Esc alone, which a pause ends, is left out of what is typed.
    """
    keys, now_s = Sequences(), 0.0
    found: list[tuple[str, str]] = []
    ends = sorted({place % (len(stream) + 1) for place in places} | {len(stream)})
    for start, end in zip([0, *ends], ends, strict=False):
        found += keys.feed(stream[start:end], now_s)
        now_s += pause_s
        if pause_s >= 0.05:
            found += keys.pause(now_s)
    typed = "".join(text for kind, text in found if kind == "keys" and text != "\x1b")
    return typed, [text for kind, text in found if kind == "paste"]


@pytest.mark.parametrize("pause_s", [0.0, 0.3])
@pytest.mark.parametrize("sequence", [*KEYS, *UNKNOWN, PASTE])
def test_a_key_cut_anywhere_is_the_key_and_no_part_of_it_is_typed(
    sequence: str, pause_s: float
) -> None:
    whole = cut(f"kv{sequence}1", [], 0.0)
    assert whole[0] == f"kv{sequence if sequence in KEYS else ''}1"
    for place in range(2, 2 + len(sequence)):
        if sequence in UNKNOWN[3:] and place == 3 and pause_s:
            continue  # Esc, a pause and `]` are two keys of a person
        assert cut(f"kv{sequence}1", [place], pause_s) == whole, place


@given(
    st.lists(st.sampled_from([*KEYS, *UNKNOWN, PASTE, "kv1 ", "Größe\r", "O", "Ok"]), max_size=8),
    st.lists(st.integers(0, 400), max_size=12),
)
@settings(max_examples=tries(60, 200), deadline=None)
def test_what_comes_at_once_is_the_same_in_any_pieces(parts: list[str], places: list[int]) -> None:
    stream = "".join(parts)
    assert cut(stream, places, 0.0) == cut(stream, [], 0.0)


def test_esc_and_then_letters_are_two_things() -> None:
    keys = Sequences()
    assert keys.feed("\x1b", 0.0) == []
    assert keys.pause(0.1) == [("keys", "\x1b")]
    assert keys.feed("O", 0.4) == []  # it may be F1 on a slow link
    assert keys.feed("rders", 0.6) == [("keys", "Orders")]
    assert keys.feed("\x1b", 1.0) == []
    assert keys.pause(1.1) == [("keys", "\x1b")]
    assert keys.feed("OPEN", 9.0) == [("keys", "OPEN")]
    assert keys.feed("\x1b\r", 9.5) == [("keys", "\x1b\r")]
    assert keys.feed("\x1bb", 9.6) == [("keys", "\x1bb")]


def test_a_paste_is_bounded_and_free_of_what_the_terminal_answers() -> None:
    keys = Sequences()
    assert keys.feed("\x1b[200~one\x1b[24;80R two\x1b[<0;1;1M", 0.0) == []
    assert keys.feed("\x1b[201~", 0.0) == [("paste", "one two")]
    keys.feed("\x1b[200~", 0.0)
    for _ in range(20):
        keys.feed("x" * (PASTE_CHARACTERS // 10), 0.0)
    ((_, text),) = keys.feed("\x1b[201~", 0.0)
    assert PASTE_CHARACTERS < len(text) < 1.2 * PASTE_CHARACTERS


@pytest.mark.parametrize("begun", ["\x1bP", "\x1bX", "\x1b]", "\x1b^", "\x1b_"])
@pytest.mark.parametrize("key", ["\r", "\x03", "\x04"])
def test_a_control_character_is_part_of_no_sequence(begun: str, key: str) -> None:
    """Else Alt and one of these letters would swallow all that is typed, Ctrl-C too."""
    keys = Sequences()
    assert keys.feed(begun, 0.0) == []
    assert keys.feed("kv1", 0.5) == []
    typed = keys.feed(key, 1.0)
    assert [kind for kind, _ in typed] == ["keys"] * len(typed)
    assert "".join(text for _, text in typed) == f"{begun}kv1{key}"


def test_ctrl_c_ends_a_paste_whose_end_was_lost() -> None:
    keys = Sequences()
    assert keys.feed("\x1b[200~half", 0.0) == []
    assert keys.feed("\x03", 1.0) == []
    assert keys.feed("kv1", 2.0) == [("keys", "kv1")]
