"""Effects: what a step asks for, as data. The node carries them out once the state is committed.

`Send` and `Cast` put an input into the node's queue, the timers come back as inputs,
`Defer` and `Answer` let a reply come later. They leave in the order in which they are given.
"""

from __future__ import annotations

import msgspec


class Cast(msgspec.Struct, frozen=True):
    """Write `message` to worker `to`, without waiting (`gen_server:cast`).

    Nothing happens if no such worker runs. `to=None` is the worker itself.
    """

    to: str | None
    message: object


class Info(msgspec.Struct, frozen=True):
    """Send a plain message (`Pid ! Message`): a `GenServer` gets it in `handle_info`."""

    to: str | None
    message: object


class StartTimer(msgspec.Struct, frozen=True):
    """Have `message` come back as an input after `after_ms` milliseconds.

    A timer of the same `key` is replaced. Timers end with the worker (`erlang:start_timer`).
    """

    key: str
    after_ms: float
    message: object


class CancelTimer(msgspec.Struct, frozen=True):
    """Forget the timer `key`; nothing happens if there is none."""

    key: str


class Defer(msgspec.Struct, frozen=True):
    """Do not answer this call now; keep its caller under `key` until `Answer(key, ...)`.

    For a `StateMachine`. A `GenServer` returns `NoReply` and keeps its `Caller` instead.
    """

    key: str


class Answer(msgspec.Struct, frozen=True):
    """Answer a deferred call: `to` is the key of a `Defer`, or the `Caller` of a `GenServer`."""

    to: object
    output: object


class Exit(msgspec.Struct, frozen=True):
    """End this worker with `reason` after its output has left (`{stop, Reason, Reply, State}`)."""

    reason: object = "normal"


Effect = Cast | Info | StartTimer | CancelTimer | Defer | Answer | Exit
