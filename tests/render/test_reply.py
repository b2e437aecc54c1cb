from __future__ import annotations

from ssm_cli.render.reply import echo, reply_lines


def test_a_reply_is_indented_below_what_was_typed() -> None:
    assert echo("kv2 Lookup x").plain.endswith(" kv2 Lookup x")
    assert [line.plain for line in reply_lines(["a", "b"], error=False)] == ["  a", "  b"]


def test_only_the_first_line_of_a_failure_has_the_cross() -> None:
    lines = [line.plain for line in reply_lines(["kv2 crashed", "see the log"], error=True)]
    assert lines == ["  ✖ kv2 crashed", "    see the log"]


def test_an_output_of_many_lines_is_split_and_made_safe() -> None:
    lines = [line.plain for line in reply_lines(["one\ntwo\x1b[0m"], error=False, ms=1.0)]
    assert lines == ["  one", "  two\\x1b[0m   1.00 ms"]


def test_an_empty_output_is_an_empty_line() -> None:
    assert [line.plain for line in reply_lines([""], error=False)] == ["  "]
    assert reply_lines([], error=False) == []
