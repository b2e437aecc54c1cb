"""The loop of a `Statem`, one event at a time: what an event comes to, as a pure function.

Theory of operation. A running `Statem` is one value, `InState`: state and data, and all that OTP's
loop holds besides: postponed events, inserted ones, time-outs. One input of the worker is one event
and one call of its callback, with the enter calls that follow from it. What is to be handled before
any other input comes back as `then=Continue(event)`: an inserted event, a postponed one that comes
again, a time-out of 0 ms. A time-out that lasts is a timer of the worker, whose message is only its
name: what it says is in the table, where `UpdateTimeout` can change it.

A callback that raises leaves all as it was before the event, but answers that were given before are
sent: in OTP they are gone by then. Source: OTP 25 `gen_statem`, `loop_*`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

import msgspec

from ssm_cli.behaviour.effects import Answer, CancelTimer, Effect, StartTimer
from ssm_cli.behaviour.equality import identical
from ssm_cli.behaviour.reading import is_reading
from ssm_cli.behaviour.reasons import BadReturnError, Crash, plain, shape
from ssm_cli.behaviour.results import (
    NOTHING,
    Caller,
    Continue,
    Hibernate,
    NoReply,
    Ok,
    Reply,
    Stop,
)
from ssm_cli.behaviour.sound import is_due
from ssm_cli.behaviour.statem import Statem
from ssm_cli.behaviour.transitions import (
    EVENT_TIMEOUT,
    EVENT_TYPES,
    STATE_TIMEOUT,
    Actions,
    CancelTimeout,
    ChangeCallbackModule,
    KeepState,
    KeepStateAndData,
    Next,
    NextEvent,
    PopCallbackModule,
    Postpone,
    PushCallbackModule,
    RepeatState,
    RepeatStateAndData,
    SetTimeout,
    StateEvent,
    StopAndReply,
    Timer,
    UpdateTimeout,
    is_timer,
)
from ssm_cli.codec.strangers import stranger_text
from ssm_cli.errors import is_interruption

BAD_ACTION = "bad_action_from_state_function"
BAD_ENTER_ACTION = "bad_state_enter_action_from_state_function"
EFFECTS = get_args(Effect)
NO_ACTIONS: Actions = ()
INPUTS = ("call", "cast", "info")
MODES = ("state_functions", "handle_event_function")


class StateData(NamedTuple):
    """What `sys:get_state` answers of a `Statem`: `{State, Data}`."""

    state: Any
    data: Any


Waiting = tuple[StateEvent | tuple[StateEvent, ...], ...]
"""Events that wait, in order: some by themselves, some in runs, so that few are copied at a time.

