"""Effects: what a step asks for, as data. The node carries them out once the state is committed.

`Cast`, `Info` and `Publish` put inputs into the node's queue, the timers come back as inputs,
`Join` and `Leave` say who is in which group, `Defer` and `Answer` let a reply come later, `Run`
(see `runs`) has something done outside of the step. They leave in the order in which they come.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ssm_cli.behaviour.runs import CancelRun, Run


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


class Join(msgspec.Struct, frozen=True):
    """Become a member of `group`, until `Leave` or the end of this life (OTP `pg:join`).

    `value` stands beside the member's name (Elixir `Registry`); to join again replaces it.
    """

    group: str
    value: object = None


class Leave(msgspec.Struct, frozen=True):
    """Be a member of `group` no more; nothing happens if it is none (OTP `pg:leave`)."""

    group: str


class Publish(msgspec.Struct, frozen=True):
    """`Cast` a message to each who is a member of `group` now, in the order in which they joined.

    One that leaves before its turn gets it all the same; one that ends, in its next life. Nobody
    is a member: it is reported as dropped.
    """

    group: str
    message: object


class Monitor(msgspec.Struct, frozen=True):
    """Have `Down(worker, reason)` come as an input once `worker` ends (`erlang:monitor/2`).

    Comes once, and at once with the reason `noproc` if no such worker runs. Ends with the worker
    that has asked. `Down` has the name that is given here: an id, a path, or `POOL:KEY`. To ask
    again by the same name changes nothing; by another name it is another monitor.
    """

    worker: str


class Demonitor(msgspec.Struct, frozen=True):
    """Hear no more of the end of `worker`, by whatever names it is monitored.

    A `Down` that is under way still comes.
    """

    worker: str


class Down(msgspec.Struct, frozen=True):
    """What a worker gets that has asked by `Monitor`: who has ended, by that name, and why.

    `reason` is the word of reports: `normal`, `shutdown`, `killed`, `crash`, `stop:X`, `noproc`.
    """

    worker: str
    reason: str


class StartTimer(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """Have `message` come back as an input after `after_ms` milliseconds.

    With `absolute` that is the instant itself: milliseconds since 1970 in UTC, by the node's clock;
    one that is over comes at once (`{abs, true}`, whose clock in OTP means nothing outside). A
    timer of the same `key` is replaced. Timers end with the worker (`erlang:start_timer/4`).
    """

    key: str
    after_ms: float
    message: object
    absolute: bool = False


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


class Link(msgspec.Struct, frozen=True):
    """Link this worker to worker `to` (`erlang:link/1`): the end of one is a signal to the other.

    A `trap_exit` worker gets an `ExitSignal`, another one ends for the same reason, unless that is
    `normal`. One that does not run counts as ended, with `noproc`. A life's links end with it. The
    worker of a pure step hears nothing.
    """

    to: str


class Unlink(msgspec.Struct, frozen=True):
    """Undo a `Link`; nothing happens if there is none."""

    to: str


class Reported(msgspec.Struct, frozen=True):
    """Have the node report something of this worker. For behaviours that ship."""

    event: str
    detail: dict[str, Any]


Sent = Cast | Info | Publish
Effect = (
    Sent
    | Join
    | Leave
    | StartTimer
    | CancelTimer
    | Defer
    | Answer
    | Exit
    | Run
    | CancelRun
    | Link
    | Unlink
    | Monitor
    | Demonitor
    | Reported
)
