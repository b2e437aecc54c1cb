"""The themes as styles of prompt_toolkit: how each class of the screen's fragments looks."""

from __future__ import annotations

from functools import cache

from prompt_toolkit.styles import Style

from ssm_cli.render.theme import ATTRIBUTES, THEMES, Theme

PARTS = {  # of the screen, besides the roles of texts; the same in every theme
    "status": "reverse",
    "rule.chosen": "bold",
    "key": "reverse",
    "completion-menu": "noinherit reverse",
    "completion-menu.completion.current": "noinherit bold underline",
    "completion-menu.meta.completion": "noinherit reverse",
    "completion-menu.meta.completion.current": "noinherit bold",
}


@cache
def style(theme: Theme) -> Style:
    """Return the style of a theme."""
    roles = {role: _words(look) for role, look in THEMES[theme].items()}
    return Style.from_dict(
        {**PARTS, **roles, "rule": roles["muted"], "auto-suggestion": roles["hint"]}
    )


def _words(look: str) -> str:
    """Rich's words as prompt_toolkit's.

    >>> _words("bold bright_red")
    'bold ansibrightred'
    """
    words = look.split()
    return " ".join(w if w in ATTRIBUTES else f"ansi{w.replace('_', '')}" for w in words)
