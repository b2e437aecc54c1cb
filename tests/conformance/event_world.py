"""Drives gen_event scenarios through the public API: one event manager, and workers as clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssm_cli import (
    AddHandler,
    CallError,
    CallHandler,
    Cast,
    DeleteHandler,
    Error,
    Event,
    EventHandler,
    Exited,
    ExitSignal,
    ForHandler,
    GenEventExit,
    GenServer,
    Hibernate,
    Info,
    NoReply,
    Ok,
    Raised,
    RemoveHandler,
    Reply,
    Stop,
    SwapHandler,
    Swapped,
    SwapTo,
    SysError,
    WhichHandlers,
    Worker,
)
from ssm_cli.behaviour.reasons import reason_of
from ssm_cli.behaviour.results import NOTHING
from ssm_cli.runtime.engine.pending import Pending
from tests.conformance.server_world import Json, ServerWorld


class Client(GenServer):
    """A process of the test that traps exits, and keeps what it receives."""

    trap_exit = True

    def init(self, name: str, args: Mapping[str, Any]) -> Ok:
        return Ok((args["world"], name))

    def handle_info(self, message: Any, state: Any) -> NoReply:
        world, name = state
        if isinstance(message, GenEventExit):
            handler = world.named(message.handler)
            world.mail.setdefault(name, []).append(
                ["gen_event_EXIT", handler, world.term(message.reason)]
            )
        elif isinstance(message, ExitSignal) and name != "parent":
            signal = str(reason_of(message.reason))
            world.mail.setdefault(name, []).append(["exit_signal", signal])
        return NoReply(state)


class ScriptedHandler(EventHandler):
    """A handler whose callbacks do what they are told; its state is (name, args, state)."""

    world: EventWorld

    def init(self, args: Any, previous: Any) -> Any:
        name, settings = args
        swapped = [] if previous is NOTHING else [self.world.term(previous)]
        self.world.trace.append(["init", name, *swapped])
        action = settings.get("init", {"return": "ok"})
        return self.world.answer(action, (name, settings, settings.get("state", 0)))

    def handle_event(self, event: Any, state: Any) -> Any:
        return self.handle("handle_event", event, state)

    def handle(self, callback: str, event: Any, state: Any) -> Any:
        if isinstance(event, ExitSignal):
            signal = {"exit_signal": str(reason_of(event.reason))}
            self.world.trace.append([callback, state[0], signal, state[2]])
            return Ok(state)
        self.world.trace.append([callback, state[0], event["tag"], state[2]])
        return self.world.answer(event.get("do", {}).get(state[0], {"return": "ok"}), state)

    def handle_call(self, request: Any, state: Any) -> Any:
        self.world.trace.append(["handle_call", state[0], request["tag"], state[2]])
        return self.world.answer(request, state)


class FullHandler(ScriptedHandler):
    """One with all callbacks."""

    def handle_info(self, message: Any, state: Any) -> Any:
        return self.handle("handle_info", message, state)

    def terminate(self, arg: Any, state: Any) -> Any:
        self.world.trace.append(["terminate", state[0], self.world.term(arg), state[2]])
        action = state[1].get("terminate", {"return": "ok"})
        return self.world.answer(action, action.get("value", "ok"), ending=True)

    def code_change(self, old_version: str, state: Any, extra: Any) -> Any:
        self.world.trace.append(["code_change", state[0], old_version, state[2], extra])
        return self.world.answer(state[1].get("code_change", {"return": "ok"}), state)


class EventWorld(ServerWorld):
    """One scenario while it is driven."""

    def served(self) -> Any:
        """The manager's class, and what its clients have received."""
        self.mail: dict[str, list[Json]] = {}
        self.asked_by: dict[str, Any] = {}
        bases: dict[str, type[EventHandler]] = dict.fromkeys(("red", "green", "blue"), FullHandler)
        bases["plain"] = ScriptedHandler
        handlers = {name: type(name, (base,), {"world": self}) for name, base in bases.items()}
        return type("Managed", (Event,), {"handlers": handlers})

    def handler(self, written: str) -> Any:
        """A handler as a request names it."""
        module, _, own = written.partition(":")
        return (module, own) if own else module

    def named(self, handler: Any) -> str:
        """The same as recordings have it."""
        return ":".join(handler) if isinstance(handler, tuple) else handler

    def term(self, value: Any) -> Json:
        """What OTP passes around, as recordings have it."""
        match value:
            case Raised(reason):
                return {"raised": reason}
            case Error(reason):
                return {"error": self.term(reason)}
            case Stop(reason):
                return {"stop": str(reason_of(reason))}
            case Swapped(handler, supervisor):
                return {"swapped": [self.named(handler), supervisor or None]}
            case _:
                return value

    def answer(self, action: Json, state: Any, *, ending: bool = False) -> Any:
        """Carry out an action of a handler, and make the result it asks for."""
        effects: list[Any] = []
        for effect in action.get("effects", ()):
            if "notify_self" in effect:
                effects.append(Cast(None, effect["notify_self"]))
            elif "info_self" in effect:
                effects.append(Info(None, effect["info_self"]))
            else:
                self.clock.sleep_s(effect["sleep"] / 1000)
        if "state" in action and not ending:
            state = (*state[:2], action["state"])
        kind, then = action["return"], Hibernate() if action.get("hibernate") else None
        if kind == "exit":
            raise Exited(action["reason"])
        if kind == "raise":
            raise RuntimeError("raise, as the scenario says")
        reply = action.get("value", NOTHING)
        swap = action.get("handler", "")
        args = (swap, action.get("args", {}))
        results: dict[str, Any] = {
            "ok": Ok(state, then, effects),
            "reply": Reply(action.get("value"), state, then, effects),
            "remove_handler": RemoveHandler(reply, effects),
            "swap_handler": SwapTo(
                action.get("arg"), state, self.handler(swap), args, reply, effects
            ),
            "error": Error(action.get("reason")),
            "bad": action.get("value"),
        }
        return results[kind]

    # -- clients ---------------------------------------------------------------------------------

    def client(self, name: str) -> str:
        """A client, made when first named."""
        if self.node.whereis(name) is None and name not in self.asked_by:
            worker = Worker(name, Client, args={"world": self}, restart="temporary")
            self.node.start_child("root", worker)
            self.asked_by[name] = None
        return name

    def received(self) -> Json:
        """What the clients have received; one that waits for an answer gets it with that."""
        found = {}
        for name in list(self.mail):
            waits = self.asked_by.get(name)
            if waits is None or waits.done:
                found[name] = self.mail.pop(name)
        return found

    def comparable(self, value: Json) -> Json:
        return value

    # -- steps -----------------------------------------------------------------------------------

    def request(self, step: Json) -> Any:
        """What a request sends to the manager."""
        by = self.client(step["by"]) if "by" in step else ""
        match step:
            case {"op": "call", "handler": handler, "msg": message}:
                return CallHandler(self.handler(handler), message)
            case {"op": "add_handler" | "add_sup_handler" as op, "handler": handler, "args": args}:
                sup = by if op == "add_sup_handler" else ""
                return AddHandler(self.handler(handler), (handler, args), sup)
            case {"op": "delete_handler", "handler": handler}:
                return DeleteHandler(self.handler(handler), step["arg"])
            case {"op": "swap_handler" | "swap_sup_handler" as op, "old": old, "handler": new}:
                sup = by if op == "swap_sup_handler" else ""
                args = (new, step["args"])
                return SwapHandler(self.handler(old), step["arg"], self.handler(new), args, sup)
            case {"op": "which_handlers"}:
                return WhichHandlers()
            case {"msg": message}:
                return message
        raise AssertionError(step)

    def result_of(self, step: Json, answer: Any) -> Json:
        """The result of a request that has been answered."""
        op = step["op"]
        if op == "which_handlers":
            return {"handlers": [self.named(handler) for handler in answer]}
        if isinstance(answer, Raised | Error):
            return self.term(answer)
        if op in ("call", "delete_handler"):
            return {"reply": answer}
        return answer if answer == "ok" else {"returned": answer}

    def do_request(self, step: Json) -> Json:
        timeout_s = step["timeout"] / 1000 if "timeout" in step else None
        return self.result_of(step, self.node.call(self.name, self.request(step), timeout_s))

    do_sync_notify = do_call = do_add_handler = do_add_sup_handler = do_request
    do_delete_handler = do_swap_handler = do_swap_sup_handler = do_which_handlers = do_request

    def do_async(self, step: Json) -> Json:
        asked = step["request"]
        try:
            pending = self.node.send_request(self.name, self.request(asked))
        except CallError as error:
            pending = Pending()
            pending.fail(error)
        self.calls[step["tag"]] = (asked, pending)
        if "by" in asked:
            self.asked_by[asked["by"]] = pending
        return "sent"

    def do_await(self, step: Json) -> Json:
        asked, pending = self.calls[step["tag"]]
        return self.result_of(asked, pending.result()) if pending.done else "pending"

    def do_notify(self, step: Json) -> Json:
        if self.node.whereis(self.name) is None:
            return {"error": "badarg"} if "name" in self.server else "ok"
        self.node.cast(self.name, step["msg"])
        return "ok"

    def do_info(self, step: Json) -> Json:
        if self.node.whereis(self.name) is not None:
            self.node.info(self.name, step["msg"])
        return "ok"

    def do_end_client(self, step: Json) -> Json:
        name = self.client(step["client"])
        self.node.stop_process(name, step["reason"])
        self.mail.pop(name, None)
        return "ok"

    def do_get_state(self, step: Json) -> Json:
        del step
        return self.states(self.node.get_state(self.name))

    def states(self, pairs: Any) -> Json:
        """The states of handlers."""
        return {"state": [[self.named(handler), state[2]] for handler, state in pairs]}

    def do_replace_state(self, step: Json) -> Json:
        def convert(pair: Any) -> Any:
            handler, state = pair
            name = self.named(handler)
            if name in step.get("raise", ()):
                raise RuntimeError("raise, as the scenario says")
            states = step.get("states", {})
            return handler, (*state[:2], states.get(name, state[2]))

        return self.states(self.node.replace_state(self.name, convert))

    def do_change_code(self, step: Json) -> Json:
        extra = ForHandler(step["module"], step["extra"])
        try:
            self.node.change_code(self.name, step["old_vsn"], extra)
        except SysError as error:
            return {"error": self.term(error.term)}
        return "ok"
