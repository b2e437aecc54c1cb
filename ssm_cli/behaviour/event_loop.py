"""The loop of an `Event` manager, one message at a time: what it comes to, as a pure function.

Theory of operation. The state of a manager is one value, `Handlers`: who is installed, the newest
first, each with its state and the worker that supervises it. One input of the manager is one
message, and a call of a callback of each handler. What a handler raises stays with that handler,
but for Ctrl-C and the limit of the step, which is one for all of them. What is told to others
(`GenEventExit`, links, reports) are effects. Source: OTP 25 `gen_event`, `server_*`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

import msgspec

from ssm_cli.behaviour.effects import Effect, Info, Link, Reported, Unlink
from ssm_cli.behaviour.equality import equal, identical
from ssm_cli.behaviour.event import Event
from ssm_cli.behaviour.handlers import (
    AddHandler,
    CallHandler,
    DeleteHandler,
    EventHandler,
    ForHandler,
    GenEventExit,
    Raised,
    RemoveHandler,
    Requests,
    SwapHandler,
    Swapped,
    SwapTo,
    WhichHandlers,
)
from ssm_cli.behaviour.reasons import NOPROC, BadReturnError, plain, shape
from ssm_cli.behaviour.results import (
    NOTHING,
    Error,
    Exited,
    ExitSignal,
    NoReply,
    Ok,
    Reply,
    Stop,
    reason_for,
)
from ssm_cli.behaviour.sound import sound_effects
from ssm_cli.codec.strangers import stranger_text
from ssm_cli.errors import is_interruption, message_of

REQUESTS = get_args(Requests)
WITH_EFFECTS = Ok | Reply | RemoveHandler | SwapTo
QUIET = ("normal", "shutdown")


class Installed(msgspec.Struct, frozen=True):
    """One handler: its code or the name of it, its id or None, its state, who supervises it."""

    module: Any
    id: Any
    state: Any
    supervisor: str = ""


class Handlers(msgspec.Struct, frozen=True):
    """The state of an `Event` manager: its handlers, the newest first."""

    installed: tuple[Installed, ...] = ()


def parts_of(handler: Any) -> tuple[Any, Any]:
    """Return the code of a handler, or the name of it, and its id.

    >>> parts_of("audit"), parts_of(("audit", 2))
    (('audit', None), ('audit', 2))
    """
    if isinstance(handler, tuple | list) and len(handler) == 2:
        return handler[0], handler[1]
    return handler, None


def handler_name(one: Installed) -> Any:
    """Return a handler as `which_handlers` names it."""
    return one.module if one.id is None else (one.module, one.id)


def is_named(one: Installed, handler: Any) -> bool:
    """Whether this is the handler that is meant."""
    module, own = parts_of(handler)
    return identical(one.id, own) and (one.module is module or equal(one.module, module))


def begin_managing(manager: Event, answer: Any) -> Ok[Handlers]:
    """Return what a manager begins with whose `init` has answered so.

    Raises:
        Exited: one of the handlers could not be added.
        BadReturnError: it names no handlers.
    """
    begun = with_sound_effects(answer) if isinstance(answer, Ok) else Ok(answer)
    handlers = begun.state
    if isinstance(handlers, Handlers):
        return begun
    if isinstance(handlers, list | tuple):
        handlers = dict.fromkeys(handlers)
    if not isinstance(handlers, Mapping):
        wanted = "a list of handlers, a dict from them to their arguments, Ignore or Stop"
        raise BadReturnError(f"init answered {shape(answer)}; expected {wanted}")
    turn = Managing(manager, Handlers())
    for handler, args in handlers.items():
        added = turn.request(AddHandler(handler, args))
        if added != "ok":
            raise Exited({"handler": [handler, plain(added)]})
    return msgspec.structs.replace(begun, state=turn.now(), effects=[*turn.effects, *begun.effects])


def manage(manager: Event, how: str, message: Any, at: Handlers) -> Reply | NoReply:
    """Return what a message comes to."""
    turn, answer = Managing(manager, at), "ok"
    if isinstance(message, REQUESTS):
        answer = turn.request(message)
    elif isinstance(message, ExitSignal) and how == "info":
        turn.exited(message)
    else:
        turn.notify("handle_info" if how == "info" else "handle_event", message)
    if how == "call":
        return Reply(answer, turn.now(), effects=turn.effects)
    return NoReply(turn.now(), effects=turn.effects)


def stop_managing(manager: Event, at: Handlers) -> list[Effect]:
    """Terminate all handlers; return what is to be told to others."""
    turn = Managing(manager, at)
    for one in at.installed:
        turn.end(one, "stop", one.state, "shutdown")
    others = dict.fromkeys(one.supervisor for one in at.installed if one.supervisor)
    return [*turn.effects, *map(Unlink, others)]


def farewell(state: Any) -> list[Effect]:
    """Return what others are told at the end of a worker, if no `terminate` of a handler runs."""
    if not isinstance(state, Handlers):
        return []
    watched = [one for one in state.installed if one.supervisor]
    told = [Info(one.supervisor, GenEventExit(handler_name(one), "shutdown")) for one in watched]
    return [*told, *map(Unlink, dict.fromkeys(one.supervisor for one in watched))]


def orphaned(name: str, state: Any) -> list[Info]:
    """Return what a manager gets at its start with a state of a life before: exits.

    A handler that a worker supervises goes with the life that it was added in: its supervisor was
    told so, or has ended with the process of then.
    """
    if not isinstance(state, Handlers):
        return []
    gone = dict.fromkeys(one.supervisor for one in state.installed if one.supervisor)
    return [Info(name, ExitSignal(NOPROC, supervisor)) for supervisor in gone]


def handlers_changed(manager: Event, old_version: str, at: Handlers, extra: Any) -> Ok | Error:
    """Run `code_change` of all handlers; with a `ForHandler` of those of one kind.

    The states stay where one of them fails.
    """
    named = isinstance(extra, ForHandler)
    extra, module = (extra.extra, extra.handler) if named else (extra, None)
    changed = []
    for one in at.installed:
        if not named or equal(one.module, module):
            convert = Managing(manager, at).code_of(one.module).code_change
            answer = caught(convert, old_version, one.state, extra)
            if not isinstance(answer, Ok):
                return answer if isinstance(answer, Error) else Error(answer)
            one = msgspec.structs.replace(one, state=answer.state)  # noqa: PLW2901 - with its state
        changed.append(one)
    return Ok(Handlers(tuple(changed)))


def caught(function: Callable[..., Any], *args: Any) -> Any:
    """Return what a callback of a handler answers, or the `Raised` that it comes to."""
    try:
        return with_sound_effects(function(*args))
    except BaseException as error:
        if is_interruption(error):
            raise
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        code = None if trace is None else trace.tb_frame.f_code
        place = "" if code is None or trace is None else f"{code.co_filename}:{trace.tb_lineno}"
        return Raised(str(reason_for(error)), type(error).__name__, message_of(error), place)


def with_sound_effects(answer: Any) -> Any:
    """Return an answer whose effects can be carried out; raises BadReturnError if one cannot."""
    if not isinstance(answer, WITH_EFFECTS) or answer.effects == ():
        return answer
    return msgspec.structs.replace(answer, effects=sound_effects(answer.effects))


class Managing:
    """One message while it is handled.

    Attributes:
        effects: what is to be told to others, in order.
    """

    def __init__(self, manager: Event, at: Handlers) -> None:
        self._manager = manager
        self._installed = list(at.installed)
        self.effects: list[Any] = []

    def now(self) -> Handlers:
        """Return the handlers as they are now."""
        return Handlers(tuple(self._installed))

    def code_of(self, module: Any) -> EventHandler:
        """Return the callbacks of a handler; raises LookupError where there are none."""
        known = self._manager.handlers
        code = known.get(module) if isinstance(module, str) else module
        if isinstance(code, type) and issubclass(code, EventHandler):
            return code()
        if isinstance(code, EventHandler):
            return code
        names = ", ".join(sorted(known)) or "none by name"
        raise LookupError(f"{plain(module, repr)} is no handler; there is {names}")

    # -- requests ------------------------------------------------------------------------------

    def request(self, request: Any) -> Any:
        """Do what a request asks for; return its answer."""
        match request:
            case AddHandler(handler, args, supervisor):
                return self._add(handler, args, supervisor, NOTHING)
            case DeleteHandler(handler, arg):
                found = self._find(handler)
                if found is None:
                    return Error("module_not_found")
                self._drop(found)
                return self.end(found, arg, found.state, "normal")
            case SwapHandler():
                return self._swap(request)
            case CallHandler(handler, asked):
                found = self._find(handler)
                return Error("bad_module") if found is None else self._call(found, asked)
            case WhichHandlers():
                return [handler_name(one) for one in self._installed]

    def _find(self, handler: Any) -> Installed | None:
        return next((one for one in self._installed if is_named(one, handler)), None)

    def _drop(self, gone: Installed) -> None:
        self._installed = [one for one in self._installed if one is not gone]

    def _add(self, handler: Any, args: Any, supervisor: str, previous: Any) -> Any:
        if not isinstance(supervisor, str):
            return Error("badarg")
        if supervisor:
            self.effects.append(Link(supervisor))
        made, answer = self._made(handler, args, supervisor, previous)
        if made is None:
            return answer
        self._installed.insert(0, made)
        return "ok"

    def _made(
        self, handler: Any, args: Any, supervisor: str, previous: Any
    ) -> tuple[Installed | None, Any]:
        """Return a handler whose `init` has run, or what that has answered."""
        module, own = parts_of(handler)
        answer = caught(lambda: self.code_of(module).init(args, previous))
        if not isinstance(answer, Ok):
            return None, answer
        self.effects += answer.effects
        return Installed(module, own, answer.state, supervisor), "ok"

    def _swap(self, asked: SwapHandler) -> Any:
        found, previous, supervisor = self._find(asked.old), "error", asked.supervisor
        if found is not None and isinstance(supervisor, str):
            self._drop(found)
            swapped = Swapped(asked.handler, asked.supervisor or found.supervisor)
            previous = self.end(found, asked.arg, found.state, swapped)
            supervisor = supervisor or found.supervisor
        answer = self._add(asked.handler, asked.args, supervisor, previous)
        return answer if answer == "ok" else Error(answer)

    def _call(self, one: Installed, asked: Any) -> Any:
        answer = caught(lambda: self.code_of(one.module).handle_call(asked, one.state))
        place = next(at for at, it in enumerate(self._installed) if it is one)
        match answer:
            case Reply(value, state, _, effects):
                self.effects += effects
                self._installed[place] = msgspec.structs.replace(one, state=state)
                return value
            case RemoveHandler(reply) | SwapTo(reply=reply) if reply is not NOTHING:
                self._installed[place : place + 1] = self._left(one, answer)
                return reply
            case _:
                del self._installed[place]
                self._crash(one, answer)
                return Error(answer)

    # -- events --------------------------------------------------------------------------------

    def notify(self, callback: str, message: Any) -> None:
        """Hand a message to all handlers."""
        before, self._installed = self._installed, []
        for one in before:
            answer = caught(lambda one=one: self._ask(one, callback, message))
            match answer:
                case Ok(state, _, effects):
                    self.effects += effects
                    self._installed.append(msgspec.structs.replace(one, state=state))
                case RemoveHandler(reply) | SwapTo(reply=reply) if reply is NOTHING:
                    self._installed += self._left(one, answer)
                case _:
                    if isinstance(answer, Raised) and callback == "handle_event":
                        answer = self._explained(answer, message)
                    self._crash(one, answer)

    def _explained(self, raised: Raised, message: Any) -> Raised:
        """Return what was raised, with a word on an event that is none of the inputs."""
        why = stranger_text(self._manager.inputs, message)
        said = f"{raised.message}; {why}" if why else raised.message
        return msgspec.structs.replace(raised, message=said)

    def _ask(self, one: Installed, callback: str, message: Any) -> Any:
        return getattr(self.code_of(one.module), callback)(message, one.state)

    def exited(self, signal: ExitSignal) -> None:
        """A worker that is linked has ended: its handlers end, the others get its exit."""
        names = (signal.sender, *signal.names)
        for one in [one for one in self._installed if one.supervisor in names]:
            self._drop(one)
            self._terminated(one, Stop(signal.reason), one.state)
            self._report(one, f"parent_terminated {signal.sender}: {signal.reason}")
        self.notify("handle_info", signal)

    def _left(self, one: Installed, answer: RemoveHandler | SwapTo) -> list[Installed]:
        """Return who is in the place of a handler that goes of its own accord."""
        self.effects += answer.effects
        if isinstance(answer, RemoveHandler):
            self.end(one, "remove_handler", one.state, "normal")
            return []
        swapped = Swapped(answer.handler, one.supervisor)
        previous = self.end(one, answer.arg, answer.state, swapped)
        made, why = self._made(answer.handler, answer.args, one.supervisor, previous)
        if made is not None:
            return [made]
        module, own = parts_of(answer.handler)
        self._tell(Installed(module, own, None, one.supervisor), "crash", why)
        return []

    def _crash(self, one: Installed, answer: Any) -> None:
        self.end(one, Error(answer), one.state, answer)

    def end(self, one: Installed, arg: Any, state: Any, reason: Any) -> Any:
        """Terminate a handler, and tell who supervises it; return what `terminate` says."""
        value = self._terminated(one, arg, state)
        self._tell(one, reason, reason)
        return value

    def _terminated(self, one: Installed, arg: Any, state: Any) -> Any:
        value = caught(lambda: self.code_of(one.module).terminate(arg, state))
        if isinstance(value, Ok):
            self.effects += value.effects
            return value.state
        return value

    def _tell(self, one: Installed, reason: Any, why: Any) -> None:
        """Tell the supervising worker; report what is no ordinary end."""
        if one.supervisor:
            self.effects.append(Info(one.supervisor, GenEventExit(handler_name(one), reason)))
        if not (isinstance(why, Swapped) or (isinstance(why, str) and why in QUIET)):
            self._report(one, why)

    def _report(self, one: Installed, why: Any) -> None:
        detail: dict[str, Any] = {"handler": shown_name(one), "why": plain(why, repr)}
        if isinstance(why, Raised):
            detail["why"], detail["place"] = why.reason, why.place
            detail["error"] = {"type": why.error, "message": why.message}
        self.effects.append(Reported("handler_removed", detail))


def shown_name(one: Installed) -> str:
    """Return the name of a handler, for people."""
    module = one.module.__name__ if isinstance(one.module, type) else plain(one.module)
    return module if one.id is None else f"{module}:{plain(one.id)}"
