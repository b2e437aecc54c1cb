"""Saved pasts and journals that somebody has made or altered: refused, or answered; no defect.

Their checksums are no secret, so each here is right: what is wrong is what they are of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.msgpack import Ext

from ssm_cli import ManualClock, MemoryStore, Node, SsmError, Supervisor
from ssm_cli.cli.past import Looking
from ssm_cli.commands.parse import parse_line
from ssm_cli.commands.records import instant
from ssm_cli.commands.results import Result
from ssm_cli.errors import StorageDamaged, StorageError
from ssm_cli.exit_codes import ExitCode
from ssm_cli.history.journalled import journalled_node
from ssm_cli.history.past import with_past
from ssm_cli.history.saved import forms
from ssm_cli.history.saved.keeping import bytes_of_past, past_in
from ssm_cli.history.saved.writing import ref
from ssm_cli.runtime.durable.records import CHAIN_BYTES, START_OF_CHAIN
from ssm_cli.runtime.engine.cell import SupervisorCell, WorkerCell
from ssm_cli.runtime.engine.recorder import Came
from ssm_cli.simulation.asking import with_futures
from ssm_cli.storage.contents import contents, history
from tests.history.test_saved import a_past, kv_bytes, resealed
from tests.runtime.durable.parts import Add, Boom, GoOn, Later, Send, World, tree, worker
from tests.runtime.durable.parts import Book as Books
from tests.thorough import tries

NUMBERED = {kind: number for number, kind in enumerate(forms.CLASSES)}
WORDS: list[Any] = [
    None, True, 0, -1, 5, 2**62, 1.5, float("nan"), float("inf"), 1e300, "", "x", "kv2", "root",
    b"", b"\x80", [], [1], {}, {"a": 1},
]  # fmt: skip
QUESTIONS = [
    "tree", "log", "crash -n 9", "history -n 99", "history -o json", "at crash", "at 2", "back 2",
    "why 5", "diff 1 4", "state kv2", "state kv2 --at 3", "tree --at 3", "fork 3", "without 3",
    "which-children root", "replay kv2", "blame kv2 x", "when kv2 state == 2", "stats kv2",
]  # fmt: skip


def answers(node: Node, lines: list[str]) -> Iterator[Result]:
    """Ask a past as `ssm open FILE` does."""
    looking, names = Looking(Path("f.past"), alone=False), node.names("worker")
    for line in lines:
        command = parse_line(line.replace("kv2", names[-1] if names else "kv2"), names)
        assert command is not None
        yield looking.look(command, node)


def opened(data: bytes) -> Node:
    return with_futures(past_in(data, "f.past").node, instant)


# -- the file of a saved past ----------------------------------------------------------------------


def altered(body: Any, chance: Random) -> None:
    """Change one thing of a body: a node, a part of one, the root, or what it says of itself."""
    nodes, root = body["nodes"], body["root"]
    node = nodes[at := chance.choice([n for n, one in enumerate(nodes) if len(one) > 1])]
    part, other = chance.randrange(1, len(node)), ref(chance.randrange(len(nodes)))
    word = chance.choice([*WORDS, other, Ext(2, b"x"), Ext(1, b"\xff" * 4)])
    match chance.randrange(7):
        case 0:
            nodes[at] = chance.choice(nodes)
        case 1:
            node[part] = word
        case 2:
            node[part] = other
        case 3:
            del node[part:]
        case 4:
            node.insert(part, word)
        case 5:
            name = chance.choice([*root])
            root[name] = [*root["ring"], word] if name == "ring" else word
        case _:
            body["facts"][chance.choice([*body["facts"]])] = word


@cache
def pasts() -> list[bytes]:
    """Pasts of a small tree, and of random ones with all that there is."""
    random = [node for seed in range(1, 5) if (node := a_past(seed, 30)) is not None]
    return [kv_bytes(), *(bytes_of_past(node)[0] for node in random)]


@settings(max_examples=tries(60, 3000), deadline=None)
@given(st.randoms(use_true_random=False))
def test_an_altered_past_is_refused_or_answers_and_is_no_defect(chance: Random) -> None:
    data = resealed(chance.choice(pasts()), partial(altered, chance=chance))
    try:
        node = opened(data)
    except StorageError as error:
        assert str(error).startswith("f.past ")  # noqa: PT017 - others do not matter
        return
    for result in answers(node, chance.sample(QUESTIONS, 5)):
        assert result.exit_code is not ExitCode.BUG


@settings(max_examples=tries(200, 3000), deadline=None)
@given(st.data())
def test_a_past_of_which_any_byte_is_changed_left_out_or_more_is_refused(
    data: st.DataObject,
) -> None:
    whole = kv_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.binary(max_size=3).filter(lambda some: some != whole[at : at + 1]))
    with pytest.raises(StorageError, match=r"f\.past"):
        opened(whole[:at] + other + whole[at + 1 :])


def index_of(body: Any, kind: type) -> int:
    """The first node of a class."""
    return next(n for n, node in enumerate(body["nodes"]) if node[0] == NUMBERED[kind])


def put(body: Any, kind: type, name: str, value: Any) -> None:
    """Put another value in the place of a field of an object."""
    body["nodes"][index_of(body, kind)][1 + forms.FIELDS[kind].index(name)] = value


FORGED: dict[str, tuple[Callable[[Any], object], str]] = {
    "an outcome that is a supervisor": (
        lambda body: put(body, Came, "outcome", ref(index_of(body, SupervisorCell))),
        r"at node \d+: `outcome` of a Came is a SupervisorCell that it cannot be",
    ),
    "a supervisor that is above itself": (
        lambda body: put(body, SupervisorCell, "parent", ref(index_of(body, SupervisorCell))),
        "root is above itself",
    ),
    "a worker that has no supervisor": (
        lambda body: put(body, WorkerCell, "parent", None), "is no child of",
    ),
    "an entry that is none": (lambda body: body["root"].update(ring=[7]), "its ring is none"),
    "a time that is none": (
        lambda body: put(body, WorkerCell, "since_s", float("nan")), "`since_s` of a WorkerCell",
    ),
    "a date that is in no calendar": (
        lambda body: body["facts"].update(at_s=1e300), "made at no time",
    ),
    "no facts": (lambda body: body.pop("facts"), r"it does not fit together \(KeyError: 'facts'\)"),
}  # fmt: skip


@pytest.mark.parametrize("what", FORGED)
def test_what_a_file_says_of_an_object_is_of_the_types_that_it_has(what: str) -> None:
    change, said = FORGED[what]
    with pytest.raises(StorageDamaged, match=rf"f\.past is damaged.*{said}"):
        opened(resealed(kv_bytes(), change))


def test_what_does_not_fit_and_is_found_by_a_question_alone_is_damage_too() -> None:
    node = opened(kv_bytes())
    node.tree = lambda: {}["x"]  # type: ignore[index]  # stands for any such part
    [result] = answers(node, ["tree"])
    assert (result.exit_code, result.lines[-1]) == (
        ExitCode.IO_ERROR,
        "f.past is damaged, unless ssm has a defect: it does not fit together (KeyError: 'x')",
    )


# -- the rows of a journal -------------------------------------------------------------------------

SPEC = tree(
    worker("a", quarantine=2), worker("b", on_crash="init"), worker("g", Books),
    Supervisor("p", "simple_one_for_one", [worker("w")]), snapshot_every=9,
)  # fmt: skip


@cache
def rows(seed: int) -> tuple[dict[int, bytes], dict[str, bytes]]:
    """The entries and the cells of a tree that was killed."""
    chance, world = Random(seed), World(SPEC)
    world.node.start_child("p", "x")
    for n in range(16):
        asked = [Add(n), Boom(), Send("b", n), Later("k", 50, n)]
        for name, message in (
            (chance.choice(["a", "b", "p:x"]), chance.choice(asked)),
            ("g", GoOn(n)),
        ):
            try:
                world.node.call(name, message, request_id=f"r{n}{name}")
            except SsmError:
                continue
    return dict(world.store._entries), dict(world.store._cells)


def copies(seed: int) -> tuple[dict[int, bytes], dict[str, bytes]]:
    entries, cells = rows(seed)
    return {**entries}, {**cells}


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where the parts of a value are."""
    pairs = (
        enumerate(value)
        if isinstance(value, list)
        else value.items()
        if isinstance(value, dict)
        else ()
    )
    for key, part in pairs:
        yield (*above, key)
        yield from places(part, (*above, key))