The runs behind each other of `postponed` are ever shorter, those of `inserted` ever longer: with
`n` events, to put one there or take one away copies about log `n` of them, whatever came before.
"""


class InState(msgspec.Struct, frozen=True):
    """A running `Statem`.

    Attributes:
        state, data: its own.
        postponed: events that come again once the state has changed, oldest first (`one_by_one`).
        inserted: events to be handled behind the one that is under way, before any other input.
        timeouts: what the time-outs say that are running, by timer.
        due: those of them that were set to 0 ms, in their order.
        modules: the callback modules in use, the present one first; none for its own class.
    """

    state: Any
    data: Any
    postponed: Waiting = ()
    inserted: Waiting = ()
    timeouts: Mapping[Timer, Any] = {}
    due: tuple[Timer, ...] = ()
    modules: tuple[type, ...] = ()


class Begin(msgspec.Struct, frozen=True):
    """What a `Statem` goes on with behind its `init`: its actions, and the first enter call."""

    actions: Any = ()


class Elapsed(msgspec.Struct, frozen=True):
    """The message of the timer of a time-out."""

    timer: Timer


class Ended(Exception):
    """A callback has asked for the end of its worker, or has answered nonsense."""

    def __init__(self, reason: object) -> None:
        super().__init__(reason)
        self.reason = reason


def begin(result: Next) -> Ok:
    """Return what a `Statem` begins with.

    >>> begin(Next("locked", 0)).state.state
    'locked'
    """
    return Ok(InState(result.state, result.data), Continue(Begin(result.actions)))


def handle(
    statem: Statem, how: str, message: Any, caller: Caller | None, at: InState
) -> Reply | NoReply | Stop:
    """Return what an input comes to: a new `InState`, answers, and what is to be handled next.

    Args:
        statem: whose callback is called.
        how: `call`, `cast`, `info` or `continue`.
        message: the input; of a `continue` the event.
        caller: who waits.
        at: what it was before.
    """
    event = message
    if type(message) is Elapsed and how == "info":
        if message.timer not in at.timeouts or message.timer in at.due:
            return NoReply(at)
        event, at = taken(at, message.timer)
    elif how != "continue":
        event = StateEvent(how, message, caller)
    return Turn(statem, at, event, caller).result()


def in_use(statem: Statem, modules: tuple[type, ...]) -> Statem:
    """Return the callbacks that a `Statem` goes on with."""
    module = modules[0] if modules else type(statem)
    return statem if module is type(statem) else module()


def taken(at: InState, timer: Timer) -> tuple[StateEvent, InState]:
    """Return the event of a time-out, and what is left without it."""
    left = {one: content for one, content in at.timeouts.items() if one != timer}
    due = tuple(one for one in at.due if one != timer)
    event = StateEvent(timer, at.timeouts[timer])
    return event, msgspec.structs.replace(at, timeouts=left, due=due)


def timer_key(timer: Timer) -> Any:
    """Return the key of the worker's timer for a time-out; a text if its name is one.

    >>> timer_key("state_timeout"), timer_key(("timeout", "retry"))
    ('statem state_timeout', 'statem timeout retry')
    """
    if isinstance(timer, str):
        return f"statem {timer}"
    return f"statem timeout {timer[1]}" if type(timer[1]) is str else ("statem", timer[1])


class Turn:
    """One event while it is handled."""

    def __init__(
        self, statem: Statem, at: InState, event: StateEvent | Begin, caller: Caller | None
    ) -> None:
        self._statem, self._at, self._event, self._caller = statem, at, event, caller
        self._state, self._data = at.state, at.data
        self._modules = at.modules or (type(statem),)
        self._postpone = False
        self._next: list[StateEvent] = []
        self._timeouts: list[Any] = []
        self._effects: list[Any] = []

    def result(self) -> Reply | NoReply | Stop:
        """Call the callback, then enter calls as long as there is to be one; then go on."""
        try:
            try:
                enter = self._first()
                while enter and self._module().state_enter:
                    entered = StateEvent("enter", self._at.state)
                    enter = self._take(self._call(entered), called=False)
            except Ended as ended:
                left = InState(self._state, self._data, modules=self._own_modules())
                return Stop(ended.reason, left, effects=self._effects)
        except BaseException as error:
            if not is_interruption(error):
                self._answer_now()
            raise
        return self._go_on()

    def _first(self) -> bool:
        """Handle the event; return whether an enter call is to follow."""
        event = self._event
        if type(event) is Begin:
            self._module()
            self._act(event.actions, called=True)
            return True
        assert isinstance(event, StateEvent)
        return self._take(self._call(event), called=True)

    def _answer_now(self) -> None:
        """Send the answers that were given before a callback raised."""
        for effect in self._effects:
            if type(effect) is Answer and isinstance(effect.to, Caller):
                effect.to.reply(effect.output)

    def _module(self) -> Statem:
        """Return the callbacks in use; a mode that there is not ends the worker."""
        callbacks = in_use(self._statem, self._modules)
        mode = callbacks.callback_mode
        if mode not in MODES:
            said = f"callback_mode is {plain(mode, repr)}; expected {' or '.join(MODES)}"
            raise BadReturnError(said, "bad_return_from_callback_mode")
        return callbacks

    def _own_modules(self) -> tuple[type, ...]:
        return () if self._modules == (type(self._statem),) else self._modules

    def _call(self, event: StateEvent) -> Any:
        callbacks, state, data = self._module(), self._state, self._data
        if callbacks.callback_mode == "handle_event_function":
            return callbacks.handle_event(event, state, data)
        return state_function(callbacks, state)(event, data)

    # -- what a callback has answered ----------------------------------------------------------

    def _take(self, result: Any, *, called: bool) -> bool:
        """Take an answer; return whether an enter call follows. `called`: it is not one itself."""
        enter, actions = False, NO_ACTIONS
        match result:
            case Next(state, data, actions):
                enter = not identical(state, self._state)
                if enter and not called:
                    self._fail(result, "bad_state_enter_return_from_state_function")
                self._state, self._data = state, data
            case KeepState(data, actions):
                self._data = data
            case KeepStateAndData(actions):
                pass
            case RepeatState(data, actions):
                self._data, enter = data, True
            case RepeatStateAndData(actions):
                enter = True
            case Stop(reason, data, reply, effects) if reply is NOTHING and are_effects(effects):
                self._data = self._data if data is NOTHING else data
                self._effects += effects
                raise Ended(reason)
            case StopAndReply(reason, replies, data):
                self._data = self._data if data is NOTHING else data
                self._stop(reason, replies)
            case _:
                self._fail(result, "bad_return_from_state_function")
        self._act(actions, called=called)
        return enter

    def _stop(self, reason: Any, replies: Any) -> None:
        for reply in listed(replies):
            if type(reply) is not Answer or not isinstance(reply.to, Caller):
                self._fail(reply, "bad_reply_action_from_state_function")
            self._effects.append(reply)
        raise Ended(reason)

    def _fail(self, what: Any, kind: str) -> None:
        said, event = f"a state callback answered {shape(what)}: {kind}", self._event
        if isinstance(event, StateEvent) and event.type in ("call", "cast"):
            why = stranger_text(self._statem.inputs, event.content)
            said = f"{said}; {why}" if why else said
        raise Ended(Crash(BadReturnError(said, kind), kind))

    def _act(self, actions: Any, *, called: bool) -> None:  # noqa: C901, PLR0912 - a case each
        """Take the actions of an answer, in order."""
        for action in listed(actions):
            match action:
                case Answer(to) if isinstance(to, Caller):
                    self._effects.append(action)
                case Answer():
                    self._fail(action, BAD_ACTION)
                case Postpone(on) if type(on) is bool:
                    if on and not called:
                        self._fail(action, BAD_ENTER_ACTION)
                    self._postpone = on
                case NextEvent(kind, content, caller):
                    if not called:
                        self._fail(action, BAD_ENTER_ACTION)
                    if not is_event(kind, caller):
                        self._fail(action, BAD_ACTION)
                    self._next.append(StateEvent(kind, content, caller))
                case ChangeCallbackModule() | PushCallbackModule() | PopCallbackModule():
                    self._change_module(action, called=called)
                case SetTimeout(timer) if is_timer(timer) and may_last(action):
                    self._timeouts.append(action)
                case UpdateTimeout(timer) | CancelTimeout(timer) if is_timer(timer):
                    self._timeouts.append(action)
                case Hibernate(on) if type(on) is bool:
                    pass
                case _ if isinstance(action, EFFECTS):
                    self._effects.append(action)
                case _:
                    self._fail(action, BAD_ACTION)

    def _change_module(self, action: Any, *, called: bool) -> None:
        modules = self._modules
        match action:
            case PopCallbackModule():
                modules = modules[1:]
            case PushCallbackModule(module):
                modules = (module, *modules)
            case ChangeCallbackModule(module):
                modules = (module, *modules[1:])
        known = bool(modules) and isinstance(modules[0], type) and issubclass(modules[0], Statem)
        if not known or not called:
            self._fail(action, BAD_ACTION if not known else BAD_ENTER_ACTION)
        self._modules = modules

    # -- the transition ------------------------------------------------------------------------

    def _go_on(self) -> Reply | NoReply:
        """Make the transition, and say which event is next."""
        at = self._at
        waits, postponed = at.inserted, at.postponed
        if self._postpone and isinstance(self._event, StateEvent):
            postponed = put_behind(postponed, self._event)
        self._table, self._due = dict(at.timeouts), [*at.due]
        if not self._only_reads():
            self._cancel(EVENT_TIMEOUT)
        if not identical(self._state, at.state):
            waits, postponed = put_ahead(waits, one_by_one(postponed)), ()
            self._cancel(STATE_TIMEOUT)
        self._set_timeouts()
        waits = put_ahead(waits, tuple(self._next))
        going: StateEvent | None = None
        now = InState(
            self._state, self._data, postponed, waits, self._table, tuple(self._due),
            self._own_modules(),
        )  # fmt: skip
        if waits:
            going, left = first_of(waits)
            now = msgspec.structs.replace(now, inserted=left)
        elif self._due:
            going, now = taken(now, self._due[0])
        then = None if going is None else Continue(going)
        own = [effect for effect in self._effects if self._is_reply(effect)]
        if not own:
            return NoReply(now, then, self._effects)
        others = [effect for effect in self._effects if not self._is_reply(effect)]
        return Reply(own[0].output, now, then, others)

    def _only_reads(self) -> bool:
        """Whether the event is an input that is declared as reading, however late it is handled."""
        event = self._event
        if not isinstance(event, StateEvent) or event.type not in INPUTS:
            return False
        return is_reading(self._statem, event.content)

    def _is_reply(self, effect: Any) -> bool:
        """Whether it answers the call that is handled; only the first answer counts."""
        return self._caller is not None and type(effect) is Answer and effect.to is self._caller

    def _set_timeouts(self) -> None:
        """Carry out the actions on time-outs: of each timer the last one of them."""
        last = {action.timer: number for number, action in enumerate(self._timeouts)}
        for action in (self._timeouts[number] for number in sorted(last.values())):
            timer = action.timer
            if type(action) is UpdateTimeout:
                if timer not in self._table:
                    self._due.append(timer)
                self._table[timer] = action.content
                continue
            self._cancel(timer)
            if type(action) is CancelTimeout or action.ms == "infinity":
                continue
            self._table[timer] = action.content
            if action.ms == 0 and not action.absolute:
                self._due.append(timer)
            else:
                key, brings = timer_key(timer), Elapsed(timer)
                start = StartTimer(key, action.ms, brings, action.absolute)
                self._effects.append(start)

    def _cancel(self, timer: Timer) -> None:
        if self._table.pop(timer, NOTHING) is NOTHING:
            return
        if timer in self._due:
            self._due.remove(timer)
        else:
            self._effects.append(CancelTimer(timer_key(timer)))


def state_function(callbacks: Statem, state: Any) -> Any:
    """Return the callback of a state; raise `AttributeError` where there is none."""
    function = None
    if isinstance(state, str) and not state.startswith("_") and not hasattr(Statem, state):
        function = getattr(callbacks, state, None)
    if function is None:
        name = type(callbacks).__name__
        raise AttributeError(f"{name} has no state function for {plain(state, repr)}")
    return function


def check_state(statem: Statem, at: InState) -> None:
    """Raise `AttributeError` where no event could be taken in a state."""
    callbacks = in_use(statem, at.modules)
    if callbacks.callback_mode == "state_functions":
        state_function(callbacks, at.state)


def one_by_one(waiting: Waiting) -> tuple[StateEvent, ...]:
    """Return the events that wait, one by one.

    >>> a, b, c = map(StateEvent, ("call", "cast", "info"))
    >>> one_by_one(((a, b), c)) == (a, b, c)
    True
    """
    return tuple(event for run in waiting for event in as_run(run))


def as_run(run: StateEvent | tuple[StateEvent, ...]) -> tuple[StateEvent, ...]:
    """Return a run of events; one by itself is a run of one."""
    return run if isinstance(run, tuple) else (run,)


def put_behind(waiting: Waiting, event: StateEvent) -> Waiting:
    """Return the events with one more at the end."""
    run: tuple[StateEvent, ...] = (event,)
    while waiting and len(before := as_run(waiting[-1])) <= len(run):
        run, waiting = before + run, waiting[:-1]
    return (*waiting, run)


def put_ahead(waiting: Waiting, events: tuple[StateEvent, ...]) -> Waiting:
    """Return the events with some more at the head."""
    return (events, *waiting) if events else waiting


def first_of(waiting: Waiting) -> tuple[StateEvent, Waiting]:
    """Return the first event, and what is left; its run falls apart into ever longer ones.

    >>> event = StateEvent("call")
    >>> [len(run) for run in first_of(((event,) * 10,))[1]]
    [2, 4, 3]
    """
    run, left = as_run(waiting[0]), waiting[1:]
    starts = [2**power - 1 for power in range(1, len(run).bit_length())]
    return run[0], (*(run[at : 2 * at + 1] for at in starts), *left)


def listed(items: Any) -> Sequence[Any]:
    """A list of actions; one alone may stand for a list of one."""
    return items if isinstance(items, list | tuple) else (items,)


def are_effects(effects: Any) -> bool:
    """Whether this is a list of effects, whose fields are looked at later."""
    return isinstance(effects, Sequence) and all(isinstance(one, EFFECTS) for one in effects)


def may_last(asked: SetTimeout) -> bool:
    """Whether a time-out may last so long."""
    return asked.ms == "infinity" or is_due(asked.ms, asked.absolute)


def is_event(kind: Any, caller: Any) -> bool:
    """Whether an event of this type may be inserted."""
    if type(kind) is str and kind in EVENT_TYPES:
        return kind != "call" or isinstance(caller, Caller)
    return is_timer(kind)
