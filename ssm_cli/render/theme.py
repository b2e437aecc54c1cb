"""What the roles of text look like: two themes out of the sixteen colours of every terminal.

The terminal's own palette decides what a colour is, so a theme takes only those that can be read
in all common palettes, Solarized among them, on its kind of background. On a dark one that rules
out plain red, blue and magenta, and bright black, which Solarized paints as the background; on a
light one every green, yellow, cyan and white. `tests/render/test_theme.py` computes the contrasts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Theme = Literal["dark", "light"]

ATTRIBUTES = frozenset({"bold", "italic", "underline", "reverse"})
"""The words of a style that are no role; they mean the same in every theme."""

DARK = {
    "good": "green",
    "bad": "bright_red",
    "alarm": "bold bright_red",
    "warn": "yellow",
    "alert": "bold yellow",
    "info": "cyan",
    "name": "bold cyan",
    "muted": "",
    "hint": "italic",
    "verb": "bold bright_magenta",
    "input": "yellow",
    "field": "cyan",
    "wrong": "underline bright_red",
}
LIGHT = {
    "good": "blue",
    "bad": "red",
    "alarm": "bold red",
    "warn": "magenta",
    "alert": "bold magenta",
    "info": "blue",
    "name": "bold blue",
    "muted": "",
    "hint": "italic",
    "verb": "bold magenta",
    "input": "magenta",
    "field": "blue",
    "wrong": "underline red",
}
THEMES: dict[Theme, dict[str, str]] = {"dark": DARK, "light": LIGHT}
"""By theme, the style of each role in Rich's words; each theme has the same roles."""

LIGHT_GROUNDS = frozenset({"7", "15"})


def theme_of(environ: Mapping[str, str]) -> Theme:
    """Return the theme for the background that the terminal tells in `COLORFGBG`; else dark.

    >>> theme_of({"COLORFGBG": "0;15"}), theme_of({"COLORFGBG": "15;0"}), theme_of({})
    ('light', 'dark', 'dark')
    """
    ground = environ.get("COLORFGBG", "").rpartition(";")[2]
    return "light" if ground in LIGHT_GROUNDS else "dark"
