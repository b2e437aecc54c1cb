"""Whether code can go on from a state: it has the callbacks that the state names."""

from __future__ import annotations

from typing import Any

from ssm_cli.behaviour.event_loop import Handlers, Managing
from ssm_cli.behaviour.state_loop import MODES, InState, check_state, in_use
from ssm_cli.behaviour.statem import Statem


def check_standing(behaviour: Any, state: Any) -> None:
    """Raise where code has no callback for the state of a `Statem`, or for a handler that is there.

    States of other workers name no callbacks.

    Raises:
        AttributeError: no event could be taken in that state.
        LookupError: a handler that is installed is none of the code.
    """
    if type(state) is InState:
        callbacks = in_use(behaviour, state.modules)
        own = getattr(callbacks.handle_event, "__func__", None) is not Statem.handle_event
        mode = callbacks.callback_mode
        if mode not in MODES or (mode == "handle_event_function" and not own):
            lacks = "handle_event" if mode in MODES else "callback_mode that there is"
            raise AttributeError(f"{type(callbacks).__name__} has no {lacks}")
        check_state(behaviour, state)
    elif type(state) is Handlers:
        there = Managing(behaviour, state)
        for one in state.installed:
            there.code_of(one.module)
