from __future__ import annotations

import pytest
from rich.text import Text

from ssm_cli.commands.execute import execute
from ssm_cli.commands.parse import Command, parse_line
from ssm_cli.machines.kv import kv_store
from ssm_cli.render.columns import NONE, Row, restarts
from ssm_cli.repl import model as model_module
from ssm_cli.repl.frames import frame_interval
from ssm_cli.repl.model import BUSY_S, FLASH_S, IDLE_S, OUTPUT_LINES, UPTIME_S, Model
from ssm_cli.repl.panes.bars import status_line
from ssm_cli.repl.panes.lines import fragments
from ssm_cli.repl.panes.log import OutputPane
from ssm_cli.runtime.node import Node
from ssm_cli.runtime.views import Report
from ssm_cli.spec.model import Backoff, Supervisor, Worker
from tests.repl.conftest import kv_tree, many_workers

TREE = Command("tree", {})


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def started_model() -> tuple[Model, Clock]:
    node, clock = kv_tree(), Clock()
    node.start()
    model = Model(node, "kv.yaml", clock)
    node.subscribe(model.on_report)
    return model, clock


def shown(pane: OutputPane, width: int, height: int) -> list[str]:
    content = pane.create_content(width, height)
    return ["".join(text for _, text, *_ in content.get_line(i)) for i in range(content.line_count)]


def test_nothing_is_due_until_something_happens_or_the_times_are_old() -> None:
    model, clock = started_model()
    assert not model.is_due()
    clock.now_s += UPTIME_S
    assert model.is_due()
    model.refresh()
    model.say([Text("a reply")])
    assert model.is_due()


def test_while_nothing_happens_the_times_are_brought_up_to_date_less_often() -> None:
    with Node(Supervisor("root", children=[Worker("kv", kv_store)]), history=100) as node:
        clock = Clock()
        model = Model(node, "kv.yaml", clock)
        clock.now_s += UPTIME_S
        assert not model.is_due()
        node.call("kv", b"Lookup x")
        assert model.is_due()
        model.refresh()
        clock.now_s += UPTIME_S
        assert not model.is_due()
        clock.now_s += IDLE_S - UPTIME_S
        assert model.is_due()


def test_a_restart_that_is_counted_down_is_due_more_often() -> None:
    worker = Worker("w", kv_store, backoff=Backoff(initial_ms=60_000, max_ms=60_000))
    node, clock = Node(Supervisor("root", children=[worker])).start(), Clock()
    model = Model(node, "kv.yaml", clock)
    node.kill("w")
    model.refresh()
    assert model.tree.row(1).node.delay_ms is not None
    clock.now_s += BUSY_S
    assert model.is_due()
    node.stop()


def test_a_restart_flashes_and_stops_flashing() -> None:
    model, clock = started_model()
    model.on_report(Report(50, 0.0, "starting", "kv2", "root/storage/kv2", "worker", {"n": 2}))
    model.refresh()
    assert model.flashing == {"kv2"}
    clock.now_s += FLASH_S
    assert model.is_due()
    model.refresh()
    assert model.flashing == frozenset()


def test_a_first_start_does_not_flash() -> None:
    model, _ = started_model()
    model.on_report(Report(50, 0.0, "starting", "kv2", "root/storage/kv2", "worker", {"n": 1}))
    model.refresh()
    assert model.flashing == frozenset()


def test_workers_are_counted() -> None:
    assert started_model()[0].workers == 3
    node = many_workers(30)
    node.start()
    assert Model(node, "many", Clock()).workers == 30
    node.stop()


def test_the_output_is_bounded_and_so_is_the_pane() -> None:
    model, _ = started_model()
    pane = OutputPane(model)
    for i in range(3):
        model.say(Text(f"line {i}-{j}") for j in range(OUTPUT_LINES))
        assert shown(pane, 80, 2)[-1] == f"line {i}-{OUTPUT_LINES - 1}"
    assert len(model.output) == OUTPUT_LINES
    assert len(pane.made) <= 2 * OUTPUT_LINES


