"""Which key does what. Editing keys are prompt_toolkit's (Emacs style, or vi's)."""

from __future__ import annotations

from collections.abc import Callable

from prompt_toolkit.filters import Condition, emacs_mode, has_completions, is_searching
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

from ssm_cli.repl.actions import Actions


def bindings(actions: Actions) -> KeyBindings:
    """The keys of a session, beyond those of editing."""
    keys = KeyBindings()
    empty = Condition(lambda: not actions.buffer.text and not actions.held)
    choosing = Condition(lambda: actions.is_choosing)

    @keys.add("c-c")
    @keys.add("<sigint>")
    def _interrupt(event: KeyPressEvent) -> None:
        del event
        actions.interrupt()

    keys.add("c-d", filter=empty)(_calls(actions.quit))
    keys.add("enter", filter=~is_searching)(_calls(actions.enter))

    @keys.add("enter", filter=choosing)
    def _take(event: KeyPressEvent) -> None:
        event.current_buffer.complete_state = None

    @keys.add("escape", "enter", filter=emacs_mode)
    def _line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-z")
    def _suspend(event: KeyPressEvent) -> None:
        event.app.suspend_to_background()

    @keys.add(Keys.BracketedPaste)
    def _paste(event: KeyPressEvent) -> None:
        actions.paste(event.data)

    @keys.add("escape", filter=has_completions, eager=True)
    def _close(event: KeyPressEvent) -> None:
        event.current_buffer.cancel_completion()

    _add_views(keys, actions)
    _add_tree(keys, actions)
    return keys


def _add_views(keys: KeyBindings, actions: Actions) -> None:
    """The keys that move the view and nothing else."""
    views: dict[str, Callable[[], None]] = {
        "f1": actions.help,
        "f2": actions.toggle_inline,
        "f3": actions.seek,
        "f4": actions.crash,
        "f5": actions.freeze,
        "f6": lambda: actions.screen.choose(1),
        "f18": lambda: actions.screen.choose(-1),  # what terminals send for Shift-F6
        "f7": actions.sort,
        "f8": actions.toggle_mouse,
        "f9": actions.detail,
        "pageup": lambda: actions.screen.chosen.page(-1),
        "pagedown": lambda: actions.screen.chosen.page(1),
    }
    for key, action in views.items():
        keys.add(key)(_calls(action))
    keys.add("c-x", "c-e")(_calls(actions.edit_line))


def _add_tree(keys: KeyBindings, actions: Actions) -> None:
    """The keys of a pane that is chosen, as long as nothing is typed."""
    empty = Condition(lambda: not actions.buffer.text and not actions.app.layout.is_searching)
    pane = empty & Condition(lambda: actions.screen.is_chosen)
    tree = pane & Condition(lambda: actions.screen.in_tree)
    panes: dict[str, Callable[[], None]] = {
        "up": lambda: actions.screen.chosen.scroll(-1),
        "down": lambda: actions.screen.chosen.scroll(1),
        "home": lambda: actions.screen.chosen.ends(-1),
        "end": lambda: actions.screen.chosen.ends(1),
        "escape": actions.screen.leave_panes,
    }
    for key, action in panes.items():
        keys.add(key, filter=pane, eager=key == "escape")(_calls(action))
    trees: dict[str, Callable[[], None]] = {
        "enter": actions.enter_row,
        "right": lambda: actions.open_row(opened=True),
        "left": lambda: actions.open_row(opened=False),
        "/": actions.seek,
    }
    for key, action in trees.items():
        keys.add(key, filter=tree)(_calls(action))


def _calls(action: Callable[[], None]) -> Callable[[KeyPressEvent], None]:
    def handler(event: KeyPressEvent) -> None:
        del event
        action()

    return handler
