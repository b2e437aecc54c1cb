"""The full screen: which part is where. Every height is asked for at each frame.

status line
tree header  |  restart log      (below the tree where there is no room beside it)
tree         |
── output ──
output
prompt
hint
keys
"""

from __future__ import annotations

from collections.abc import Callable

from prompt_toolkit.application import get_app
from prompt_toolkit.filters import Condition, Filter
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout import (
    ConditionalContainer,
    Container,
    DynamicContainer,
    Float,
    FloatContainer,
    FormattedTextControl,
    HSplit,
    Layout,
    UIControl,
    VSplit,
    Window,
)
from prompt_toolkit.layout.dimension import Dimension
from prompt_toolkit.layout.menus import CompletionsMenu
from prompt_toolkit.styles import Style
from prompt_toolkit.widgets import SearchToolbar

from ssm_cli.render.columns import short, span
from ssm_cli.render.geometry import Geometry, geometry
from ssm_cli.render.sanitize import fit, one_line
from ssm_cli.repl.model import Model
from ssm_cli.repl.panes.lines import Pane
from ssm_cli.repl.panes.log import DetailPane, LogPane, OutputPane
from ssm_cli.repl.panes.tree import HeaderLine, TreePane
from ssm_cli.runtime.views import Report

KEYS = (  # the first ones are still there where there is little room
    ("F1", "help"),
    ("^D", "quit"),
    ("Tab", "complete"),
    ("PgUp/Dn", "scroll"),
    ("F2", "inline"),
    ("F6", "pane"),
    ("F3", "filter"),
    ("F4", "crash"),
    ("F5", "freeze"),
    ("F9", "detail"),
    ("F8", "mouse"),
    ("^R", "search"),
    ("^C", "clear"),
)
STYLE = Style.from_dict(
    {
        "status": "reverse",
        "rule": "ansibrightblack",
        "rule.chosen": "bold",
        "key": "reverse",
        "completion-menu": "noinherit reverse",
        "completion-menu.completion.current": "noinherit bold underline",
        "completion-menu.meta.completion": "noinherit reverse",
        "completion-menu.meta.completion.current": "noinherit bold",
        "auto-suggestion": "ansibrightblack",
    }
)


