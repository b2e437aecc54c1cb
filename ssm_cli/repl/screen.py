"""The full screen: which part is where. Every height is asked for at each frame.

status line
tree header  |  restart log      (below the tree where there is no room beside it)
tree         |
── output ──
output
timeline        (where it is asked for, or one is in the past)
prompt
hint
keys
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

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

from ssm_cli.render.geometry import LOW_ROWS, Geometry, geometry
from ssm_cli.render.rows import header
from ssm_cli.repl.keymap import Place
from ssm_cli.repl.model import Model
from ssm_cli.repl.panes.bars import hidden, key_words, log_title, rule, status_line, timeline_words
from ssm_cli.repl.panes.help import HelpPane
from ssm_cli.repl.panes.lines import Pane, fragments
from ssm_cli.repl.panes.log import DetailPane, LogPane, OutputPane
from ssm_cli.repl.panes.tree import TreePane
from ssm_cli.repl.typed_line import TypedLine

PLAIN_ROWS = 3  # a lower terminal has no timeline in the plain face
PLACES: tuple[Place, ...] = ("prompt", "tree", "log")
"""Where the keys act, by the number of the pane that is chosen."""


class Screen:
    """The windows of the full screen.

    Args:
        model: what is shown.
        line: what is typed; in the plain face the line below it is shown if it says something.
        press: called with the name of an action, and what it is about, for what was clicked at.

    Attributes:
        model: what is shown.
        layout: what the application shows.
        chosen: the pane that PgUp and PgDn scroll.
        place: where the keys act.
        inline: only the panel is shown, below the terminal's own scrollback.
        plain: only the prompt is.
        output, log: panes that can be searched.
    """

    def __init__(self, model: Model, line: TypedLine, press: Callable[..., None]) -> None:
        self.model = model
        self._press = press
        self._typed = line
        self.inline = self.plain = False
        self._tree = TreePane(model, partial(press, "enter_row"), lambda: self.go_to("tree"))
        self.output, self.log = OutputPane(model), LogPane(model, partial(press, "crash"))
        self._detail, self._help = DetailPane(model), HelpPane()
        self._panes: tuple[Pane, ...] = (self.output, self._tree, self.log)
        self._place = 0
        self._helps = False
        self._low = Condition(lambda: self._geometry().low)
        drawn = Condition(lambda: not self.plain)
        roomy = drawn & Condition(lambda: self._geometry().hint > 0)
        hinted = ~Condition(lambda: line.search.control in get_app().layout.search_links)
        hinted &= roomy | Condition(lambda: line.says)
        menu = ConditionalContainer(CompletionsMenu(max_height=8, scroll_offset=1), ~drawn)
        hint = _line(line.hint, hinted)
        below = HSplit([self._timeline(), line.window, line.search, menu, hint, self._keys()])
        body = HSplit([ConditionalContainer(self._above(), drawn), below])
        floating = ConditionalContainer(CompletionsMenu(max_height=8, scroll_offset=1), drawn)
        self._menu = Float(floating, xcursor=True)
        self.layout = Layout(FloatContainer(body, [self._menu]), focused_element=line.window)

    def _above(self) -> Container:
        """What is above the prompt: the panes, or the help in their place."""
        helps = Condition(lambda: self._helps)
        title = _line(FormattedTextControl(self._help_title))
        text = Window(self._help, height=lambda: _exactly(self._help_rows()))
        status = FormattedTextControl(lambda: status_line(self.model, self._columns()))
        return HSplit(
            [
                _line(status, ~self._low, style="class:status"),
                ConditionalContainer(HSplit([title, text]), helps),
                ConditionalContainer(DynamicContainer(self._upper()), ~helps & ~self._low),
                ConditionalContainer(self._lower(), ~helps),
            ]
        )

    @property
    def chosen(self) -> Pane:
        """The pane that is scrolled."""
        if self._helps:
            return self._help
        pane = self._panes[self._place]
        return self.beside if pane is self.log else pane

    @property
    def beside(self) -> Pane:
        """The restart log, or the detail of a node in its place."""
        return self.log if self.model.detail is None else self._detail

    @property
    def place(self) -> Place:
        """Where the keys act that are pressed while nothing is typed."""
        if self._helps:
            return "help"
        if self.chosen is self._detail:
            return "detail"
        return "timeline" if not self._place and self._has_timeline else PLACES[self._place]

    def show_help(self, *, shown: bool) -> None:
        """Show all keys and commands in place of the panes, from the first page; or no longer."""
        self._helps = shown
        self._help.ends(-1)

    def wrap_log(self) -> None:
        """Show long reports on several rows, or cut."""
        self.log.wraps = not self.log.wraps

    def go_to(self, place: Place) -> None:
        """Choose a pane."""
        self._place = PLACES.index(place)

    @property
    def in_tree(self) -> bool:
        """Whether the tree was chosen."""
        return self.chosen is self._tree

    def choose(self, step: int) -> None:
        """Scroll the next pane (1) or the one before (-1) from now on."""
        self._place = (self._place + step) % len(self._panes)
        if self.in_tree:
            self.model.tree.move(0)
        elif self.model.detail is None:
            self.model.tree.leave()

    def leave_panes(self) -> None:
        """Go back to the prompt."""
        self._place, self._helps = 0, False
        self.choose(0)

    def place_menu(self) -> None:
        """Keep the menu above the prompt, so that it never hides the hint; before each frame.

        Inline the application is as high as the room below the cursor, not as its panel, so the
        menu goes where the cursor is.
        """
        self._menu.ycursor = self.inline
        above = 1 + self._typed.rows + self._geometry().keys
        self._menu.bottom = None if self.inline else above

    def follow(self) -> None:
        """Show the end of the output again."""
        self.output.follow, self._helps = True, False
        for pane in (self.output, self.log, self._detail):
            pane.forget()

    def _upper(self) -> Callable[[], Container]:
        """The tree and the restart log, side by side or one above the other."""
        titles = FormattedTextControl(
            lambda: fragments(header(self._geometry().tree_columns, self.model.tree.sort))
        )
        tree = HSplit(
            [
                _line(titles, Condition(lambda: self._geometry().tree > 3)),
                Window(self._tree, height=lambda: _exactly(self._tree_rows())),
            ],
            width=lambda: _exactly(self._geometry().tree_columns),
        )
        title = _line(
            FormattedTextControl(lambda: self._rule(self.beside, self._geometry().log_columns))
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
        asked = Condition(lambda: self.model.detail is not None)
        log = Window(self.log, height=lambda: _exactly(rows()))
        detail = Window(self._detail, height=lambda: _exactly(rows()))
        return [ConditionalContainer(log, ~asked), ConditionalContainer(detail, asked)]

    def _lower(self) -> Container:
        """The output; inline, the scrollback has it."""
        title = FormattedTextControl(lambda: self._rule(self.output, self._columns()))
        output = Window(self.output, height=lambda: _exactly(self._geometry().output))
        full = Condition(lambda: not self.inline)
        return ConditionalContainer(HSplit([_line(title, ~self._low), output]), filter=full)

    def _geometry(self) -> Geometry:
        size = get_app().output.get_size()
        wanted = self.model.tree.index.count + 1
        rows = size.rows - self._typed.rows + 1 - self._has_timeline
        detail = 0 if self.model.detail is None else len(self.model.detail) + 1
        return geometry(rows, size.columns, wanted, detail_rows=detail, inline=self.inline)

    def _columns(self) -> int:
        return get_app().output.get_size().columns

    def _tree_rows(self) -> int:
        rows = self._geometry().tree
        return rows - 1 if rows > 3 else rows

    def _rule(self, pane: Pane, width: int) -> StyleAndTextTuples:
        """A line with the title of the pane below it, and how many rows have no room."""
        style = "class:rule.chosen" if pane is self.chosen and self._place else "class:rule"
        if self.model.place and pane is not self.output:
            style += " reverse"
        g = self._geometry()
        title = "output" if pane is self.output else log_title(self.model)
        if pane is self._detail:
            title = f"detail{hidden(': ', pane.count(width) - (g.tree - 1 if g.wide else g.log))}"
        elif not pane.follow:
            title += " (scrolled)"
        below_tree = (pane is self.output) == (g.wide and not self.inline)
        more = self.model.tree.index.count - self._tree_rows() if below_tree else 0
        return rule(title, hidden(" tree: ", more), style, width)

    def _help_title(self) -> StyleAndTextTuples:
        page, pages = self._help.page_of(self._columns(), self._help_rows())
        return [("class:rule", "── "), ("bold", f"help, page {page} of {pages}")]

    def _help_rows(self) -> int:
        """As many as the panes would take."""
        g = self._geometry()
        rows = g.tree + (0 if g.wide else g.log + 1) + (0 if self.inline else g.output + 1)
        return (g.output if g.low else rows) - 1

    @property
    def _has_timeline(self) -> bool:
        """Whether the timeline is asked for, and there is room for it."""
        rows = get_app().output.get_size().rows - self._typed.rows + 1
        return self.model.timeline.shown and rows > (PLAIN_ROWS if self.plain else LOW_ROWS)

    def _timeline(self) -> ConditionalContainer:
        """The timeline; what it has no marks for yet is asked for with the next frame."""

        def words() -> StyleAndTextTuples:
            if self.model.timeline.widen(self._columns()):
                self.model.touch()
            return timeline_words(
                self.model.timeline, self._columns(), partial(self._press, "go_to")
            )

        return _line(FormattedTextControl(words), Condition(lambda: self._has_timeline))

    def _keys(self) -> ConditionalContainer:
        """The line of keys, where the screen is high enough for it."""
        words = FormattedTextControl(lambda: key_words(self.place, self._columns(), self._press))
        return _line(words, Condition(lambda: self._geometry().keys > 0 and not self.plain))


def _exactly(cells: int) -> Dimension:
    return Dimension.exact(max(cells, 0))


def _line(control: UIControl, when: Filter | bool = True, style: str = "") -> ConditionalContainer:
    return ConditionalContainer(Window(control, height=1, style=style), filter=when)
