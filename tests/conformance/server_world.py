"""Drives gen_server scenarios through the public API: one server under a supervisor.

The server is a temporary child, so that nothing restarts it, and its end is seen in the reports.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ssm_cli import (
    Caller,
    CallError,
    Cast,
    Continue,
    Error,
    Exited,
    ExitSignal,
    GenServer,
    Hibernate,
    Ignore,
    Info,
    ManualClock,
    Node,
    NoProc,
    NoReply,
    Ok,
    Reply,
    Report,
    Stop,
    Supervisor,
    SupervisorError,
    SysError,
    TimeoutAfter,
    Worker,
)
from ssm_cli.behaviour.reasons import reason_of
from ssm_cli.behaviour.results import NOTHING, TIMEOUT
from ssm_cli.runtime.engine.pending import Pending

Json = Any
REFUSED = ("already_started",)


class Scripted(GenServer):
    """A server whose callbacks do what the message, or the scenario, says."""

    def init(self, name: str, args: Mapping[str, Any]) -> Any:
        world: ServerWorld = args["world"]
        world.trace.append(["init"])
        return world.act(world.server.get("init", {"return": "ok"}), world.server.get("state", 0))

    def handle_call(self, message: Any, caller: Caller, state: Any) -> Any:
        world, action = message
        world.callers[action["tag"]] = caller
        world.trace.append(["handle_call", action["tag"], state])
        return world.act(action, state)

    def handle_cast(self, message: Any, state: Any) -> Any:
        world, action = message
        world.trace.append(["handle_cast", action["tag"], state])
        return world.act(action, state)

    def handle_info(self, message: Any, state: Any) -> Any:
        if message is TIMEOUT:
            world = ServerWorld.of(self)
            world.trace.append(["handle_info", "timeout", state])
            return world.act(world.server.get("on_timeout", {"return": "noreply"}), state)
        if isinstance(message, ExitSignal):
            signal = {"exit_signal": str(reason_of(message.reason))}
            ServerWorld.of(self).trace.append(["handle_info", signal, state])
            return NoReply(state)
        world, action = message
        world.trace.append(["handle_info", action["tag"], state])
        return world.act(action, state)

    def handle_continue(self, message: Any, state: Any) -> Any:
        world, action = message
        world.trace.append(["handle_continue", action["tag"], state])
        return world.act(action, state)

    def terminate(self, reason: Any, state: Any) -> None:
        world = ServerWorld.of(self)
        world.trace.append(["terminate", str(reason), state])
        world.act(world.server.get("terminate", {"return": "ok"}), state)

    def code_change(self, old_version: str, state: Any, extra: Any) -> Any:
        world = ServerWorld.of(self)
        world.trace.append(["code_change", old_version, state, extra])
        return world.act(world.server.get("code_change", {"return": "ok"}), state)


class ServerWorld:
    """One scenario while it is driven."""

    def __init__(self, server: Json) -> None:
        self.server = server
        self.name = server.get("name", "server")
        self.clock = ManualClock()
        self.trace: list[list[Any]] = []
        self.callers: dict[str, Caller] = {}
        self.calls: dict[str, Any] = {}
        self.ended: Json = "none"
        self.failed = ""
        self.behaviour = self.served()
        self.node = Node(Supervisor("root"), clock=self.clock).start()
        self.node.subscribe(self.observe)

    def served(self) -> Any:
        """The class of the server, made for this world."""
        fields = {"trap_exit": self.server.get("trap_exit", False), "world": self}
        return type("Served", (Scripted,), fields)

    @staticmethod
    def of(server: GenServer) -> ServerWorld:
        """The world that a server was made for."""
        world: ServerWorld = type(server).world  # type: ignore[attr-defined]  # see __init__
        return world

    def observe(self, report: Report) -> None:
        """How the server ended, or why it did not start."""
        if report.id == self.name and report.event in ("terminated", "killed"):
            self.ended = {"exited": report.detail["reason"]}
        if report.id == self.name and report.event == "start_failed":
            self.failed = report.detail["reason"]

    def state(self) -> Json:
        """How the server is after a step."""
        return "running" if self.node.whereis(self.name) is not None else self.ended

    def received(self) -> Json:
        """What clients have received in this step: those of a server have no mailbox."""
        return {}

    def comparable(self, value: Json) -> Json:
        """What is compared of a value: what is a set has no order."""
        if isinstance(value, dict) and "timeouts" in value:
            return {**value, "timeouts": sorted(value["timeouts"], key=str)}
        return value

    # -- what callbacks do -----------------------------------------------------------------------

    def act(self, action: Json, state: Any, **more: Any) -> Any:
        """Carry out an action, and make the result it asks for."""
        del more
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
        return self.result(action, action.get("state", state), effects)

    def result(self, action: Json, state: Any, effects: list[Any]) -> Any:
        """The result that an action asks for, allowed or not."""
        kind, reason, then = action["return"], action.get("reason"), self.then(action)
        if kind == "exit":
            raise Exited(reason)
        if kind == "raise":
            raise RuntimeError("raise, as the scenario says")
        results = {
            "reply": Reply(action.get("value"), state, then, effects),
            "noreply": NoReply(state, then, effects),
            "ok": Ok(state, then, effects),
            "stop": Stop(reason, state, action.get("reply", NOTHING), effects),
            "ignore": Ignore(),
            "error": Error(reason),
            "bad": action.get("value"),
        }
        return results[kind]

    def then(self, action: Json) -> Any:
        """What comes next."""
        if "timeout" in action:
            return TimeoutAfter(action["timeout"])
        if "continue" in action:
            return Continue((self, action["continue"]))
        return Hibernate() if action.get("hibernate") else None

    # -- steps -----------------------------------------------------------------------------------

    def go_on_in_a_fork(self) -> None:
        """Leave the node as it is, and do what follows to a fork of it, by the same clock."""
        self.node = self.node.fork(clock=self.clock)
        self.node.subscribe(self.observe)

    def perform(self, step: Json) -> Json:
        """Perform a step and let everything come to rest; its result."""
        try:
            result = getattr(self, f"do_{step['op']}")(step)
        except CallError as error:
            result = {"exit": error.reason}
        self.node.run()
        return result

    def do_start(self, _: Json) -> Json:
        worker = Worker(
            self.name,
            self.behaviour,
            args={"world": self},
            restart="temporary",
            step_timeout="infinity",
            init_timeout="infinity",
            shutdown="infinity",
        )
        try:
            started = self.node.start_child("root", worker)
        except SupervisorError as error:
            return {"error": error.term if error.term in REFUSED else self.failed}
        return "ok" if started is not None else "ignore"

    def do_call(self, step: Json) -> Json:
        timeout_s = step["timeout"] / 1000 if "timeout" in step else None
        return {"reply": self.node.call(self.name, (self, step["msg"]), timeout_s)}

    def do_call_async(self, step: Json) -> Json:
        try:
            pending = self.node.send_request(self.name, (self, step["msg"]))
        except CallError as error:  # the caller, another process, learns that: see `await`
            pending = Pending()
            pending.fail(error)
        self.calls[step["msg"]["tag"]] = pending
        return "sent"

    def do_await(self, step: Json) -> Json:
        pending = self.calls[step["tag"]]
        return {"reply": pending.result()} if pending.done else "pending"

    def do_cast(self, step: Json) -> Json:
        with suppress(NoProc):  # a pid of OTP is good for ever, a name of ours is not
            self.node.cast(self.name, (self, step["msg"]))
        return "ok"

    def do_info(self, step: Json) -> Json:
        with suppress(NoProc):  # as above
            self.node.info(self.name, (self, step["msg"]))
        return "ok"

    def do_stop(self, step: Json) -> Json:
        timeout_s = step["timeout"] / 1000 if "timeout" in step else None
        self.node.stop_process(self.name, step.get("reason", "normal"), timeout_s)
        return "ok"

    def do_exit_signal(self, step: Json) -> Json:
        with suppress(CallError):  # a signal to nobody is lost
            self.node.exit(self.name, step["reason"], sender=step["from"])
        return "ok"

    def do_suspend(self, _: Json) -> Json:
        self.node.suspend(self.name)
        return "ok"

    def do_resume(self, _: Json) -> Json:
        self.node.resume(self.name)
        return "ok"

    def do_get_state(self, _: Json) -> Json:
        return {"state": self.node.get_state(self.name)}

    def do_replace_state(self, step: Json) -> Json:
        def convert(_: Any) -> Any:
            if step.get("raise"):
                raise RuntimeError("raise, as the scenario says")
            return step["state"]

        try:
            return {"state": self.node.replace_state(self.name, convert)}
        except SysError as error:
            return {"error": error.term}

    def do_get_status(self, _: Json) -> Json:
        return {"status": self.node.get_status(self.name).status}

    def do_change_code(self, step: Json) -> Json:
        try:
            self.node.change_code(self.name, step["old_vsn"], step["extra"])
        except SysError as error:
            return {"error": error.term}
        return "ok"

    def do_whereis(self, _: Json) -> Json:
        return {"registered": self.node.whereis(self.name) is not None}

    def do_client_mailbox(self, _: Json) -> Json:
        return 0  # a caller has no mailbox here: an answer that comes late has nowhere to go

    def do_wait(self, step: Json) -> Json:
        self.node.run(step["ms"] / 1000)
        return "ok"
