"""The page of a `chaos` in a real browser, as that of `report`. Skipped where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ssm_cli.commands.records import instant
from ssm_cli.history.page import PageData
from ssm_cli.simulation.asking import chaos_in
from ssm_cli.spec.load import load_tree
from tests.architecture.source import ROOT
from tests.history.browser import Browser, missing
from tests.history.test_browser import Shown

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    opened = Browser(tmp_path_factory.mktemp("browser"))
    yield opened
    opened.close()


def shown_of(browser: Browser, folder: Path, **given: str) -> Shown:
    tree = load_tree(ROOT / "trees" / "kv.yaml")
    told = chaos_in(tree, "kv", {"page": "yes", "seed": "4", **given}, instant)
    data = PageData(name="kv: chaos", at=instant(0.0), ssm="0", python="3", **told["page"])
    return Shown(browser, folder, data)


LIVES = "return report.history.lanes.map((one) => [one.name, one.lives.length]);"


def test_a_way_down_shows_its_faults_the_restarts_and_who_gave_up(
    browser: Browser, tmp_path: Path
) -> None:
    shown = shown_of(browser, tmp_path, crash="60%", steps="300")
    assert browser.complaints() == []
    crashes = shown.crashes()
    assert f"{len(crashes)} records · {len(crashes)} crashes" in browser.text("#about")
    gave_up: Any = browser.run(
        "return report.history.gaveUp.map((one) => report.history.lanes[one.lane].name);"
    )
    assert gave_up == ["root"]
    shown.click(len(shown.data.records) - 1)
    assert shown.chosen == crashes[-1]
    for part in ("crashed", "Injected: a crash that chaos has put here", " UTC"):
        assert part in shown.detail


def test_workers_that_run_from_the_beginning_have_a_life_from_there(
    browser: Browser, tmp_path: Path
) -> None:
    shown = shown_of(browser, tmp_path, kill="kv1=2%", steps="100")
    starts = [one["id"] for one in shown.data.reports if one["event"] == "started"]
    lives = dict(browser.run(LIVES))
    assert {name: lives[name] for name in ("kv1", "kv2", "kv3")} == {
        "kv1": starts.count("kv1"), "kv2": 1, "kv3": 1,
    }  # fmt: skip
    assert lives["kv1"] > 1


def test_keys_go_to_the_crashes_of_a_run_that_survives(browser: Browser, tmp_path: Path) -> None:
    shown = shown_of(browser, tmp_path, crash="2%", steps="300")
    crashes = shown.crashes()
    shown.press("Home")
    shown.press("Shift+Right")
    assert shown.chosen == crashes[0]


def test_a_page_is_what_the_verb_prints(tmp_path: Path) -> None:
    told = chaos_in(load_tree(ROOT / "trees/kv.yaml"), "kv", {"page": "yes", "steps": "5"}, instant)
    assert set(told["page"]) < set(PageData.__struct_fields__)
    assert msgspec.json.encode(told["page"])
