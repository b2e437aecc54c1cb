"""Which key does what. Editing keys are prompt_toolkit's (Emacs style)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from prompt_toolkit.filters import Condition, has_completions
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

if TYPE_CHECKING:
    from ssm_cli.repl.session import Session

HELP = (
    "Tab, Shift-Tab   complete, next and previous",
    "up, down         what was typed before; Ctrl-R searches it; right takes the grey suggestion",
    "PgUp, PgDn       scroll the output; F6 and Shift-F6 choose another pane",
    "F2               show the panel below the terminal's own scrollback, or all of the screen",
    "F5               let the view stand still while the tree goes on",
    "Ctrl-C           clear the line; while a call waits, stop waiting",
    "Ctrl-D           on an empty line: stop the tree in order and leave",
    "Ctrl-L, Ctrl-Z   draw the screen anew; suspend, tree and all, until `fg`",
)


def bindings(session: Session) -> KeyBindings:
    """The keys of a session, beyond those of editing."""
    keys = KeyBindings()
    empty = Condition(lambda: not session.buffer.text)

    @keys.add("c-c")
    @keys.add("<sigint>")
    def _interrupt(event: KeyPressEvent) -> None:
        del event
        session.interrupt()

    @keys.add("c-d", filter=empty)
    def _quit(event: KeyPressEvent) -> None:
        del event
        session.quit()

    @keys.add("enter", filter=Condition(lambda: session.is_choosing))
    def _take(event: KeyPressEvent) -> None:
        event.current_buffer.complete_state = None

    @keys.add("c-z")
    def _suspend(event: KeyPressEvent) -> None:
        event.app.suspend_to_background()

    @keys.add(Keys.BracketedPaste)
    def _paste(event: KeyPressEvent) -> None:
        session.paste(event.data)

    @keys.add("escape", filter=has_completions, eager=True)
    def _close(event: KeyPressEvent) -> None:
        event.current_buffer.cancel_completion()

    _add_views(keys, session)
    return keys


def _add_views(keys: KeyBindings, session: Session) -> None:
    """The keys that move the view and nothing else."""
    actions: dict[str, Callable[[], None]] = {
        "f1": session.help,
        "f2": session.inline.toggle,
        "f5": session.freeze,
        "f6": lambda: session.screen.choose(1),
        "f18": lambda: session.screen.choose(-1),  # what terminals send for Shift-F6
        "pageup": lambda: session.screen.chosen.page(-1),
        "pagedown": lambda: session.screen.chosen.page(1),
    }
    for key, action in actions.items():
        keys.add(key)(_calls(action))


def _calls(action: Callable[[], None]) -> Callable[[KeyPressEvent], None]:
    def handler(event: KeyPressEvent) -> None:
        del event
        action()

    return handler
