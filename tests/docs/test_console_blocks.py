"""What the pages show is what happens: every console block is executed, every link leads there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.console import PAGES, ROOT, Shell, blocks, matches, steps_of


def place(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


WITH_CONSOLE = [page for page in PAGES if any(blocks(page, "console"))]


@pytest.mark.parametrize("page", WITH_CONSOLE, ids=place)
def test_a_page_shows_what_happens(page: Path, tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    for step in steps_of(page):
        seen = shell.run(step)
        said = "\n".join(seen)
        assert matches(step.shown, seen), f"{place(page)}:{step.line}: {step.command}\n{said}"


@pytest.mark.parametrize("page", PAGES, ids=place)
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)", text)
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=place)
def test_a_page_has_one_title_and_it_comes_first(page: Path) -> None:
    code = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
    text = code.sub("", page.read_text(encoding="utf-8"))
    titles = [line for line in text.splitlines() if line.startswith("# ")]
    assert len(titles) == 1
    assert text.startswith(titles[0])


@pytest.mark.parametrize(
    ("shown", "seen", "same"),
    [
        (["a", "b"], ["a", "b"], True),
        (["a"], ["a", "b"], False),
        (["a", "..."], ["a", "b", "c"], True),
        (["...", "c"], ["c"], True),
        (["at ... it stopped"], ["at 12:00:00 it stopped"], True),
        (["at ... it stopped"], ["at 12:00:00", "it stopped"], False),
        (["(1+1)"], ["(1+1)"], True),
    ],
)
def test_dots_stand_for_lines_or_for_text(shown: list[str], seen: list[str], same: bool) -> None:
    assert matches(shown, seen) is same
