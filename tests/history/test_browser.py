"""The page in a real browser: what is seen, clicked and typed. Skipped where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unicodedata import category

import msgspec
import pytest

from ssm_cli.history.page import PageData, page
from tests.history.browser import Browser, missing
from tests.history.demo import demo
from tests.history.test_page import HOSTILE, hostile

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}")

UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
FRAME = "await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));"
PLACE = """
const { x, y } = report.picture.placeOf(arguments[0]);
const { left, top } = document.getElementById("plot").getBoundingClientRect();
return { x: left + x, y: top + y };
"""
COLOUR_AT = """
const plot = document.getElementById("plot"), { x, y } = report.picture.placeOf(arguments[0]);
return Array.from(plot.getContext("2d").getImageData(Math.round(x), Math.round(y), 1, 1).data);
"""
COLOUR = """
const pen = document.createElement("canvas").getContext("2d");
pen.fillStyle = report.drawing.colour[arguments[0]];
pen.fillRect(0, 0, 1, 1);
return Array.from(pen.getImageData(0, 0, 1, 1).data);
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    opened = Browser(tmp_path_factory.mktemp("browser"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def bank() -> PageData:
    return demo(300)


class Shown:
    """A page that is open."""

    def __init__(
        self, browser: Browser, folder: Path, data: PageData, scheme: str = "light"
    ) -> None:
        self.browser, self.data = browser, data
        path = folder / "report.html"
        path.write_text(page(data), encoding="ascii")
        browser.complaints()
        browser.prefers(scheme)
        browser.open(path)
        self.frame()

    def frame(self) -> None:
        self.browser.run(FRAME)

    def index(self, **wanted: object) -> int:
        """The index of the first record with these fields."""
        return next(
            n for n, one in enumerate(self.data.records)
            if all(one.get(key) == value for key, value in wanted.items())
        )  # fmt: skip

    def click(self, index: int) -> None:
        place = self.browser.run(PLACE, index)
        self.browser.click(place["x"], place["y"])
        self.frame()

    def press(self, *keys: str) -> None:
        self.browser.press(*keys)
        self.frame()

    @property
    def chosen(self) -> int:
        """The number of the record in the detail pane; 0 if there is none."""
        return int(self.browser.run("return report.history.number[report.picture.chosen] || 0"))

    @property
    def detail(self) -> str:
        return self.browser.text("#detail")

    def crashes(self) -> list[int]:
        return [one["record"] for one in self.data.records if one["outcome"] == "crashed"]


@pytest.fixture
def shown(browser: Browser, tmp_path: Path, bank: PageData) -> Shown:
    return Shown(browser, tmp_path, bank)


def test_a_page_opens_without_a_complaint_of_the_browser(shown: Shown, bank: PageData) -> None:
    assert shown.browser.complaints() == []
    about = shown.browser.text("#about")
    assert f"{len(bank.records)} records · {len(shown.crashes())} crashes" in about
    assert shown.browser.run("return document.title") == "bank - ssm report"


def test_each_kind_of_record_is_a_mark_of_its_colour(shown: Shown) -> None:
    places = {
        "input": shown.index(how="call"), "timer": shown.index(how="timer"),
        "crash": shown.index(outcome="crashed"),
    }  # fmt: skip
    for colour, index in places.items():
        shown.browser.run("report.picture.approach(arguments[0]); report.changed()", index)
        shown.frame()
        assert shown.browser.run(COLOUR_AT, index) == pytest.approx(
            shown.browser.run(COLOUR, colour), abs=2
        )


def test_a_click_on_a_crash_shows_its_error_and_what_came_of_it(shown: Shown) -> None:
    crash = shown.index(outcome="crashed")
    shown.click(crash)
    assert shown.chosen == shown.data.records[crash]["record"]
    for part in ("crashed", "ArithmeticError: ", "ledger.py:88 audit", "Audit", "prompt", " UTC"):
        assert part in shown.detail
    assert "restarting strategy" in shown.detail or "delayed delay_ms 800.0" in shown.detail


def test_a_click_on_an_input_shows_what_it_changed_and_its_causes_as_links(shown: Shown) -> None:
    index = shown.index(how="timer")
    shown.browser.run("report.choose(arguments[0], true)", index)
    shown.frame()
    shown.click(index)
    record = shown.data.records[index]
    (change,) = record["changed"]
    for part in (change["path"], str(change["before"]), str(change["after"]), "Tick"):
        assert part in shown.detail
    assert f"({change['after'] - change['before']:+})" in shown.detail
    shown.browser.run("document.querySelector('#detail .link').click()")
    assert shown.chosen == record["cause"]


def test_a_restart_is_a_line_from_the_crash_to_all_whom_it_took_along(shown: Shown) -> None:
    report = next(one for one in shown.data.reports if one["event"] == "restarting"
                  and len(one["children"]) > 1)  # fmt: skip
    drawn = shown.browser.run("""
        const name = (lane) => report.history.lanes[lane].name;
        return report.history.restarts.map((one) =>
          [one.record, one.strategy, name(one.child), one.lanes.map(name)]);
    """)
    assert [report["record"], report["strategy"], report["child"], report["children"]] in drawn
    shown.browser.run("report.choose(arguments[0], true)", report["record"] - 1)
    shown.frame()
    seen = shown.browser.run(
        """
        const one = report.history.restarts.find((other) => other.record === arguments[0]);
        const { picture, drawing } = report, x = picture.x(one.at);
        const rows = one.lanes.map((n) => picture.rowOf[n]);
        const y = (picture.y(Math.min(...rows)) + picture.y(Math.min(...rows) + 1)) / 2;
        const pixels = picture.plot.getContext("2d").getImageData(Math.round(x) - 2, y, 5, 1).data;
        const near = (n, colour) => Math.abs(pixels[n] - colour[0]) < 60
          && Math.abs(pixels[n + 1] - colour[1]) < 60 && Math.abs(pixels[n + 2] - colour[2]) < 60;
        return [0, 4, 8, 12, 16].some((n) => near(n, arguments[1]));
    """,
        report["record"],
        shown.browser.run(COLOUR, "restart"),
    )
    assert seen


def test_lives_and_back_offs_are_spans_and_who_gave_up_is_said(shown: Shown) -> None:
    lanes, gave_up = shown.browser.run("""
        return [report.history.lanes.map((one) => [one.name, one.lives.length, one.delays.length]),
          report.history.gaveUp.map((one) => report.history.lanes[one.lane].name)];
    """)
    starts = [one["id"] for one in shown.data.reports if one["event"] == "started"]
    delays = [one["id"] for one in shown.data.reports if one["event"] == "delayed"]
    for name, lives, delayed in lanes:
        assert (lives, delayed) == (starts.count(name), delays.count(name))
    assert gave_up == ["jobs"]


def test_keys_step_through_records_crashes_and_lanes(shown: Shown) -> None:
    crashes, last = shown.crashes(), len(shown.data.records)
    shown.press("Home")
    assert shown.chosen == 1
    shown.press("Right", "Right", "Left")
    assert shown.chosen == 2
    shown.press("Left", "Left", "Left")
    assert shown.chosen == 1
    shown.press("Shift+Right")
    assert shown.chosen == crashes[0]
    shown.press(*["Shift+Right"] * (len(crashes) + 2))
    assert shown.chosen == crashes[-1]
    shown.press("Shift+Left")
    assert shown.chosen == crashes[-2]
    shown.press("End", "Right")
    assert shown.chosen == last
    worker = shown.data.records[last - 1]["worker"]
    shown.press("Up")
    assert shown.data.records[shown.chosen - 1]["worker"] != worker
    shown.press("Escape")
    assert shown.chosen == 0


def test_zoom_keeps_the_chosen_record_and_fit_shows_all(shown: Shown) -> None:
    span = "return report.picture.to - report.picture.from"
    shown.press("Shift+Right")
    near = shown.browser.run(span)
    shown.press("+", "+")
    assert shown.browser.run(span) == pytest.approx(near / 4)
    place = shown.browser.run(PLACE, shown.chosen - 1)
    assert 196 < place["x"] < 920
    shown.press(*"+" * 30)
    assert shown.browser.run(span) == 6
    shown.press("0")
    assert shown.browser.run(span) > len(shown.data.records)


def test_the_pointer_shows_what_a_mark_is_and_who_caused_it(shown: Shown) -> None:
    index = shown.index(how="timer")
    shown.browser.run("report.picture.approach(arguments[0]); report.changed()", index)
    shown.frame()
    place = shown.browser.run(PLACE, index)
    shown.browser.move(place["x"], place["y"])
    shown.frame()
    assert shown.browser.text("#hint").split() == [str(index + 1), "Tick", "→", "silent"]
    assert shown.browser.run("return report.picture.hovered") == index
    shown.browser.move(600, 20)
    shown.frame()
    assert shown.browser.run("return document.getElementById('hint').hidden")


def test_wheel_and_drag_move_what_is_seen_and_the_strip_goes_anywhere(shown: Shown) -> None:
    view = "return [report.picture.from, report.picture.to, report.picture.top]"
    low, high, _ = shown.browser.run(view)
    shown.browser.wheel(560, 400, -100)
    near_low, near_high, top = shown.browser.run(view)
    assert low < near_low < near_high < high
    assert top == 0
    shown.browser.drag(500, 400, 60)
    moved_low, moved_high, _ = shown.browser.run(view)
    assert moved_high - moved_low == pytest.approx(near_high - near_low)
    assert moved_low < near_low
    shown.browser.click(860, 80)
    assert shown.browser.run(view)[0] > near_low
    shown.browser.wheel(60, 400, 40)
    assert shown.browser.run(view)[2] > 0 or shown.browser.run(
        "return report.picture.rows.length * 24 + 34 <= report.picture.height"
    )
    assert shown.chosen == 0


def test_a_switch_draws_by_time_and_back(shown: Shown) -> None:
    shown.press("t")
    assert shown.browser.run("return report.picture.byTime")
    pressed = "return ['by-record', 'by-time'].map((id) => document.getElementById(id).ariaPressed)"
    assert shown.browser.run(pressed) == ["false", "true"]
    crash = shown.crashes()[1] - 1
    shown.click(crash)
    assert shown.chosen == crash + 1
    shown.browser.run("document.getElementById('by-record').click()")
    assert shown.browser.run(pressed) == ["true", "false"]


def test_groups_fold_and_their_marks_are_on_the_row_of_the_group(shown: Shown) -> None:
    rows = "return report.picture.rows.length"
    before = shown.browser.run(rows)
    shown.press("Home", " ")
    assert shown.browser.run(rows) == before - 5
    shown.click(0)
    assert shown.chosen == 1
    shown.press(" ")
    assert shown.browser.run(rows) == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_as_dark_as_the_user_likes_and_a_button_turns_it(
    browser: Browser, tmp_path: Path, bank: PageData, scheme: str
) -> None:
    shown = Shown(browser, tmp_path, bank, scheme)
    corner = """
        const pen = document.getElementById("plot").getContext("2d");
        return [getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0],
          pen.getImageData(400, 4, 1, 1).data[0]].map((one) => Number(one) > 127);
    """
    light = scheme == "light"
    assert browser.run(corner) == [light, light]
    shown.browser.run("document.getElementById('theme').click()")
    shown.frame()
    assert browser.run(corner) == [not light, not light]


def test_search_finds_texts_and_numbers_in_order(shown: Shown) -> None:
    shown.press("/", *"aUDIT")
    shown.press("Enter")
    audits = [
        one["record"] for one in shown.data.records
        if "audit" in str([one["worker"], one["input"], one.get("error")]).lower()
    ]  # fmt: skip
    assert shown.chosen == audits[0]
    assert (
        shown.browser.run("return document.getElementById('found').value") == f"1 of {len(audits)}"
    )
    shown.press("Enter", "Enter", "Shift+Enter")
    assert shown.chosen == audits[1]
    shown.press("Escape", "/", *"123")
    shown.press("Enter")
    assert shown.chosen == 123
    shown.press("Escape", "/", *"zzz", "Enter")
    assert shown.browser.run("return document.getElementById('found').value") == "none"
    shown.press("Escape", "Right")
    assert shown.chosen == 124


def test_a_table_says_the_same_for_those_who_hear_the_page(shown: Shown) -> None:
    rows = "return Array.from(document.querySelectorAll('#rows tr'), (one) => one.textContent)"
    assert len(shown.browser.run(rows)) == 50
    shown.browser.run("document.getElementById('as-table').click()")
    shown.browser.run("document.getElementById('later').click()")
    assert shown.browser.text("#caption").startswith("Records 51 to 100, of ")
    shown.browser.run("document.querySelectorAll('#rows .link')[2].click()")
    assert shown.chosen == 53
    shown.browser.run("report.follow()")
    assert shown.browser.run("return document.querySelector('tr.chosen').textContent")[:2] == "53"
    assert shown.detail.startswith("Record 53")
    assert shown.browser.text("#says").startswith("Record 53, ")
    roles = shown.browser.run("""
        const plot = document.getElementById("plot");
        return [plot.getAttribute("role"), plot.tabIndex, plot.ariaLabel.length > 0,
          document.getElementById("says").getAttribute("aria-live")];
    """)
    assert roles == ["application", 0, True, "polite"]


def test_focus_is_seen_and_motion_is_none(shown: Shown) -> None:
    shown.browser.run("document.getElementById('fit').focus()")
    shown.press("Escape")
    assert shown.browser.run("return document.activeElement.id") == "plot"
    assert (
        shown.browser.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    )


def as_seen(text: str) -> str:
    """A text with what does not print, or reorders, as escapes."""
    return "".join(
        f"\\u{{{ord(c):x}}}" if c not in "\n\t" and category(c) in UNSEEN else c for c in text
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_shown_and_run_nothing(
    browser: Browser, tmp_path: Path, text: str
) -> None:
    shown = Shown(browser, tmp_path, hostile(text))
    elements = "return document.querySelectorAll('*').length"
    shown.press("Home")
    count = browser.run(elements)
    block = "return document.querySelector('#detail .block').textContent"
    assert browser.run(block) == as_seen(text)
    assert browser.complaints() == []
    plain = Shown(browser, tmp_path, hostile("plain"))
    plain.press("Home")
    assert browser.run(elements) == count
    assert len(browser.run("return Array.from(document.scripts, (one) => one.type)")) == 2


def test_no_control_character_reaches_the_reader(browser: Browser, tmp_path: Path) -> None:
    Shown(browser, tmp_path, hostile("a\u202eb\x1b[31m\x00\ud800c")).press("Home")
    said = browser.run("return document.body.textContent.split('}').join('')")
    assert "a\\u{202eb\\u{1b[31m\\u{0\\u{d800c" in said


def test_a_history_of_nothing_says_so_and_takes_all_keys(browser: Browser, tmp_path: Path) -> None:
    tree = {"id": "r", "path": "r", "kind": "supervisor", "children": []}
    shown = Shown(browser, tmp_path, PageData(name="r", at="", ssm="1", python="3", tree=tree))
    shown.press(
        "Home", "End", "Left", "Right", "Up", "Down", "Shift+Right", "Enter", " ", *"+-0td/x"
    )
    shown.press("Enter", "Escape", "Escape")
    assert browser.complaints() == []
    assert "No record is remembered." in shown.detail


def test_where_the_history_begins_is_said(browser: Browser, tmp_path: Path, bank: PageData) -> None:
    later = {"records": bank.records[100:], "reports": [], "trimmed": 100}
    shown = Shown(browser, tmp_path, msgspec.structs.replace(bank, **later))
    assert "Records 1 to 100 are not remembered any more." in shown.detail
    shown.press("Home")
    assert shown.chosen == 101


def test_five_hundred_workers_begin_folded(browser: Browser, tmp_path: Path) -> None:
    shown = Shown(browser, tmp_path, demo(2_000, groups=20, workers=25))
    assert browser.run("return report.picture.rows.length") == 21
    shown.press("Down", " ")
    assert browser.run("return report.picture.rows.length") == 46
    assert browser.complaints() == []


PRESSES: list[Any] = [["ArrowRight", False]] * 8 + [["ArrowRight", True]] * 4 + [
    ["ArrowDown", False], ["ArrowUp", False], ["0", False], ["-", False], ["+", False],
    ["t", False], ["t", False], ["End", False],
]  # fmt: skip


def test_a_hundred_thousand_records_keep_the_document_small(
    browser: Browser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = demo(100_000, groups=10, workers=10, crash=0.0005)
    shown = Shown(browser, tmp_path, data)
    took = browser.run(f"""
        const took = [], frame = () => new Promise(requestAnimationFrame);
        for (const [key, shiftKey] of {msgspec.json.encode(PRESSES).decode()}) {{
          await frame();
          const began = performance.now();
          const event = new KeyboardEvent("keydown", {{ key, shiftKey, bubbles: true }});
          document.getElementById("plot").dispatchEvent(event);
          cancelAnimationFrame(report.frame);
          report.frame = 0;
          report.drawing.draw();
          took.push(performance.now() - began);
        }}
        return took;
    """)
    size = (tmp_path / "report.html").stat().st_size
    with capsys.disabled():
        print(
            f"\n{len(data.records):,} records, {size / 1e6:.1f} MB: 20 key presses with their "
            f"frames, ms: median {sorted(took)[10]:.1f}, most {max(took):.1f}"
        )
    assert len(took) == 20
    assert size < 12_500_000
    assert browser.run("return document.querySelectorAll('*').length") < 1_200
    assert shown.chosen == len(data.records)
    assert browser.complaints() == []