def test_the_log_is_bounded() -> None:
    model, _ = started_model()
    for seq in range(model_module.LOG_REPORTS + 10):
        model.on_report(Report(seq, 0.0, "killed", "kv1", "root/kv1", "worker"))
    model.refresh()
    assert len(model.log) == model_module.LOG_REPORTS


def test_a_defect_that_repeats_is_told_once() -> None:
    model, _ = started_model()
    for _ in range(5):
        model.defect(RuntimeError("every frame"))
    assert len(model.output) == 1


def test_long_lines_are_wrapped_to_the_width_and_again_when_it_changes() -> None:
    model, _ = started_model()
    pane = OutputPane(model)
    model.say([Text("x" * 25)])
    assert shown(pane, 10, 5) == ["x" * 10, "x" * 10, "x" * 5]
    assert shown(pane, 20, 5) == ["x" * 20, "x" * 5]


def test_a_scrolled_pane_stays_where_it_is_and_follows_again_at_the_end() -> None:
    model, _ = started_model()
    pane = OutputPane(model)
    model.say(Text(str(i)) for i in range(100))
    assert shown(pane, 80, 10)[-1] == "99"
    pane.page(-1)
    assert shown(pane, 80, 10)[0] == "81"
    model.say([Text("100")])
    assert shown(pane, 80, 10)[0] == "81"
    pane.page(1)
    pane.page(1)
    assert shown(pane, 80, 10)[-1] == "100"
    assert pane.follow


def test_a_long_frame_is_followed_by_a_longer_rest() -> None:
    assert [frame_interval(s, busy=True) for s in (0.0, 0.02, 10.0)] == [0.1, 0.4, 1.0]


def test_roles_become_classes_and_lie_over_each_other() -> None:
    text = Text.assemble(("a", "alarm"), ("b", "warn"), "c")
    text.stylize("reverse", 1)
    assert fragments(text) == [
        ("class:alarm", "a"),
        ("class:warn reverse", "b"),
        ("reverse", "c"),
    ]


@pytest.mark.parametrize(
    ("acts", "count", "of_kv2"),
    [
        (("restart kv2",), 1, 1),
        (("kill kv2",), 1, 1),
        (("restart storage",), 1, 1),
        (("kill kv1", "restart kv1"), 2, 0),
        (("restart kv1", "kill kv1", "restart kv1"), 3, 0),
        (("terminate-child storage kv2", "restart-child storage kv2"), 1, 1),
        (("kill storage", "kill kv2", "restart kv3"), 3, 2),
    ],
)
def test_a_restart_counts_once_whoever_asked_for_it(
    acts: tuple[str, ...], count: int, of_kv2: int
) -> None:
    node = kv_tree()
    node.start()
    model = Model(node, "kv.yaml", Clock())
    node.subscribe(model.on_report)
    for act in acts:
        command = parse_line(act, ["kv1", "kv2", "kv3"])
        assert command is not None
        assert execute(command, node).exit_code == 0
    model.refresh()
    assert f"restarts {count} " in status_line(model, 80)[0][1]
    found = model.tree.source.glance("kv2")
    assert found is not None
    assert restarts(Row("", found.view))[0] == (str(of_kv2) if of_kv2 else NONE[0])
    [listed] = [line for line in execute(TREE, node).lines if line.split()[0] == "kv2"]
    assert listed.split()[3] == str(of_kv2)


def test_a_restart_by_hand_takes_nothing_from_the_budget() -> None:
    node = kv_tree()
    node.start()
    model = Model(node, "kv.yaml", Clock())
    node.subscribe(model.on_report)
    command = parse_line("restart kv1", ["kv1"])
    assert command is not None
    execute(command, node)
    model.refresh()
    root = model.tree.source.glance("root")
    assert root is not None
    assert restarts(Row("", root.view))[0].startswith("0/")
    assert model.summary(gave_up=False).endswith("(1 restart)")
