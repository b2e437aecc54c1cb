"""Values written on the command line: a state for `set`, a child spec for `start-child`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec

from ssm_cli.behaviour.visible import HandlerStates, Written
from ssm_cli.codec.json import jsonable
from ssm_cli.codec.put_back import PutBack
from ssm_cli.codec.words import RepeatedKey, json_of, reading_once
from ssm_cli.errors import CommandError, SysError, a_or_an, message_of
from ssm_cli.runtime.api import NodeApi
from ssm_cli.spec.model import ChildSpec, Labelled
from ssm_cli.spec.problems import Problem

NUMBERS = frozenset({int, float})


@runtime_checkable
class DataShower(Protocol):
    """A `NodeApi` that turns values into data itself, guarded, and takes a `StateText`."""

    def data(self, worker: str, value: object) -> object:
        """A value of this worker as JSON-ready data."""
        ...

    def state_type(self, worker: str) -> Any:
        """The type of its states, as its code says it."""
        ...


def data_of(api: NodeApi, worker: str, value: object) -> object:
    """Return a value of a worker as JSON-ready data, for records."""
    return api.data(worker, value) if isinstance(api, DataShower) else jsonable(value)


class StateText(Written, frozen=True):
    """JSON that stands for a state: given to `replace_state`, it takes the type of the old one.

    `declared` is what the code says of the type.
    """

    text: str
    declared: Any = Any

    def put(self, old: object, shown: object) -> object:
        """Return the new state; raise `CommandError` where its type would be another one.

        In the place of None any value goes, and any number in the place of one.
        """
        given, kind = given_of(self.text), type(old)
        if isinstance(old, HandlerStates):
            return handlers_of(given, old, shown)
        new = typed(given, old, self.declared, shown)
        if old is None or type(new) is kind or (kind in NUMBERS and type(new) in NUMBERS):
            return new
        raise CommandError(
            f"VALUE is {a_or_an(type(new).__name__)}, but the state is {a_or_an(kind.__name__)}"
        )


def handlers_of(given: Any, old: HandlerStates, shown: Any) -> HandlerStates:
    """Return the handlers of an `Event` manager with the states that were written."""
    names = [name for name, _ in old]
    both = isinstance(given, list) and all(isinstance(g, list) and len(g) == 2 for g in given)
    if not both or [name for name, _ in given] != [name for name, _ in shown]:
        said = ", ".join(map(str, names)) or "none"
        raise CommandError(f"VALUE must be pairs of handler and state, of those there are: {said}")
    parts = zip(given, old, shown, strict=True)
    return HandlerStates(
        (name, typed(one[1], state, Any, seen[1])) for one, (name, state), seen in parts
    )


def set_state(api: NodeApi, worker: str, text: str) -> None:
    """Put the state that JSON `text` stands for in the place of a worker's.

    Its type is that of the state itself, and not of what a redaction shows of it; what stands as
    it is shown keeps its value, hidden parts too.

    Raises:
        CommandError: as `state_of`; the state stays.
        SsmError: the worker does not run, or is none.
    """
    if not isinstance(api, DataShower):
        api.replace_state(worker, state_of(text, api.get_state(worker)))
        return
    try:
        api.replace_state(worker, StateText(text, api.state_type(worker)))
    except SysError as error:
        if isinstance(error.__cause__, CommandError):
            raise error.__cause__ from None
        raise


def given_of(text: str) -> Any:
    """Return what JSON `text` stands for; raises `CommandError`."""
    try:
        return json_of(text)
    except RepeatedKey as error:
        raise CommandError(f"VALUE: {error}") from error
    except RecursionError as error:
        raise CommandError("VALUE is nested too deeply to be read") from error
    except UnicodeEncodeError as error:
        raise CommandError("VALUE is no UTF-8; write other characters as \\uNNNN") from error
    except msgspec.DecodeError as error:
        raise CommandError(
            f'VALUE is no JSON: {error}; write numbers as 1, text as "x", mappings as {{"x": 1}}'
        ) from error


def state_of(text: str, old: object) -> object:
    """The state that JSON `text` stands for, in the type that the worker's state has now.

    It is read as `state -o json` shows it. Of a number, a text or a list whose type is declared no
    further, all is taken as JSON has it; keys of a mapping are what they are now.

    Raises:
        CommandError: no JSON, not of that type, or a field is missing or none.

    >>> state_of('{"x": 1}', {}), state_of("[1, 2]", (0,)), state_of('{"3": 1}', {2: 1})
    ({'x': 1}, (1, 2), {3: 1})
    """
    return typed(given_of(text), old, Any, jsonable(old))


def typed(given: Any, old: object, declared: Any, shown: Any) -> object:
    """Return decoded JSON in the type of a state; raises `CommandError` as `state_of`.

    Of a `Statem` the state and its data are each of their own type.
    """
    try:
        return PutBack(old, shown).read(given, declared)
    except (ValueError, TypeError) as error:  # msgspec's are among them
        name = type(old).__name__ if old is not None else "state of this worker"
        raise CommandError(f"VALUE is no {name}: {message_of(error)}") from error


def child_spec_of(text: str) -> ChildSpec | Labelled | str:
    """The child spec of a mapping as in a tree file, or the label that `text` is.

    A label and a JSON object behind it are the child of a pool with arguments of its own.

    The mapping has the keys and the complaints of a tree file; `./file.py` is relative to the
    current folder. What depends on the tree around it is left to the node.

    Raises:
        CommandError: it begins like a mapping and is no child spec; every complaint, each with
            its column in `text`.

    >>> child_spec_of("session-1")
    'session-1'
    >>> child_spec_of('session-1 {"size": 3}').args
    {'size': 3}
    >>> child_spec_of("{worker: kv9, start: ssm_cli.machines.kv:kv_store}").id
    'kv9'
    """
    if not text.lstrip().startswith("{"):
        return own_label(text.strip())
    from ssm_cli.spec.modules import Resolver  # noqa: PLC0415 - YAML is slow to import, and rare
    from ssm_cli.spec.walk import TreeReader  # noqa: PLC0415 - as above
    from ssm_cli.spec.yaml_nodes import compose  # noqa: PLC0415 - as above

    root = compose(text)
    if isinstance(root, Problem):
        raise _refusal([root])
    reader = TreeReader(Resolver(Path.cwd()).resolve)
    child = reader.read_child(root)
    if reader.problems or child is None:
        raise _refusal(reader.problems)
    return child


read_arguments = reading_once(msgspec.json.Decoder(dict[str, Any]).decode)


def own_label(text: str) -> Labelled | str:
    """The label that `text` is, with the arguments behind it, if there are any."""
    label, _, given = text.partition(" ")
    if not given.lstrip().startswith("{"):
        return text
    try:
        return Labelled(label, read_arguments(given))
    except (msgspec.MsgspecError, RepeatedKey) as error:
        why = f"the arguments of {label} are no JSON object: {error}"
        raise CommandError(why, column=text.index("{") + 1) from error


def _refusal(problems: Sequence[Problem]) -> CommandError:
    said = "; ".join(f"column {problem.column}: {problem.message}" for problem in problems)
    return CommandError(f"SPEC is no child spec: {said}", column=problems[0].column)