def rewritten(body: bytes, chance: Random) -> bytes:
    """Change a byte of a row, or a part of what it says."""
    at = chance.randrange(len(body))
    if chance.random() < 0.3:
        return body[:at] + chance.randbytes(chance.randrange(3)) + body[at + chance.randrange(2) :]
    value = msgspec.msgpack.decode(body)
    *way, last = chance.choice([*places(value)])
    part = value
    for key in way:
        part = part[key]
    part[last] = chance.choice(WORDS)
    return msgspec.msgpack.encode(value)


def chained(chain: bytes, body: bytes) -> bytes:
    return blake2b(chain + body, digest_size=CHAIN_BYTES).digest() + body


def forged(chance: Random, seed: int) -> MemoryStore:
    """A store of which one row is another, with all checksums as they are to be."""
    entries, cells = copies(seed)
    if chance.random() < 0.5:
        which = chance.choice([*entries])
        for number in (number for number in sorted(entries) if number >= which):
            before, body = entries.get(number - 1, START_OF_CHAIN), entries[number][CHAIN_BYTES:]
            body = rewritten(body, chance) if number == which else body
            entries[number] = chained(before[:CHAIN_BYTES], body)
    else:
        key = chance.choice([*cells])
        cells[key] = chained(b"", rewritten(cells[key][CHAIN_BYTES:], chance))
    return store_of(entries, cells)


