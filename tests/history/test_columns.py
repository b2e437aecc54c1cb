"""The compact form: what it holds, how large it may become, and what it says it left out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ssm_cli.history.page import PageData, columns, lanes, page, texts
from tests.history.demo import Json

AT = "2026-01-31T12:00:00Z"
WORKER = {"id": "w", "path": "r/w", "kind": "worker"}
TREE = {"id": "r", "path": "r", "kind": "supervisor", "children": [WORKER]}


def record(number: int, **fields: object) -> Json:
    return {"record": number, "at": AT, "worker": "w", "how": "call", "input": "Add", **fields}


def report(seq: int, event: str, number: int, name: str = "w", **fields: object) -> Json:
    place = {"id": name, "path": f"r/{name}", "kind": "worker", "record": number}
    return {"seq": seq, "at": AT, "event": event, **place, **fields}


def packed(records: list[Json], reports: list[Json] | None = None, **fields: Any) -> Json:
    base = PageData(name="r", at=AT, ssm="1", python="3", tree=TREE)
    data = msgspec.structs.replace(base, records=records, reports=reports or [], **fields)
    return columns.columns(data)


def names(made: Json) -> list[str]:
    return [made["texts"][number] for number in made["lanes"]["path"]]


def test_equal_texts_stand_once() -> None:
    made = packed([record(n, outcome="replied", output="Ok") for n in range(1, 50)])
    assert sorted(made["texts"]) == ["", "Add", "Ok", "call", "r", "r/w", "replied", "w"]


def test_changes_hold_values_as_json_and_none_where_there_was_nothing() -> None:
    changed = [
        {"path": "a.b", "after": None},
        {"path": "c", "before": "x", "after": [1, {"é": 2.5}]},
    ]
    made = packed([record(1, changed=changed)])
    shown = [[made["texts"][n] for n in one] for one in made["records"]["changed"][0]]
    assert shown == [["a.b", "", "null"], ["c", '"x"', '[1, {"é": 2.5}]']]


def test_instants_are_microseconds_behind_the_earliest_of_all() -> None:
    made = packed(
        [record(1, at="2026-01-31T12:00:01.000002Z"), record(2)],
        [report(1, "started", 0, at="2026-01-31T12:59:59.5+01:00")],
    )
    assert made["records"]["at"] == [1_500_002, 500_000]
    assert made["reports"]["at"] == [0]


def test_restarts_name_strategy_child_and_those_it_took_along() -> None:
    fields: Json = {"strategy": "rest_for_one", "child": "w", "children": ["w", "elsewhere"]}
    made = packed([record(1)], [report(4, "restarting", 1, **fields)])
    ((seq, strategy, child, taken),) = made["reports"]["taken"]
    assert (seq, made["texts"][strategy], child, taken) == (4, "rest_for_one", 1, [1])


def test_who_is_gone_has_a_lane_below_its_supervisor() -> None:
    made = packed([record(1, worker="old")], [report(1, "started", 0, "pool/temp")])
    assert names(made) == ["r", "r/w", "old", "r/pool", "r/pool/temp"]
    assert made["lanes"]["parent"] == [-1, 0, -1, 0, 3]
    assert made["lanes"]["gone"] == [0, 0, 1, 1, 1]


def test_a_long_text_is_cut_and_says_by_how_much() -> None:
    limit = texts.TEXT_CHARACTERS
    whole, cut = "a" * limit, "b" * (limit + 1_234)
    made = packed([record(1, input=whole), record(2, input=cut)])
    assert whole in made["texts"]
    assert "b" * limit + "… (1,234 more characters)" in made["texts"]


def test_a_record_that_changes_much_keeps_the_first_paths_and_counts_the_rest() -> None:
    changed = [{"path": f"p{n}", "before": 0, "after": n} for n in range(columns.CHANGES + 3)]
    made = packed([record(1, changed=changed[:-3]), record(2, changed=changed)])
    full, more = made["records"]["changed"]
    assert len(full) == columns.CHANGES
    assert more[:-1] == full
    assert more[-1] == 3


def test_a_deep_stack_keeps_the_innermost_places() -> None:
    places = [f"deep.py:{n} f" for n in range(1_000)]
    made = packed([record(1, error={"type": "RecursionError", "places": places})])
    kept = [made["texts"][n] for n in made["records"]["errors"][0][2]]
    assert kept == places[-columns.PLACES :]


def test_the_newest_records_are_kept_and_where_they_begin_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(columns, "RECORDS", 50)
    for given, first in ((49, 1), (50, 1), (51, 2), (5_000, 4_951)):
        made = packed([record(n) for n in range(1, given + 1)], [report(1, "started", 0)])
        assert made["records"]["number"][0] == first
        assert made["trimmed"] == first - 1
        assert made["forgotten"] == 0
        assert bool(made["reports"]["seq"]) == (first == 1)


def test_what_the_node_forgot_and_what_the_page_left_out_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(columns, "RECORDS", 3)
    made = packed([record(n) for n in range(11, 21)], trimmed=10)
    assert (made["forgotten"], made["trimmed"]) == (10, 17)
    made = packed([record(n) for n in range(11, 14)], trimmed=10)
    assert (made["forgotten"], made["trimmed"]) == (10, 10)


def test_huge_and_hostile_histories_stay_below_25_mb() -> None:
    escaped = "\x00" * texts.TEXT_CHARACTERS  # six bytes each in JSON
    many = [record(n, input=f"{n}{escaped}") for n in range(1, 2_000)]
    tell = [report(n, "dropped", 2_000, why=f"{n}{escaped}") for n in range(1, 1_000)]
    size = len(page(PageData(
        name="r", at=AT, ssm="1", python="3", tree=TREE, records=many, reports=tell,
    )))  # fmt: skip
    assert 20_000_000 < size < 25_000_000


def test_restarts_of_many_siblings_have_a_bound() -> None:
    children = [f"w{n}" for n in range(3_000)]
    tree = {**TREE, "children": [{**WORKER, "id": one, "path": f"r/{one}"} for one in children]}
    made = packed([record(1)], [
        report(1, "restarting", 1, child="w0", strategy="one_for_all", children=children)
    ], tree=tree)  # fmt: skip
    assert len(made["reports"]["taken"][0][3]) == columns.SIBLINGS


def test_idle_workers_beyond_a_bound_have_no_lane_and_are_counted() -> None:
    children = [
        {**WORKER, "id": f"w{n}", "path": f"r/w{n}"} for n in range(lanes.WITHOUT_RECORDS + 9)
    ]
    made = packed([record(1, worker=children[-1]["id"])], tree={**TREE, "children": children})
    assert made["left_out"] == 9
    assert names(made)[-1] == children[-1]["path"]
