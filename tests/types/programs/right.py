"""What both checkers accept, and the types that they see."""

from __future__ import annotations

from typing import Any, assert_type

from counter import Add, Bank, Count, Door, Failed, Get, Untyped, asker, counter, gate, node, plain

from ssm_cli import Ref, SetTimeout, Statem, StateMachine

assert_type(counter, StateMachine[Add | Get, int, Count | Failed])
ref = node.worker("counter", counter)
assert_type(ref, Ref[Add | Get, Count | Failed])
assert_type(ref.call(Add(1), timeout_s=None), Count | Failed)
assert_type(node.worker("asker", asker).call(Add(1)), Count | None)
assert_type(node.worker("bank", Bank).call(Get()), Count)
assert_type(node.worker("untyped", Untyped), Ref[Any, Any])
assert_type(node.worker("plain", plain), Ref[Any, Any])
assert_type(node.worker("door", Door), Ref[Any, Any])
assert_type(node.worker("gate", gate), Ref[Any, Any])
assert_type(node.worker("anything"), Ref[Any, Any])
ref.cast(Get())

adds: Ref[Add, object] = ref  # takes less, gives more
machine: StateMachine = counter
SetTimeout("timeout", "infinity")
SetTimeout(("timeout", 1), 5)


class Mode(Statem):
    callback_mode = "handle_event_function"


async def main() -> None:
    assert_type(await ref.acall(Get()), Count | Failed)
    match await ref.acall(Add(2)):
        case Count(value):
            assert_type(value, int)
        case Failed(why):
            assert_type(why, str)