class Screen:
    """The windows of the full screen.

    Args:
        model: what is shown.
        prompt: the window of the prompt; `prompt_rows` says how many rows it takes.
        hint: the line below it.
        search: the line that searches the history.
        says: whether the line below the prompt is shown in the plain face, too.
        enter: called with a row of the tree that was clicked at twice.
        crash: called with a line of the restart log that was clicked at.

    Attributes:
        layout: what the application shows.
        chosen: the pane that PgUp and PgDn scroll.
        inline: only the panel is shown, below the terminal's own scrollback.
        plain: only the prompt is.
    """

    def __init__(
        self,
        model: Model,
        prompt: Window,
        prompt_rows: Callable[[], int],
        hint: UIControl,
        search: SearchToolbar,
        *,
        says: Callable[[], bool],
        enter: Callable[[int], None],
        crash: Callable[[Report], None],
    ) -> None:
        self._model = model
        self._prompt_rows = prompt_rows
        self.inline = self.plain = False
        self._tree, self._log = TreePane(model, enter), LogPane(model, crash)
        self._output, self._detail = OutputPane(model), DetailPane(model)
        self._panes: tuple[tuple[str, Pane], ...] = (
            ("output", self._output),
            ("tree", self._tree),
            ("restarts", self._log),
        )
        self._place = 0
        drawn = Condition(lambda: not self.plain)
        hinted = ~_searching(search) & (drawn | Condition(says))
        menu = ConditionalContainer(CompletionsMenu(max_height=8, scroll_offset=1), ~drawn)
        below = HSplit([prompt, search, menu, _line(hint, hinted), self._keys()])
        view = HSplit(
            [
                _line(FormattedTextControl(self._status), style="class:status"),
                DynamicContainer(self._upper()),
                self._lower(),
            ]
        )
        body = HSplit([ConditionalContainer(view, drawn), below])
        floating = ConditionalContainer(CompletionsMenu(max_height=8, scroll_offset=1), drawn)
        self._menu = Float(floating, xcursor=True)
        self.layout = Layout(FloatContainer(body, [self._menu]), focused_element=prompt)

    @property
    def chosen(self) -> Pane:
        """The pane that is scrolled."""
        pane = self._panes[self._place][1]
        return self._detail if pane is self._log and self._model.detail is not None else pane

    @property
    def is_chosen(self) -> bool:
        """Whether a pane other than the output was chosen."""
        return self._place > 0

    @property
    def in_tree(self) -> bool:
        """Whether the tree was chosen."""
        return self.chosen is self._tree

    def choose(self, step: int) -> None:
        """Scroll the next pane (1) or the one before (-1) from now on."""
        self._place = (self._place + step) % len(self._panes)
        if self.in_tree:
            self._model.tree.move(0)
        elif self._model.detail is None:
            self._model.tree.chosen = None

    def leave_panes(self) -> None:
        """Go back to the prompt."""
        self._place = 0
        self.choose(0)

    def place_menu(self) -> None:
        """Keep the menu above the prompt, so that it never hides the hint; before each frame.

        Inline the application is as high as the room below the cursor, not as its panel, so the
        menu goes where the cursor is.
        """
        self._menu.ycursor = self.inline
        above = 1 + self._prompt_rows() + self._geometry().keys
        self._menu.bottom = None if self.inline else above

    def follow(self) -> None:
        """Show the end of the output again."""
        self._output.follow = True

    def _upper(self) -> Callable[[], Container]:
        """The tree and the restart log, side by side or one above the other."""
        header = HeaderLine(self._model)
        tree = HSplit(
            [
                _line(header, Condition(lambda: self._geometry().tree > 3)),
                Window(self._tree, height=lambda: _exactly(self._tree_rows())),
            ],
            width=lambda: _exactly(self._geometry().tree_columns),
        )
        title = _line(
            FormattedTextControl(lambda: self._rule("restarts", self._geometry().log_columns))
        )
        beside = HSplit(
            [title, *self._happened(lambda: self._geometry().tree - 1)],
            width=lambda: _exactly(self._geometry().log_columns),
        )
        bar = Window(width=1, char="│", style="class:rule")
        side_by_side = VSplit([tree, bar, beside], height=lambda: _exactly(self._geometry().tree))
        stacked = HSplit([tree, title, *self._happened(lambda: self._geometry().log)])
        return lambda: side_by_side if self._geometry().wide else stacked

    def _happened(self, rows: Callable[[], int]) -> list[Container]:
        """The restart log, or in its place the detail of a node."""
        asked = Condition(lambda: self._model.detail is not None)
        log = Window(self._log, height=lambda: _exactly(rows()))
        detail = Window(self._detail, height=lambda: _exactly(rows()))
        return [ConditionalContainer(log, ~asked), ConditionalContainer(detail, asked)]

    def _lower(self) -> Container:
        """The output; inline, the scrollback has it."""
        title = FormattedTextControl(lambda: self._rule("output", self._columns()))
        output = Window(self._output, height=lambda: _exactly(self._geometry().output))
        full = Condition(lambda: not self.inline)
        return ConditionalContainer(HSplit([_line(title), output]), filter=full)

    def _geometry(self) -> Geometry:
        size = get_app().output.get_size()
        wanted = self._model.tree.index.count + 1
        rows = size.rows - self._prompt_rows() + 1
        detail = 0 if self._model.detail is None else len(self._model.detail) + 1
        return geometry(rows, size.columns, wanted, detail_rows=detail, inline=self.inline)

    def _columns(self) -> int:
        return get_app().output.get_size().columns

    def _tree_rows(self) -> int:
        rows = self._geometry().tree
        return rows - 1 if rows > 3 else rows

    def _status(self) -> StyleAndTextTuples:
        """The first line: which tree, for how long, and how it is."""
        model = self._model
        rate = model.tree.rates.total
        words = [
            f" ssm  {one_line(model.title)}",
            f"up {span(model.root.uptime_s)}",
            *([] if rate is None else [f"{short(rate)} msg/s"]),
            f"restarts {model.restarts:,}",
            f"queue {model.queue:,}",
            f"workers {model.workers:,}",
        ]
        if model.frozen:
            words.insert(1, "FROZEN (F5 goes on)")
        if model.tree.needle:
            words.insert(1, f"only `{one_line(model.tree.needle)}` (F3)")
        return [("", fit("  ".join(words), self._columns()))]

    def _rule(self, name: str, width: int) -> StyleAndTextTuples:
        """A line with the name of the pane below it, exactly `width` cells."""
        label, pane = self._panes[[pane[0] for pane in self._panes].index(name)]
        if pane is self._log and self._model.detail is not None:
            label = "detail"
        elif pane is self._log:
            label = f"{label} {self._model.restarts:,}"
        where = "" if pane.follow or pane is self._tree else " (scrolled)"
        style = "class:rule.chosen" if pane is self.chosen and self._place else "class:rule"
        label = f" {label}{where} "
        return [
            ("class:rule", "──"),
            (style, label),
            ("class:rule", "─" * max(width - len(label) - 2, 0)),
        ]

    def _keys(self) -> ConditionalContainer:
        """The line of keys, where the screen is high enough for it."""
        return _line(
            FormattedTextControl(self._key_words),
            Condition(lambda: self._geometry().keys > 0 and not self.plain),
        )

    def _key_words(self) -> StyleAndTextTuples:
        """As many of the keys as there is room for."""
        words: StyleAndTextTuples = []
        left = self._columns()
        for key, does in KEYS:
            left -= len(key) + len(does) + 5
            if left >= 0:
                words += [("class:key", f" {key} "), ("", f" {does}  ")]
        return words


def _exactly(cells: int) -> Dimension:
    return Dimension.exact(max(cells, 0))


def _line(
    control: UIControl,
    when: Filter | bool = True,
    style: str = "",
) -> ConditionalContainer:
    return ConditionalContainer(Window(control, height=1, style=style), filter=when)


def _searching(search: SearchToolbar) -> Condition:
    return Condition(lambda: search.control in get_app().layout.search_links)
