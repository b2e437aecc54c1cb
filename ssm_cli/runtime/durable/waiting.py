"""Hashes of a `Statem` whose events wait: a digest of each run of them, taken once.

A run (`state_loop.Waiting`) stays the object that it is until it is merged with others or taken
apart, so the hash of a state with many postponed events is taken of few digests. What can be
changed in place is looked at anew each time.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from ssm_cli.behaviour.results import Caller
from ssm_cli.behaviour.state_loop import InState
from ssm_cli.codec.classes import PLAIN, Classes, Inexact
from ssm_cli.codec.exact import canonical
from ssm_cli.codec.renames import Names

RUNS_HASH = b"\x03"  # the first byte of a hash that is taken so
RUN_BYTES = 16  # of the digest of a run


class Runs:
    """Puts digests in the place of the runs of events in states of one worker.

    Args:
        classes: those that its states may hold.
    """

    def __init__(self, classes: Classes) -> None:
        self._classes = classes
        self._known: dict[int, tuple[object, bytes, bool]] = {}  # of the last state, by `id`

    def canonical(
        self, at: Any, mark: bytes = RUNS_HASH, *, then: Names | None = None
    ) -> tuple[bytes, int]:
        """Return the bytes that a hash which begins with `mark` is taken of; how many are new.

        With `then`, classes have the names that they had before those renames.

        Raises:
            Inexact: it would not come back as it is.
        """
        size, kept = 0, {}
        if mark == RUNS_HASH and type(at) is InState:
            found: dict[str, list[bytes]] = {"postponed": [], "inserted": []}
            for field, digests in found.items():
                for number, run in enumerate(getattr(at, field)):
                    one = None if then else self._known.get(id(run))
                    if one is None:
                        data = self._run(run, f".{field}[{number}]", then)
                        one = run, blake2b(data, digest_size=RUN_BYTES).digest(), is_fixed(run)
                        size += len(data)
                    if one[2]:
                        kept[id(run)] = one
                    digests.append(one[1])
            at = msgspec.structs.replace(at, **found)
        if not then:
            self._known = kept
        data, _ = canonical(at, self._classes, then=then)
        return data, size + len(data)

    def _run(self, run: object, place: str, then: Names | None) -> bytes:
        try:
            return canonical(run, self._classes, then=then)[0]
        except Inexact as error:
            raise error.at(place) from None


def is_fixed(value: Any) -> bool:
    """Return whether nothing in a value can be changed in place, that has an exact encoding.

    >>> is_fixed((1, "a", (None,))), is_fixed(([],))
    (True, False)
    """
    kind = type(value)
    if kind in PLAIN or kind is Caller:
        return True
    if kind is tuple:
        return all(map(is_fixed, value))
    if issubclass(kind, msgspec.Struct):
        names = kind.__struct_fields__ if kind.__struct_config__.frozen else None
    elif is_dataclass(kind) and kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]  # each has them
        names = tuple(field.name for field in fields(kind))
    else:
        names = None
    return names is not None and all(is_fixed(getattr(value, name)) for name in names)