def store_of(entries: dict[int, bytes], cells: dict[str, bytes]) -> MemoryStore:
    store = MemoryStore()
    store._entries, store._cells, store._last = entries, cells, max(entries)
    return store


def copied(store: MemoryStore) -> MemoryStore:
    return store_of(dict(store._entries), dict(store._cells))


def ask(node: Node, *lines: str) -> list[Result]:
    """Ask a past that a journal holds."""
    looking, names = Looking(Path(), alone=False), node.names("worker")
    commands = [parse_line(line, names) for line in lines]
    with_past(node, instant)
    return [looking.look(command, node) for command in commands if command is not None]


@settings(max_examples=tries(100, 3000), deadline=None)
@given(st.randoms(use_true_random=False))
def test_an_altered_journal_is_refused_or_read_and_is_no_defect(chance: Random) -> None:
    store = forged(chance, chance.randrange(4))

    def start() -> None:
        node = Node(SPEC, store=copied(store), clock=ManualClock()).start()
        node.call("a", Add(1))
        node.quarantined()
        node.stop()

    def look() -> None:
        node, _ = journalled_node(copied(store), SPEC, "t")
        ask(
            node, "tree", "history -n 99", "history -o json", "crash", "at crash", "fork 9", "why 5"
        )

    def read() -> None:
        assert len([*history(copied(store))]) > 0
        contents(copied(store))

    for do in (start, look, read):
        try:
            do()
        except SsmError:
            continue


@settings(max_examples=tries(100, 2000), deadline=None)
@given(st.randoms(use_true_random=False))
def test_a_row_behind_the_saved_states_whose_checksum_is_wrong_is_refused(chance: Random) -> None:
    entries, cells = copies(chance.randrange(4))
    head = contents(store_of(dict(entries), dict(cells))).head
    held: Any = chance.choice([entries, cells])
    key = chance.choice([key for key in held if held is cells or key > head.entry])
    row, at = held[key], chance.randrange(len(held[key]))
    held[key] = row[:at] + bytes([row[at] ^ (1 << chance.randrange(8))]) + row[at + 1 :]
    with pytest.raises(StorageDamaged, match="is not what was written"):
        read_all(store_of(entries, cells))


def read_all(store: MemoryStore) -> None:
    """Read what is stored, and start a tree from it."""
    contents(store)
    Node(SPEC, store=store).start()


def test_a_question_to_a_journal_that_has_nothing_behind_its_saved_states_is_answered() -> None:
    world = World(SPEC)
    world.node.call("a", Add(1))
    world.node.stop()
    node, _ = journalled_node(world.store, SPEC, "t")
    [result] = ask(node, "why 1")
    assert result.exit_code is ExitCode.REFUSED
    assert "record 1 is not remembered here; none is" in result.lines[-1]
