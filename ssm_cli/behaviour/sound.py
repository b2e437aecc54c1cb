"""What must hold of effects before one of them is carried out. Pure.

A callback may answer anything: what is no effect, and what has a field of a wrong type, is refused
as a whole, before anything is done.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from ssm_cli.behaviour.effects import (
    Answer,
    CancelTimer,
    Cast,
    Defer,
    Demonitor,
    Exit,
    Info,
    Join,
    Leave,
    Link,
    Monitor,
    Publish,
    Reported,
    StartTimer,
    Unlink,
)
from ssm_cli.behaviour.reasons import BadReturnError, plain, shape
from ssm_cli.behaviour.runs import CancelRun, Run, fault_of
from ssm_cli.errors import writable

MOST_GROUP_CHARACTERS = 200


def sound_effects(effects: Any) -> list[Any]:
    """Return effects that a callback has answered, as a list of their own.

    Raises:
        BadReturnError: they are no sequence of effects, or one cannot be carried out.
    """
    if not isinstance(effects, Sequence):
        raise BadReturnError(f"the effects are {shape(effects)}; expected a sequence of them")
    asked = [*effects]  # once: a sequence of the user's may be another one each time
    for effect in asked:
        if isinstance(effect, Run):
            if wrong := fault_of(effect):
                said = f"Run {plain(effect.key, repr)} cannot be carried out: {wrong}"
                raise BadReturnError(said)
        elif not is_sound(effect):
            raise BadReturnError(f"{shape(effect)} is no effect that can be carried out")
    return asked


def is_sound(effect: object) -> bool:
    """Whether this is an effect, with fields of the right types.

    >>> is_sound(StartTimer("tick", 5, None)), is_sound(StartTimer("tick", "5", None))
    (True, False)
    """
    check = SOUND.get(type(effect))
    if check is None:  # of a class of the user's own
        check = next((one for kind, one in SOUND.items() if isinstance(effect, kind)), None)
    return check is not None and check(effect)


def is_group(group: object) -> bool:
    """Whether this may be the name of a group: a str that can be written, of 1 to 200 characters.

    >>> is_group("room 1"), is_group(""), is_group(7), is_group("x" * 201)
    (True, False, False, False)
    """
    if not isinstance(group, str):
        return False
    name = str.__str__(group)
    return 0 < len(name) <= MOST_GROUP_CHARACTERS and writable(name) == name


def is_hashable(key: object) -> bool:
    """Whether something can be found again under this key."""
    try:
        hash(key)
    except Exception:  # noqa: BLE001 - the user's __hash__ may raise anything
        return False
    return True


def is_due(ms: object, absolute: object) -> bool:
    """Whether this is a time to wait in milliseconds, or with `absolute` an instant, over or not.

    >>> is_due(0, False), is_due(1.5, False), is_due(-1, False), is_due(-1, True)
    (True, True, False, True)
    >>> is_due("5", False), is_due(float("nan"), True), is_due(5, 1), is_due(True, False)
    (False, False, False, False)
    """
    if type(absolute) is not bool or isinstance(ms, bool) or not isinstance(ms, int | float):
        return False
    return (-sys.float_info.max if absolute else 0) <= ms <= sys.float_info.max


SOUND: dict[type, Callable[[Any], bool]] = {
    Publish: lambda effect: is_group(effect.group),
    Cast: lambda effect: effect.to is None or isinstance(effect.to, str),
    Info: lambda effect: effect.to is None or isinstance(effect.to, str),
    Join: lambda effect: is_group(effect.group),
    Leave: lambda effect: is_group(effect.group),
    StartTimer: lambda effect: is_hashable(effect.key) and is_due(effect.after_ms, effect.absolute),
    CancelTimer: lambda effect: is_hashable(effect.key),
    Defer: lambda effect: is_hashable(effect.key),
    Answer: lambda effect: is_hashable(effect.to),
    CancelRun: lambda effect: isinstance(effect.key, str),
    Monitor: lambda effect: isinstance(effect.worker, str),
    Demonitor: lambda effect: isinstance(effect.worker, str),
    Link: lambda effect: isinstance(effect.to, str),
    Unlink: lambda effect: isinstance(effect.to, str),
    Exit: lambda _: True,
    Reported: lambda _: True,
}
"""What must hold of the fields of each effect."""
