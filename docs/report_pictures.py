"""The pictures of the report page, taken from a history made up, in a real browser.

python -m docs.report_pictures        writes docs/img/report-*.png; needs chromium, chromium-driver
"""  # noqa: INP001 - a script, not a package

from __future__ import annotations

import tempfile
from pathlib import Path

from ssm_cli.history.page import page
from tests.history.browser import Browser
from tests.history.demo import demo

FOLDER = Path(__file__).parents[1] / "docs" / "img"
FRAMES = "await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));"
LAST_CRASH = ("End", "Shift+Left", "+")
PICTURES = {
    "report-light": ("light", ()),
    "report-crash": ("light", LAST_CRASH),
    "report-dark": ("dark", LAST_CRASH),
}


def take(folder: Path) -> None:
    """Open the page for each picture, press its keys, and write what is seen."""
    path = folder / "report.html"
    path.write_text(page(demo()), encoding="ascii")
    browser = Browser(folder)
    try:
        for name, (scheme, keys) in PICTURES.items():
            browser.prefers(scheme)
            browser.open(path)
            browser.press(*keys)
            browser.run(FRAMES)
            (FOLDER / f"{name}.png").write_bytes(browser.picture())
    finally:
        browser.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        take(Path(made))
