"""Drives gen_statem scenarios through the public API: one state machine under a supervisor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from ssm_cli import (
    Answer,
    CancelTimeout,
    Cast,
    ChangeCallbackModule,
    Error,
    Exited,
    ExitSignal,
    Hibernate,
    Ignore,
    Info,
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
    Statem,
    Stop,
    StopAndReply,
    UpdateTimeout,
)
from ssm_cli.behaviour.reasons import reason_of
from ssm_cli.behaviour.results import NOTHING
from tests.conformance.server_world import Json, ServerWorld


def timer_of(written: Json) -> Any:
    """A time-out, or the type of an event, as `Statem` names it."""
    return ("timeout", written["timeout"]) if isinstance(written, dict) else written


def written(kind: Any) -> Json:
    """The same as recordings have it."""
    return {"timeout": kind[1]} if isinstance(kind, tuple) else kind


class ScriptedStatem(Statem):
    """A state machine whose callbacks do what the message, or the scenario, says."""

    world: StatemWorld
    module = "main"

    def note(self, *event: Any) -> None:
        """Trace a callback; one of another module than the first is marked."""
        self.world.trace.append([*event, *([] if self.module == "main" else [self.module])])

    def init(self, name: str, args: Mapping[str, Any]) -> Any:
        del name, args
        self.world.trace.append(["init"])
        self.world.entered.clear()
        action = self.world.server.get("init", {"return": "ok"})
        state, data = self.world.server.get("state", "s1"), self.world.server.get("data", 0)
        return self.world.act(action, data, at=state)

    def handle_event(self, event: StateEvent, state: Any, data: Any) -> Any:
        if event.type == "enter":
            self.note("enter", event.content, state, data)
            return self.world.act(self.world.entering(state), data)
        if isinstance(event.content, ExitSignal):
            signal = {"exit_signal": str(reason_of(event.content.reason))}
            self.note("event", "info", signal, state, data)
            return KeepStateAndData()
        _, action = event.content
        self.note("event", written(event.type), action["tag"], state, data)
        if event.caller is not None:
            self.world.callers[action["tag"]] = event.caller
        named = action.get("in", {})
        return self.world.act(named.get(str(state), action), data)

    def terminate(self, reason: Any, state: Any, data: Any) -> None:
        self.note("terminate", str(reason), state, data)
        self.world.act(self.world.server.get("terminate", {"return": "ok"}), data)

    def code_change(self, old_version: str, state: Any, data: Any, extra: Any) -> Any:
        self.note("code_change", old_version, state, data, extra)
        action = self.world.server.get("code_change", {"return": "ok"})
        return self.world.act(action, data, at=state)


def state_function(state: str) -> Any:
    def handle(self: ScriptedStatem, event: StateEvent, data: Any) -> Any:
        return self.handle_event(event, state, data)

    return handle


class StatemWorld(ServerWorld):
    """One scenario while it is driven."""

    entered: Counter[str]

    def served(self) -> Any:
        """The class of the server, and those of its other modules."""
        self.entered = Counter()
        self.modules = {"main": self.module("main", self.server)}
        for name, settings in self.server.get("modules", {}).items():
            self.modules[name] = self.module(name, settings)
        return self.modules["main"]

    def module(self, name: str, settings: Json) -> Any:
        """A callback module: its mode is asked for at run time, as in OTP."""
        mode = settings.get("callback_mode", "state_functions")
        fields = {
            "world": self,
            "module": name,
            "trap_exit": self.server.get("trap_exit", False),
            "callback_mode": property(lambda _: mode),
            "state_enter": settings.get("state_enter", False),
        }
        functions = {f"s{n}": state_function(f"s{n}") for n in range(1, 6)}
        return type("Served", (ScriptedStatem,), {**fields, **functions})

    def entering(self, state: Any) -> Json:
        """What the enter call of a state does, this time."""
        actions = self.server.get("enter", {}).get(str(state), [])
        self.entered[str(state)] += 1
        if not actions:
            return {"return": "keep_state_and_data"}
        return actions[min(self.entered[str(state)], len(actions)) - 1]

    def act(self, action: Json, state: Any, **more: Any) -> Any:
        """Carry out an action of a callback that has this data, and make its result."""
        effects: list[Any] = []
        for effect in action.get("effects", ()):
            if "reply_to" in effect:
                self.callers[effect["reply_to"]].reply(effect["value"])
            elif "cast_self" in effect:
                effects.append(Cast(None, (self, effect["cast_self"])))
            elif "info_self" in effect:
                effects.append(Info(None, (self, effect["info_self"])))
            else:
                self.clock.sleep_s(effect["sleep"] / 1000)
        actions = [*effects, *map(self.transition, action.get("actions", ()))]
        return self.answer(action, action.get("data", state), actions, more)

    def answer(self, action: Json, data: Any, actions: list[Any], more: Json) -> Any:
        """The result that an action asks for, allowed or not."""
        kind, reason = action["return"], action.get("reason")
        if kind == "exit":
            raise Exited(reason)
        if kind == "raise":
            raise RuntimeError("raise, as the scenario says")
        given = action.get("data", NOTHING)
        results: dict[str, Callable[[], Any]] = {
            "next_state": lambda: Next(action["state"], data, actions),
            "ok": lambda: Next(action.get("state", more.get("at")), data, actions),
            "keep_state": lambda: KeepState(data, actions),
            "keep_state_and_data": lambda: KeepStateAndData(actions),
            "repeat_state": lambda: RepeatState(data, actions),
            "repeat_state_and_data": lambda: RepeatStateAndData(actions),
            "stop": lambda: Stop(action.get("reason", "normal"), given, effects=actions),
            "stop_and_reply": lambda: StopAndReply(
                reason, [*actions, *map(self.transition, action["replies"])], given
            ),
            "ignore": Ignore,
            "error": lambda: Error(reason),
            "bad": lambda: action.get("value"),
        }
        return results[kind]()

    def transition(self, item: Json) -> Any:  # noqa: C901, PLR0911 - a case each
        """An action of gen_statem."""
        message = (self, item.get("msg"))
        match item:
            case {"reply_to": tag, "value": value}:
                return Answer(self.callers[tag], value)
            case {"postpone": on}:
                return Postpone(on)
            case {"next_event": {"call": tag}}:
                return NextEvent("call", message, self.callers[tag])
            case {"next_event": kind}:
                return NextEvent(timer_of(kind), message)
            case {"hibernate": on}:
                return Hibernate(on)
            case {"set": timer, "ms": ms}:
                return SetTimeout(timer_of(timer), ms, message)
            case {"update": timer}:
                return UpdateTimeout(timer_of(timer), message)
            case {"cancel": timer}:
                return CancelTimeout(timer_of(timer))
            case {"change_callback_module": name}:
                return ChangeCallbackModule(self.modules[name])
            case {"push_callback_module": name}:
                return PushCallbackModule(self.modules[name])
            case {"pop_callback_module": _}:
                return PopCallbackModule()
            case _:
                return item["bad"]

    # -- steps -----------------------------------------------------------------------------------

    def do_get_state(self, step: Json) -> Json:
        del step
        state, data = self.node.get_state(self.name)
        return {"state": state, "data": data}

    def do_replace_state(self, step: Json) -> Json:
        step = {**step, "state": (step.get("state"), step.get("data"))}
        result = super().do_replace_state(step)
        if "state" in result:
            result = {"state": result["state"][0], "data": result["state"][1]}
        return result

    def do_get_status(self, step: Json) -> Json:
        del step
        status = self.node.get_status(self.name)
        postponed = [[written(kind), content[1]["tag"]] for kind, content in status.postponed]
        running = [[written(timer), content[1]["tag"]] for timer, content in status.timeouts]
        return {
            "status": status.status,
            "postponed": postponed,
            "timeouts": sorted(running, key=str),
        }
