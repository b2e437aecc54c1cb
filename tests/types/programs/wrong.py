"""Each line with `# wrong:` holds a mistake that both checkers find; no other line does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from counter import Add, Bank, Count, Failed, Get, counter, init, node, step

from ssm_cli import (
    Caller,
    Cast,
    GenServer,
    KeepState,
    KeepStateAndData,
    NoReply,
    Ok,
    Ref,
    Reply,
    SetTimeout,
    Statem,
    StateMachine,
    Stop,
    StopAndReply,
    Supervisor,
    Worker,
)

# -- calls and casts -------------------------------------------------------------------------------

ref = node.worker("counter", counter)
ref.call(Count(1))  # wrong: an output as an input
ref.call("Add 1")  # wrong: text, which only `node.call` decodes, and from bytes
ref.cast(1)  # wrong: an input of no kind
node.worker("bank", Bank).call(Failed("x"))  # wrong: an input that the server does not take
count: Count = ref.call(Get())  # wrong: it may be Failed
number: int = node.worker("bank", Bank).call(Get())  # wrong: the output is a Count
print(node.worker("bank", Bank).call(Get()).amount)  # wrong: a Count has no amount
narrow: Ref[Add | Get, Count] = ref  # wrong: it may give Failed
wide: Ref[object, object] = ref  # wrong: it does not take everything
node.worker("counter", step)  # wrong: a function is no worker
node.worker("bank", Bank())  # wrong: the class is the code, not an instance


async def main() -> None:
    await ref.acall(None)  # wrong: an input of no kind
    text: str = await ref.acall(Get())  # wrong: the output is no text
    print(text)


# -- a pure step -----------------------------------------------------------------------------------


def init_text(name: str, args: Mapping[str, Any]) -> str:
    return name


def no_state(message: Add, state: int) -> Count:
    return Count(state + message.amount)


def odd_effects(message: Add, state: int) -> tuple[int, Count, list[str]]:
    return state, Count(state), ["cast"]


def end_text(name: str, state: str, reason: object) -> None:
    print(name, state.upper(), reason)


def changed(old: str, state: Any, extra: Any) -> list[int]:
    return [state]


class HalfACodec:
    def decode(self, data: bytes) -> Add:
        return Add(len(data))


StateMachine(step=no_state)  # wrong: the output alone, without the state
StateMachine(step=odd_effects)  # wrong: what is no effect
StateMachine(step=lambda message: (message, 1))  # wrong: a step without the state
StateMachine(stpe=step)  # wrong: a misspelt name
StateMachine(step=step, terminate=end_text)  # wrong: the state is a number
StateMachine(step=step, code_change=changed)  # wrong: the new state is a list
StateMachine(step=step, codec="jsn")  # wrong: a misspelt codec
StateMachine(step=step, codec=HalfACodec())  # wrong: it cannot encode
StateMachine(init=init)  # wrong: no step
texts: StateMachine[str, int, Count] = StateMachine(step=step)  # wrong: it takes no text

# -- callbacks -------------------------------------------------------------------------------------


class Teller(GenServer[Add | Get, int, Count]):
    def init(self, name: str, args: Mapping[str, Any]) -> Ok[str]:  # wrong: the state is a number
        return Ok(name)

    def handle_call(
        self, message: Add | Get, caller: Caller, state: int
    ) -> Reply[Count, int] | NoReply[int] | Stop[Count, int]:
        if isinstance(message, Get):
            return Reply(state, state)  # wrong: the output is a Count
        if message.amount == 0:
            return Reply(Count(1), "none")  # wrong: the state is a number
        if message.amount < 0:
            return Stop("broke", state, "sorry")  # wrong: the output is a Count
        return state + message.amount  # wrong: a state alone is no answer

    def handle_cast(self, message: Add, state: int) -> NoReply[int]:  # wrong: it gets a Get, too
        return NoReply(state + message.amount)

    def handle_info(self, message: Any, state: int) -> Reply[Count, int]:  # wrong: nobody waits
        return Reply(Count(state), state)


# -- trees -----------------------------------------------------------------------------------------

Worker("w", step)  # wrong: a function is no worker
Worker("w", Bank())  # wrong: the class is the code, not an instance
Worker("w", counter, restart="permanant")  # wrong: a misspelt word
Worker("w", counter, codec="yaml")  # wrong: no such codec
Worker("w", counter, persist=True)  # wrong: a word is expected
Worker("w", counter, restarts="temporary")  # wrong: a misspelt key
Supervisor("s", "one_for_al")  # wrong: a misspelt word
Supervisor("s", children=[counter])  # wrong: the code in the place of its spec
Supervisor("s", children=Worker("w", counter))  # wrong: a list is expected
Cast("other")  # wrong: nothing to send

# -- actions ---------------------------------------------------------------------------------------

KeepStateAndData(5)  # wrong: no action
KeepState(0, ["postpone"])  # wrong: words are no actions
StopAndReply("normal", Cast("other", 1))  # wrong: not a reply
SetTimeout("timeout", "infinty")  # wrong: a misspelt word


class Mode(Statem):
    callback_mode = "handle_events"  # wrong: no such mode
