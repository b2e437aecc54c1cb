"""YAML trees: what they become, and every complaint with its place."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ssm_cli.errors import TreeFileError
from ssm_cli.spec.model import (
    DEFAULT_OPTIONS,
    MAX_DEPTH,
    AutoShutdown,
    Backoff,
    OnCrash,
    Persist,
    Restart,
    Strategy,
    SupervisorSpec,
    WorkerSpec,
)
from ssm_cli.spec.validate import check_spec

Load = Callable[[str], SupervisorSpec]
Complain = Callable[[str], list[str]]

START = "start: ./machines.py:echo"


def worker_of(tree: SupervisorSpec, place: int = 0) -> WorkerSpec:
    child = tree.children[place]
    assert isinstance(child, WorkerSpec)
    return child


def tree_with(worker: str) -> str:
    return f"supervisor: root\nchildren:\n  - {{worker: w, {START}, {worker}}}\n"


def test_what_is_left_out_has_otps_defaults(load: Load) -> None:
    tree = load(f"supervisor: root\nchildren:\n  - {{worker: w, {START}}}\n")
    assert (tree.id, tree.strategy, tree.intensity, tree.period_s) == (
        "root",
        Strategy.ONE_FOR_ONE,
        1,
        5.0,
    )
    assert (tree.auto_shutdown, tree.queue) == (AutoShutdown.NEVER, 128)
    worker = worker_of(tree)
    assert worker.options is DEFAULT_OPTIONS
    assert dict(worker.args) == {}


def test_every_key_reaches_its_field(load: Load) -> None:
    tree = load(
        "supervisor: r\nstrategy: rest_for_one\nintensity: 3\nperiod: 2.5\nqueue: 7\n"
        "auto_shutdown: any_significant\nchildren:\n"
        "- worker: w\n  start: ./machines.py:Desk\n  args: {a: [1, {b: null}], c: 2.5}\n"
        "  restart: transient\n  shutdown: brutal_kill\n  significant: true\n"
        "  backoff: {initial: 5, factor: 3, max: 50, jitter: 0.5}\n  step_timeout: infinity\n"
        "  init_timeout: 20\n  persist: journal\n  on_crash: last_good\n  codec: json\n"
        "  label: at the desk\n"
        "- supervisor: s\n  restart: temporary\n  shutdown: 10\n  backoff: {}\n"
    )
    assert (tree.strategy, tree.intensity, tree.period_s, tree.queue) == (
        Strategy.REST_FOR_ONE,
        3,
        2.5,
        7,
    )
    worker, options = worker_of(tree), worker_of(tree).options
    assert worker.args == {"a": [1, {"b": None}], "c": 2.5}
    assert (worker.restart, worker.shutdown_ms, worker.significant) == (
        Restart.TRANSIENT,
        "brutal_kill",
        True,
    )
    assert options.backoff == Backoff(5, 3, 50, 0.5)
    assert (options.step_timeout_ms, options.init_timeout_ms) == ("infinity", 20)
    assert (options.persist, options.on_crash) == (Persist.JOURNAL, OnCrash.LAST_GOOD)
    assert (options.codec, options.label) == ("json", "at the desk")
    inner = tree.children[1]
    assert isinstance(inner, SupervisorSpec)
    assert (inner.restart, inner.shutdown_ms, inner.backoff) == (Restart.TEMPORARY, 10, Backoff())


def test_a_tree_from_yaml_passes_the_checks_of_a_tree_built_by_hand(load: Load) -> None:
    tree = load(tree_with("restart: transient, backoff: {jitter: 1}, label: '1'"))
    assert check_spec(tree) == []


def test_workers_with_the_same_settings_share_them(load: Load) -> None:
    two = "".join(f"  - {{worker: w{i}, {START}, shutdown: 9}}\n" for i in (1, 2))
    tree = load(f"supervisor: root\nchildren:\n{two}")
    assert worker_of(tree, 0).options is worker_of(tree, 1).options


def test_every_complaint_is_told_in_file_order(complain: Complain) -> None:
    complaints = complain(
        "supervisor: root\nstrategy: one_for_al\nchildren:\n  - worker: w\n"
        "    restart: always\n  - 7\nintensity: -1\n"
    )
    assert complaints == [
        (
            '2:11: root.strategy: is the text "one_for_al"; expected one_for_one, one_for_all, '
            "rest_for_one or simple_one_for_one; did you mean one_for_all?"
        ),
        (
            "4:5: root/w: has no start; "
            "expected start: package.module:attribute or ./file.py:attribute"
        ),
        '5:14: root/w.restart: is the text "always"; expected permanent, transient or temporary',
        "6:5: root/child#2: is 7; expected a mapping with `worker`, `supervisor` or `remote`",
        "7:12: root.intensity: is -1; expected a whole number of at least 0",
    ]


def test_the_error_repeats_a_few_complaints_and_counts_the_rest(load: Load) -> None:
    bad = "".join(f"  - {{worker: w{i}}}\n" for i in range(25))
    with pytest.raises(TreeFileError, match=r"has 25 mistakes:(.|\n)*\.\.\. and 5 more") as caught:
        load(f"supervisor: root\nchildren:\n{bad}")
    assert len(caught.value.complaints) == 25


@pytest.mark.parametrize(
    ("worker", "complaint"),
    [
        (
            "restrat: transient",
            "root/w.restrat: is an unknown key; expected one of worker, start, ",
        ),
        ("shutdown: -1", "root/w.shutdown: is -1; expected a whole number of at least 0, brutal_k"),
        ("shutdown: 1.5", "root/w.shutdown: is 1.5; expected a whole number of at least 0, "),
        ("shutdown: brutalkill", "did you mean brutal_kill?"),
        ("significant: maybe", 'root/w.significant: is the text "maybe"; expected true or false'),
        ("significant: 1", "root/w.significant: is 1; expected true or false"),
        ("step_timeout: 0", "root/w.step_timeout: is 0; expected a number greater than 0 or inf"),
        ("step_timeout: .nan", "root/w.step_timeout: is nan; expected a number"),
        ("step_timeout: .inf", "root/w.step_timeout: is inf; expected a number"),
        ("init_timeout: []", "root/w.init_timeout: is a list; expected a number"),
        ("persist: snapshots", "did you mean snapshot?"),
        ("on_crash: lastgood", "did you mean last_good?"),
        ("codec: jsn", 'root/w.codec: is the text "jsn"; expected text, json or msgpack; did you'),
        ("label: {}", "root/w.label: is a mapping; expected text of at most 200 characters"),
        (f"label: {'x' * 201}", "expected text of at most 200 characters"),
        ("args: [1]", "root/w.args: is a list; expected a mapping of argument names to values"),
        ("args: null", "root/w.args: is nothing; expected a mapping"),
        ("args: {1: a}", "root/w.args: has the argument names 1; expected text, in quotes"),
        ("args: {a: {b: 1, b: 2}}", "root/w.args.a.b: is there twice; expected each key once"),
        ("args: {a: !secret x}", "root/w.args.a: has the unknown tag !secret; expected plain YAML"),
        (
            "args: {a: 2026-99-99}",
            'root/w.args.a: is the text "2026-99-99", which is no timestamp; expected a date',
        ),
        ("args: {a: !!set {x}}", "root/w.args.a: has the tag !!set; expected a plain mapping"),
        ("args: {[1]: a}", "root/w.args: has a list as a key; expected text"),
        ("backoff: 100", "root/w.backoff: is 100; expected a mapping such as {initial: 100, "),
        ("backoff: {initial: 0}", "root/w.backoff.initial: is 0; expected a number greater than 0"),
        (
            "backoff: {factor: 0.5}",
            "root/w.backoff.factor: is 0.5; expected a number of at least 1",
        ),
        ("backoff: {jitter: 2}", "backoff.jitter: is 2; expected a number of at least 0 and at mo"),
        ("backoff: {initial: 9, max: 5}", "root/w.backoff.max: is 5, less than initial; expected"),
        ("backoff: {maxx: 5}", "root/w.backoff.maxx: is an unknown key; expected one of initial, "),
        ("queue: 5", "root/w.queue: is no key of this mapping; expected it on the root only"),
        ("strategy: one_for_one", "expected it on the root or a supervisor below the root only"),
        ("supervisor: s", "root/child#1: is both a worker and a supervisor; expected either `wor"),
        ("label: a, label: b", "root/w.label: is there twice, first at line 3; expected each key"),
    ],
)
def test_a_worker_is_checked_key_by_key(complain: Complain, worker: str, complaint: str) -> None:
    (only,) = complain(tree_with(worker))
    assert complaint in only


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ("intensity: 1.5", "2:12: root.intensity: is 1.5; expected a whole number of at least 0"),
        ("intensity: true", "2:12: root.intensity: is true; expected a whole number"),
        (
            f"intensity: {'9' * 5000}",
            "2:12: root.intensity: is a whole number of more than 4300 digits; exp",
        ),
        ("period: 0", "2:9: root.period: is 0; expected a number greater than 0"),
        ("period: soon", '2:9: root.period: is the text "soon"; expected a number greater than 0'),
        ("queue: 0", "2:8: root.queue: is 0; expected a whole number of at least 1"),
        ("auto_shutdown: any", "did you mean any_significant?"),
        ("restart: permanent", "2:1: root.restart: is no key of this mapping; expected it on a "),
        ("max_children: 5", "2:15: root.max_children: has no meaning under one_for_one; expected"),
        ("children: {a: 1}", "2:11: root.children: is a mapping; expected a list of children"),
        ("children:", "2:10: root.children: is nothing; expected a list of children"),
        ("strategy: simple_one_for_one", "1:1: root.children: has no children under simple_one_"),
        ("? [a]\n: 1", "2:3: root: has a list as a key; expected text"),
    ],
)
def test_a_supervisor_is_checked_key_by_key(complain: Complain, flags: str, complaint: str) -> None:
    (only,) = complain(f"supervisor: root\n{flags}\n")
    assert complaint in only


@pytest.mark.parametrize("name", ["a/b", "a b", "x" * 201, '""', "kv1#", "..", "."])
def test_a_name_has_letters_digits_underscores_dots_and_hyphens(
    complain: Complain, name: str
) -> None:
    (only,) = complain(f"supervisor: root\nchildren:\n  - {{worker: {name}, {START}}}\n")
    assert only.startswith("3:14: root/child#1.worker: is the text")
    assert "expected 1 to 200 letters, digits, underscores, dots and hyphens" in only


@pytest.mark.parametrize("name", ["1", "no", "2026-01-31", "1.5"])
def test_a_name_that_yaml_takes_for_something_else_is_to_be_quoted(
    complain: Complain, load: Load, name: str
) -> None:
    text = f"supervisor: root\nchildren:\n  - {{worker: NAME, {START}}}\n"
    (only,) = complain(text.replace("NAME", name))
    assert f'did you mean "{name}", in quotes?' in only
    assert load(text.replace("NAME", f'"{name}"')).children[0].id == name


def test_a_name_given_twice_anywhere_is_told_with_the_place_of_the_first(
    complain: Complain,
) -> None:
    (only,) = complain(
        f"supervisor: root\nchildren:\n  - {{worker: w, {START}}}\n"
        f"  - {{supervisor: s, children: [{{worker: w, {START}}}]}}\n"
    )
    assert only == (
        "4:41: root/s/w.worker: has the name of root/w at line 3, column 14; "
        "expected names unique in the tree"
    )


def test_a_node_without_a_name_is_checked_all_the_same(complain: Complain) -> None:
    complaints = complain(
        "supervisor: root\nchildren:\n  - {wroker: w, restart: sometimes}\n"
        "  - {strategy: all, children: [{worker: x}]}\n"
    )
    assert [complaint.split(";")[0] for complaint in complaints] == [
        "3:5: root/child#1: has no name",
        "3:5: root/child#1: has no start",
        "3:6: root/child#1.wroker: is an unknown key",
        '3:26: root/child#1.restart: is the text "sometimes"',
        "4:5: root/child#2: has no name",
        '4:16: root/child#2.strategy: is the text "all"',
        "4:32: root/child#2/x: has no start",
    ]


def test_significant_needs_an_auto_shutdown_and_an_end_that_is_not_followed_by_a_restart(
    complain: Complain,
) -> None:
    (never,) = complain(tree_with("significant: true, restart: transient"))
    assert "root/w.significant: is true with auto_shutdown never" in never
    flags = "supervisor: root\nauto_shutdown: all_significant\n"
    (permanent,) = complain(
        f"{flags}children: [{{worker: w, {START}, significant: true}}, "
        "{supervisor: s, restart: transient, significant: true}]\n"
    )
    assert "root/w.significant: is true with restart permanent" in permanent


def test_what_depends_on_a_wrong_value_is_not_judged(complain: Complain) -> None:
    complaints = complain(
        "supervisor: root\nauto_shutdown: any_significant\nstrategy: simple\nmax_children: 3\n"
        f"children: [{{worker: w, {START}, significant: true, restart: sometimes}}]\n"
    )
    assert [complaint.split(":")[2].strip() for complaint in complaints] == [
        "root.strategy",
        "root/w.restart",
    ]


def test_a_pool_has_one_template(complain: Complain, load: Load) -> None:
    pool = "supervisor: p\nstrategy: simple_one_for_one\nmax_children: 4\nchildren:\n"
    one = f"  - {{worker: a, {START}}}\n"
    (only,) = complain(f"{pool}{one}{one.replace('a,', 'b,', 1)}")
    assert "5:3: p.children: has 2 children under simple_one_for_one; expected exactly one" in only
    assert load(pool + one).max_children == 4


def test_a_worker_at_the_root_is_refused(complain: Complain) -> None:
    (only,) = complain(f"worker: w\n{START}\n")
    assert only == "1:1: w: is a worker; expected a supervisor at the root of the tree"


def nested(levels: int) -> str:
    lines = ["supervisor: s1"]
    for level in range(2, levels + 1):
        indent = "  " * (level - 2)
        lines += [f"{indent}children:", f"{indent}- supervisor: s{level}"]
    return "\n".join(lines) + "\n"


def test_supervisors_may_be_nested_as_deep_as_the_bound(complain: Complain, load: Load) -> None:
    assert load(nested(MAX_DEPTH)).id == "s1"
    (only,) = complain(nested(MAX_DEPTH + 1))
    assert "is more than 100 supervisors deep; expected at most 100 levels" in only
