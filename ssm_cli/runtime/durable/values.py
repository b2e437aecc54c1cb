"""How the states of one worker, and inputs that came as values, are written and brought back.

What is written names the types in it (`codec.exact`), so it comes back as it was or not at all.
Files of an older ssm hold states that were read back by the type of the code alone; they are read
so once more, and refused where that makes another state of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Any

import msgspec

from ssm_cli.behaviour.dispatch import Behaviour, Outcome
from ssm_cli.behaviour.effects import StartTimer
from ssm_cli.behaviour.results import NOTHING, TIMEOUT, TimeoutAfter
from ssm_cli.behaviour.state_loop import InState
from ssm_cli.codec.classes import Inexact
from ssm_cli.codec.declared import misfit
from ssm_cli.codec.exact import alike, canonical, is_exact, read, read_plain, renamed, write
from ssm_cli.codec.port import Codec
from ssm_cli.codec.renames import NONE, Names, Renames
from ssm_cli.errors import StorageError, Unrecovered, message_of
from ssm_cli.runtime.durable.code import facts_of
from ssm_cli.runtime.durable.records import Armed, Code, KeptTimeout
from ssm_cli.runtime.durable.snapshots import Saved
from ssm_cli.runtime.durable.unclaimed import placed
from ssm_cli.runtime.durable.waiting import RUNS_HASH, Runs
from ssm_cli.runtime.outside import is_from_outside

MAX_STATE_BYTES = 64 * 1024 * 1024
DIGEST_BYTES = 8
SHORT_BYTES = 64  # of an output whose digest is remembered
EXACT_HASH = b"\x02"  # the first byte of a state's hash; those of an older ssm have none
WALKED = 8  # a byte that is hashed in a walk takes so many times as long
ODD = b"\xc1"  # the first byte of an input that is not as its codec writes it
RAW = b"\xc1\x00"  # one that came so from outside
NEWER: dict[tuple[type, str], object] = {
    (StartTimer, "absolute"): False,
    (TimeoutAfter, "absolute"): False,
    (TimeoutAfter, "message"): TIMEOUT,
}  # fields that digests of effects are older than: they count where they are not as then

_encode = msgspec.msgpack.Encoder().encode
_old_plain = msgspec.msgpack.Decoder().decode
_old_written = msgspec.msgpack.Encoder().encode
_old_sorted = msgspec.msgpack.Encoder(order="deterministic").encode


def digest(data: bytes) -> bytes:
    """A short hash of bytes, to compare with. Source: BLAKE2 (RFC 7693).

    >>> len(digest(b"Ok"))
    8
    """
    return blake2b(data, digest_size=DIGEST_BYTES).digest()


def digest_of_output(data: bytes) -> bytes:
    """The digest of an output; none of an empty one. Short outputs come again and again."""
    if not data:
        return b""
    return _remembered(data) if len(data) <= SHORT_BYTES else digest(data)


_remembered = lru_cache(maxsize=1024)(digest)


class Values:
    """Writes and reads the states and the inputs of one worker.

    Args:
        worker: its id.
        behaviour: its code.
        codec: that of its inputs.
        renames: of its code, its classes and their fields.
        place: where in the tree the worker is.

    Attributes:
        code: how its records name its code.

    Raises:
        StorageError: the type of its states holds what cannot be kept.
    """

    def __init__(
        self,
        worker: str,
        behaviour: Behaviour,
        codec: Codec,
        renames: Renames | None = None,
        *,
        place: str = "",
    ) -> None:
        facts = facts_of(behaviour)
        self.worker, self.version, self.codec = worker, behaviour.version, codec
        self.code: Code = placed(facts.code, place)
        self._said = facts.said
        self._migrate = behaviour.migrate
        self._classes = facts.classes_for(worker)
        self._renames = renames or Renames()
        self._runs = Runs(self._classes)

    def dump(self, state: Any) -> bytes:
        """The bytes of a state; raises `StorageError` where it would not come back as it is."""
        try:
            data = write(state, self._classes)
        except Inexact as error:
            raise self._refused(error) from error
        if len(data) > MAX_STATE_BYTES:
            raise StorageError(
                f"the state of {self.worker} takes {len(data)} bytes; at most "
                f"{MAX_STATE_BYTES} can be saved"
            )
        return data

    def _refused(self, error: Inexact) -> StorageError:
        return StorageError(
            f"the state of {self.worker} cannot outlive the process: state{error.path}: {error.why}"
        )

    def hash(self, state: Any) -> tuple[bytes, int]:
        """The digest of a state, and what taking it has cost, in bytes of plain data.

        It does not depend on the order in which a dict or a set was filled.

        Raises:
            StorageError: the state would not come back as it is.
        """
        try:
            if type(state) is InState:
                data, size = self._runs.canonical(state)
                return RUNS_HASH + digest(data), size * WALKED
            data, walked = canonical(state, self._classes)
        except Inexact as error:
            raise self._refused(error) from error
        taken = EXACT_HASH + blake2b(data, digest_size=DIGEST_BYTES).digest()
        return taken, len(data) * WALKED if walked else len(data)

    def hash_of_effects(self, outcome: Outcome, *, then: Names = NONE) -> bytes:
        """The digest of what a step asks for besides its state and answer; empty for nothing.

        Of what cannot be written, as it is for a worker that is not durable, its type counts. With
        `then`, classes have the names that they had before those renames.
        """
        if not outcome.effects and outcome.then is None:
            return b""
        parts: list[Any] = []
        for asked in (*outcome.effects, outcome.then):
            names = () if asked is None else asked.__struct_fields__
            fields = [
                self._bytes(value, then=then)
                for name in names
                if (value := getattr(asked, name)) is not NEWER.get((type(asked), name), NOTHING)
            ]
            parts.append((type(asked).__name__, *fields))
        return EXACT_HASH + digest(_encode(parts))

    def _bytes(self, value: Any, *, then: Names) -> Any:
        try:
            return canonical(value, self._classes, then=then)[0]
        except Inexact:
            return type(value).__name__

    def has_effects(self, outcome: Outcome, taken: bytes, at: int | None = None) -> bool:
        """Whether an outcome asks for what that hash was taken of, by the record `at`."""
        if self.hash_of_effects(outcome) == taken:
            return True
        then = self._renames.since(at)
        return bool(then) and self.hash_of_effects(outcome, then=then) == taken

    def has_hash(self, state: Any, taken: bytes, at: int | None = None) -> bool:
        """Whether a state is the one of that hash, which the record `at`, of whatever ssm, has."""
        try:
            mark = taken[:1]
            if mark not in {EXACT_HASH, RUNS_HASH} or len(taken) == DIGEST_BYTES:
                return digest(_old_sorted(state)) == taken
            found = mark + digest(self._runs.canonical(state, mark)[0])
            if found != taken and (then := self._renames.since(at)):
                found = mark + digest(self._runs.canonical(state, mark, then=then)[0])
        except (Inexact, TypeError, OverflowError, ValueError, RecursionError):
            return False  # it cannot be written: the one that was could be
        return found == taken

    def revive(self, data: bytes, by: Code, at: int | None = None) -> Any:
        """The state from bytes that some code has written, up to the record `at`, or now.

        Raises:
            Unrecovered: it is not a state of the code that is here, and no `migrate` makes it one.
        """
        since = self._renames.since(at)
        machine = since.now(by.machine)
        if by.version not in ("", self.version):
            return self._migrated(data, by)
        if machine not in ("", self.code.machine):
            old, new = machine.partition(":"), self.code.machine.partition(":")
            own = ":" * (old[0] == self.worker)  # else it would be taken for the worker's own name
            names = (
                (old[0] + own, new[0] + own) if old[2] == new[2] else (machine, self.code.machine)
            )
            raise Unrecovered(
                f"its state was saved by {machine}, and its code is {self.code.machine} now; if "
                f"that has moved, say so: --rename {names[0]} {names[1]}",
                worker=self.worker, reason="moved",
            )  # fmt: skip
        try:
            state = self._load(renamed(data, since))
            if by.form != self.code.form:
                misfit(state, self._said)
        except (Inexact, msgspec.MsgspecError) as error:
            where = f" at state{error.path}" if isinstance(error, Inexact) else ""
            raise Unrecovered(
                f"its state cannot be read{where}: {error}. Give its code another `version`, and a "
                f"migrate(old_version, state)",
                worker=self.worker, reason="migrate",
            ) from error  # fmt: skip
        return state

    def _migrated(self, data: bytes, by: Code) -> Any:
        here = f"version {self.version} of {self.code.machine}"
        if self._migrate is None:
            raise Unrecovered(
                f"its state was saved by version {by.version} of {by.machine}, and this is {here} "
                f"without a migrate(old_version, state)",
                worker=self.worker, reason="migrate",
            )  # fmt: skip
        try:
            return self._migrate(by.version, plain_of(data))
        except BaseException as error:
            if is_from_outside(None, error):
                raise
            raise Unrecovered(
                f"the migrate of {here} raised {type(error).__name__} for a state of version "
                f"{by.version}: {message_of(error)}",
                worker=self.worker, reason="migrate",
            ) from error  # fmt: skip

    def _load(self, data: bytes) -> Any:
        if not is_exact(data):
            return self._old(data)
        state = read(data, self._classes)
        if not alike(write(state, self._classes), data):
            raise Inexact("what is read of it is not what is stored")
        return state

    def _old(self, data: bytes) -> Any:
        """A state of an older ssm: read by its type, and the same if written as it was then."""
        if self._said is Any:
            return _old_plain(data)
        try:
            state = msgspec.msgpack.decode(data, type=self._said)
            alike = _old_plain(_old_written(state)) == _old_plain(data)
        except TypeError as error:
            raise Inexact(message_of(error)) from error
        if not alike:
            raise Inexact("what is read of it is not what is stored")
        return state

    def saved(
        self,
        at_s: float,
        seq: int,
        state: tuple[bool, bytes],
        armed: tuple[Armed, ...],
        timeout: KeptTimeout,
    ) -> Saved:
        """What is saved of the worker by the code that is here: whether it has a state, and it."""
        code = self.code
        return Saved(
            self.worker, code.machine, code.version, at_s, seq, *state, armed, timeout,
            form=code.form, digest=code.digest, place=code.place,
        )  # fmt: skip

    # -- inputs and outputs ---------------------------------------------------------------------

    def written(self, message: Any, what: str = "an input") -> bytes:
        """The bytes of an input that came as a value: its codec's, if that brings it back.

        `what` it is instead is said of one that cannot be written.

        Raises:
            StorageError: it would not come back as it is.
        """
        try:
            exact = write(message, self._classes)
        except Inexact as error:
            raise StorageError(
                f"{what} of {self.worker} cannot be recorded: "
                f"{type(message).__name__}{error.path}: {error.why}"
            ) from error
        try:
            data = self.codec.encode(message)
            if type(data) is bytes and write(self.codec.decode(data), self._classes) == exact:
                return self.came(data)
        except BaseException as error:
            if is_from_outside(None, error):
                raise
        return exact  # it may be no input of its codec, and is one all the same

    def repeated(self, output: Any) -> Callable[[], Any]:
        """What makes an output anew as it is now; one that cannot be kept is given as it is."""
        try:
            return partial(read, write(output, self._classes), self._classes)
        except Inexact:
            return lambda: output

    def came(self, data: bytes) -> bytes:
        """The bytes of an input, as they came, for its record."""
        return data if data[:1] != ODD else RAW + data

    def read(self, data: bytes, at: int | None = None) -> Any:
        """The input that bytes of the record `at` stand for; raises as its codec does."""
        if data[:1] != ODD:
            return self.codec.decode(data)
        if data[: len(RAW)] == RAW:
            return self.codec.decode(data[len(RAW) :])
        return read(renamed(data, self._renames.since(at)), self._classes)


def plain_of(data: bytes) -> Any:
    """A state without the classes in it, as `migrate` gets it, and people."""
    return read_plain(data) if is_exact(data) else _old_plain(data)


def text_of(data: bytes) -> str:
    """An input as text, for people."""
    if data[:1] == ODD and data[:2] != RAW:
        try:
            return str(read_plain(data))
        except (Inexact, msgspec.MsgspecError):
            pass  # shown as it is
    return data.removeprefix(RAW).decode("utf-8", "backslashreplace")
