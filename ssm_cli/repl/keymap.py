"""What there is to press: one table for the bindings, the key bar, the help and the reference.

Every key that a terminal or a window manager may keep for itself (F1 and its like) has another
way: Ctrl-X and a letter. In a pane that was chosen letters act on what it shows, as long as
nothing is typed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

Place = Literal["prompt", "timeline", "tree", "log", "detail", "help"]


class Key(msgspec.Struct, frozen=True):
    """One thing that can be pressed.

    Attributes:
        action: what it does: the name of a method of `Actions`; empty: prompt_toolkit does it.
        presses: the keys, each alone or a sequence, by prompt_toolkit's names.
        shown: the keys for people; the first one stands in the key bar. Empty: the row above
            tells them.
        bar: what the key bar says it does; empty: it is not there.
        help: what the help says it does.
    """

    action: str = ""
    presses: tuple[str, ...] = ()
    shown: str = ""
    bar: str = ""
    help: str = ""

    @property
    def first(self) -> str:
        """What the key bar calls it."""
        return self.shown.partition(", ")[0]


HELD = Key(
    shown="Ctrl-S, Ctrl-Q",
    help="hold nothing on a screen, where F5 does; in a search Ctrl-S goes on to later lines",
)
QUIT = Key("quit", shown="^D", bar="quit")
EDITING = (
    Key(shown="Tab, Shift-Tab", bar="complete", help="complete, next and previous"),
    Key(shown="up, down", help="what was typed before, and began like this line; "
        "Ctrl-R searches it; right takes the suggestion"),
    Key(shown="Alt-Enter", help="another line below this one; "
        "Enter sends them all, one after the other"),
    Key("edit_line", ("c-x c-e",), "Ctrl-X Ctrl-E", help="edit the line in $EDITOR"),
    Key(shown="Ctrl-C",
        help="clear the line; while lines are carried out, stop waiting and drop the rest"),
    Key(shown="Ctrl-D",
        help="on an empty line, behind all lines that wait: stop the tree in order and leave"),
    Key(shown="Ctrl-L, Ctrl-Z", help="draw the screen anew; suspend, tree and all, until `fg`"),
    HELD,
)  # fmt: skip
VIEWS = (
    Key("help", ("f1", "c-x h"), "F1, Ctrl-X h", "help", "the keys and the commands"),
    Key("next_pane", ("f6", "c-x o"), "F6, Ctrl-X o", "tree, log",
        "choose another pane: the tree, the restart log, the output"),
    Key("previous_pane", ("f18", "c-x p"), "Shift-F6, Ctrl-X p", "", "the same the other way"),
    Key("detail", ("f9", "c-x d"), "F9, Ctrl-X d", "detail",
        "what there is to know of the chosen node, in place of the restart log"),
    Key("crash", ("f4", "c-x c"), "F4, Ctrl-X c", "crash",
        "the report of the last crash, in the tree of the chosen worker's"),
    Key("toggle_inline", ("f2", "c-x i"), "F2, Ctrl-X i", "inline",
        "the panel below the terminal's own scrollback, or all of the screen"),
    Key("seek", ("f3", "c-x f"), "F3, Ctrl-X f", "filter",
        "show only the nodes whose name contains what is typed then"),
    Key("freeze", ("f5", "c-x z"), "F5, Ctrl-X z", "freeze",
        "let the view stand still while the tree goes on"),
    Key("sort", ("f7", "c-x s"), "F7, Ctrl-X s", "sort", "sort by the next column"),
    Key("toggle_mouse", ("f8", "c-x m"), "F8, Ctrl-X m", "mouse",
        "let the mouse select text, or work in the view"),
    Key("timeline", ("f10", "c-x t"), "F10, Ctrl-X t", "timeline",
        "the timeline above the prompt: a mark a record, and where you are in the past"),
    Key("find_output", ("c-x /",), "Ctrl-X /", "", "seek a text in the output, upwards"),
    Key("find_again", ("c-x n",), "Ctrl-X n", "", "the next place where it stands"),
    Key("page_up", ("pageup",), "PgUp, PgDn", "scroll", "scroll the chosen pane"),
    Key("page_down", ("pagedown",)),
)  # fmt: skip
TIMELINE = (
    Key("earlier", ("left",), "left, right", "step", "a record back, or on"),
    Key("later", ("right",)),
    Key("earlier_crash", ("s-left", "c-x ["), "Shift-left, Shift-right", "crash",
        "to the moment before the crash before, or the next one; Ctrl-X [ and Ctrl-X ] too"),
    Key("later_crash", ("s-right", "c-x ]")),
    Key("earliest", ("home",), "Home, End", "start, now", "to the start; back to now"),
    Key("latest", ("end",)),
)  # fmt: skip
PANE = (
    Key("up", ("up",), "up", "", "the row above"),
    Key("down", ("down",), "down", "", "the row below"),
    Key("first", ("home",), "Home", "", "the first row"),
    Key("last", ("end",), "End", "", "the last row"),
    Key("leave", ("escape", "q"), "Esc, q", "back", "back to the prompt, as does any other key"),
)
TREE = (
    Key("enter_row", ("enter",), "Enter", "open",
        "open or close a supervisor; begin a call to a worker"),
    Key("open_row", ("right",), "right", "", "open a supervisor"),
    Key("close_row", ("left",), "left", "", "close it"),
    Key("call", ("c",), "c", "call", "begin a call to the worker"),
    Key("state", ("s",), "s", "state", "its state; of a supervisor its children"),
    Key("trace", ("t",), "t", "trace", "report each of its inputs and outputs, or no longer"),
    Key("suspend", ("u",), "u", "suspend", "suspend it; if it is suspended, resume it"),
    Key("restart", ("r",), "r", "restart", "restart it; Enter confirms"),
    Key("kill", ("k",), "k", "kill", "kill it; Enter confirms"),
    Key("stop", ("x",), "x", "stop", "stop it, and what is below it; Enter confirms"),
    Key("detail", ("d",), "d", "detail", "what there is to know of it"),
    Key("crash", ("e",), "e", "crash", "the report of its last crash"),
    Key("seek", ("/",), "/", "filter", "show only the nodes whose name contains a text"),
)  # fmt: skip
LOG = (
    Key("crash", ("enter", "e"), "Enter, e", "crash", "the report of the last crash"),
    Key("find_log", ("/",), "/", "find", "seek a text in the log, upwards"),
    Key("find_again", ("n",), "n", "next", "the next place where it stands"),
    Key("filter_log", ("f",), "f", "filter", "show only the reports that contain a text, or all"),
    Key("wrap", ("w",), "w", "wrap", "show long reports on several rows, or cut"),
)
DETAIL = (
    Key("find_log", ("/",), "/", "find", "seek a text in it, upwards"),
    LOG[2],
    Key("detail", ("d",), "d", "restarts", "the restart log again"),
)
HELP = (
    Key("page_up", ("pageup", "b"), "PgUp, b", "back", "the page before"),
    Key("page_down", ("pagedown", " "), "PgDn, Space", "next", "the next page"),
    Key("leave", ("escape", "q", "enter"), "Esc, q", "close", "close the help"),
)

IN_PANES: dict[Place, tuple[Key, ...]] = {
    "timeline": TIMELINE, "tree": (*TREE, *PANE), "log": (*LOG, *PANE),
    "detail": (*DETAIL, *PANE), "help": (*HELP, *PANE[:4]),
}  # fmt: skip
"""The keys of a pane that is chosen, as long as nothing is typed."""

BARS: dict[Place, tuple[Key, ...]] = {
    "prompt": (
        VIEWS[0], QUIT, EDITING[0], VIEWS[13], *VIEWS[1:11],
        Key(shown="^R", bar="search"), Key("interrupt", shown="^C", bar="clear"),
    ),
    "timeline": (*TIMELINE[::2], VIEWS[10], VIEWS[0], QUIT, *VIEWS[1:10]),
    "tree": (PANE[4], *TREE[3:10], TREE[0], *TREE[10:]),
    "log": (PANE[4], *LOG, VIEWS[13]),
    "detail": (PANE[4], *DETAIL, VIEWS[13]),
    "help": HELP[::-1],
}  # fmt: skip
"""The key bar of the place where one is; the first keys are still there where room is little."""

Sections = tuple[tuple[str, tuple[Key, ...]], ...]
SECTIONS: Sections = (
    ("everywhere", VIEWS),
    ("at the prompt", EDITING),
    ("in the timeline (F10), on an empty line", TIMELINE),
    ("in the tree (F6)", TREE),
    ("in the restart log (F6 again)", LOG),
    ("in the detail, where it stands in the place of the log", DETAIL),
    ("in each of them", PANE),
)


IN_PLAIN = frozenset({"help", "crash", "toggle_inline", "timeline"})
"""The actions of the views that act in the plain face, too, which has no panes."""

PLAIN_SECTIONS: Sections = (
    (SECTIONS[0][0], tuple(key for key in VIEWS if key.action in IN_PLAIN)),
    (SECTIONS[1][0], tuple(key for key in EDITING if key is not HELD)),
    SECTIONS[2],
)


def key_lines(sections: Sections = SECTIONS) -> list[str]:
    """Return the keys and what they do, one a line, below the titles of their sections."""
    rows = [(title, [key for key in keys if key.shown]) for title, keys in sections]
    width = max(len(key.shown) for _, keys in rows for key in keys)
    lines: list[str] = []
    for title, keys in rows:
        lines += ["", f"{title}:", *(f"  {key.shown.ljust(width)}  {key.help}" for key in keys)]
    return lines[1:]


def sequences(keys: Iterable[Key]) -> Iterable[tuple[tuple[str, ...], str]]:
    """Return each sequence of keys with the action it stands for.

    >>> dict(sequences(HELP))[(" ",)], dict(sequences(VIEWS))[("c-x", "h")]
    ('page_down', 'help')
    """
    return (
        (tuple(press.split()) or (press,), key.action)
        for key in keys
        if key.action
        for press in key.presses
    )
