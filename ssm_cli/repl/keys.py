"""Which key does what: the table of `keymap`, bound. Editing keys are prompt_toolkit's."""

from __future__ import annotations

from collections.abc import Callable

from prompt_toolkit.filters import Condition, Filter, emacs_mode, has_completions, is_searching
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.key_binding.vi_state import InputMode
from prompt_toolkit.keys import Keys

from ssm_cli.repl.actions import Actions
from ssm_cli.repl.keymap import EDITING, IN_PANES, IN_PLAIN, VIEWS, Place, sequences


def bindings(actions: Actions) -> KeyBindings:
    """The keys of a session, beyond those of editing."""
    keys = KeyBindings()
    empty = Condition(lambda: not actions.buffer.text and not actions.line.held)
    choosing = Condition(lambda: actions.is_choosing)

    _add_of_terminals(keys, actions)
    keys.add("c-d", filter=empty)(_calls(actions.quit))
    keys.add("enter", filter=~is_searching)(
        lambda event: event.current_buffer.validate_and_handle()
    )
    keys.add("enter", filter=choosing)(
        lambda event: setattr(event.current_buffer, "complete_state", None)
    )

    @keys.add("up", filter=has_completions & ~choosing)
    def _earlier(event: KeyPressEvent) -> None:
        event.current_buffer.cancel_completion()
        event.current_buffer.auto_up()

    keys.add("escape", "enter", filter=emacs_mode)(
        lambda event: event.current_buffer.insert_text("\n")
    )
    keys.add("c-z")(lambda event: event.app.suspend_to_background())
    keys.add(Keys.BracketedPaste)(lambda event: actions.line.paste(event.data))
    keys.add("escape", filter=has_completions, eager=True)(
        lambda event: event.current_buffer.cancel_completion()
    )
    _add_table(keys, actions)
    return keys


def _add_of_terminals(keys: KeyBindings, actions: Actions) -> None:
    """The keys that a terminal keeps for itself, as a rule: on a screen they come here."""

    @keys.add("<sigint>")
    @keys.add("c-c", eager=True)  # a quoted insert takes any other key
    def _interrupt(event: KeyPressEvent) -> None:
        event.app.quoted_insert = False
        is_over = event.app.layout.is_searching
        actions.interrupt()
        if is_over:
            event.app.vi_state.input_mode = InputMode.INSERT
            actions.line.clear()

    @keys.add("c-s", filter=~is_searching)
    @keys.add("c-q")
    def _hold(_event: KeyPressEvent) -> None:
        if not actions.screen.plain:
            actions.model.notice("Ctrl-S holds nothing here; F5 lets the view stand still", "")


def _add_table(keys: KeyBindings, actions: Actions) -> None:
    for sequence, action in sequences(VIEWS):
        keys.add(*sequence)(_calls(_in_view(actions, action)))
    for sequence, action in sequences(EDITING):
        keys.add(*sequence)(_calls(actions.named(action)))
    for place in IN_PANES:
        _add_pane(keys, actions, place)


def _in_view(actions: Actions, action: str) -> Callable[[], None]:
    """An action of the views; where it needs a pane, the plain prompt says that it has none."""
    act = actions.named(action)

    def carry_out() -> None:
        if actions.screen.plain and action not in IN_PLAIN:
            said = "the plain prompt has no panes; F2 or `ui full` shows them"
            actions.model.notice(said, "")
        else:
            act()

    return carry_out


def _add_pane(keys: KeyBindings, actions: Actions, place: Place) -> None:
    """The keys of a pane that is chosen, as long as nothing is typed."""
    here: Filter = Condition(
        lambda: (
            actions.screen.place == place
            and not actions.buffer.text
            and not actions.app.layout.is_searching
        )
    )
    for sequence, action in sequences(IN_PANES[place]):
        keys.add(*sequence, filter=here, eager=sequence == ("escape",))(
            _calls(actions.named(action))
        )


def _calls(action: Callable[[], None]) -> Callable[[KeyPressEvent], None]:
    return lambda _: action()
