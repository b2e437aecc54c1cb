"""The application that prompt_toolkit runs: screen, input and output put together, and its look."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from prompt_toolkit.application import Application
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.filters import Condition
from prompt_toolkit.input import Input
from prompt_toolkit.output import ColorDepth, Output
from prompt_toolkit.styles import DynamicStyle, Style

from ssm_cli.render.theme import ATTRIBUTES, THEMES, Theme
from ssm_cli.repl.faces.reflow import Resizing, wraps_anew
from ssm_cli.repl.screen import Screen
from ssm_cli.repl.shell.config import Settings

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


def make_app(
    screen: Screen,
    settings: Settings,
    environ: Mapping[str, str],
    source: Input,
    output: Output,
    *,
    mouse: Callable[[], bool],
) -> Application[None]:
    """The application, not running."""
    app = Resizing(
        layout=screen.layout,
        style=DynamicStyle(lambda: style(screen.model.theme)),
        full_screen=True,
        erase_when_done=True,
        input=source,
        output=output,
        color_depth=ColorDepth.DEPTH_1_BIT if environ.get("NO_COLOR") else None,
        editing_mode=EditingMode.VI if settings.editing == "vi" else EditingMode.EMACS,
        mouse_support=Condition(mouse),
        max_render_postpone_time=None,
        before_render=lambda _: screen.place_menu(),
    )
    app.reflows = wraps_anew(environ)
    app.ttimeoutlen = 0.05  # Esc is felt at once
    return app
