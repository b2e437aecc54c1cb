"""Stores that fail, are late, or are somebody else's by now; states that are saved."""

from __future__ import annotations

from typing import Any

from ssm_cli import Fenced, StorageError, Supervisor, Worker
from ssm_cli.runtime.durable.life import Life, take_given
from ssm_cli.runtime.durable.rebuild import Recovered
from ssm_cli.runtime.durable.snapshots import HEAD, STATE
from tests.faults.recovery import Keeps, dies_again, lived, machine, tree
from tests.faults.stage import Scenario, Stage


def some(stage: Stage, *words: str) -> None:
    for word in words:
        stage.ask("a", word.encode())
        stage.ask("g", word.encode())
    stage.do("cast", "g", b"one")
    stage.do("run")


def refusing(stage: Stage, **flags: Any) -> Any:
    return tree(stage, flags={"on_storage_error": "refuse", "snapshot_every": 5, **flags})


def cannot_write(stage: Stage) -> None:
    """Nothing can be written for a while: what was not written has not happened."""
    stage.start()
    some(stage, "timer", "cast", "self", "on")
    stage.store.failing = StorageError("full")
    some(stage, "one", "cast", "self", "timer", "on", "early")
    stage.call("a", b"one", request_id="r")
    stage.call("a", b"crash")
    stage.call("g", b"stop")
    stage.act("run 6 s", stage.node.run, 6.0)
    stage.do("replace_state", "a", (3, "three"))
    stage.do("kill", "a")
    stage.do("run")
    stage.do("fork")
    stage.store.failing = None
    some(stage, "one", "cast", "on")
    stage.act("run 10 s", stage.node.run, 10.0)
    some(stage, "one", "one", "one")
    for _ in range(4):
        stage.call("a", b"crash")
    stage.store.failing = StorageError("full")
    stage.call("a", b"one")
    stage.do("release_input", 1)
    stage.stop()
    stage.store.failing = None


def is_late(stage: Stage) -> None:
    """A store that tells later: inputs go on meanwhile, and wait behind what is being written."""
    stage.store.late = True
    stage.start()
    for round_ in range(3):
        some(stage, "cast", "timer", "on", "later", "self", "stop" if round_ == 1 else "one")
        stage.do("fork")
        stage.act("land", stage.store.land)
        stage.do("run")
    for _ in range(12):
        stage.ask("a", b"one")
        stage.do("run")
    stage.do("cast", "a", b"one")
    stage.act("land", stage.store.land)
    stage.do("run")
    some(stage, "one", "crash", "ends")
    stage.store.failing = StorageError("full")
    some(stage, "cast", "self", "stop")
    stage.act("land", stage.store.land)
    stage.do("run")
    stage.store.failing = None
    some(stage, "one")
    stage.act("land", stage.store.land)
    stage.store.late = False
    some(stage, "one")
    stage.stop()


def belongs_to_another(stage: Stage) -> None:
    """Another owner writes there now: the tree ends, and what it has not written is not kept."""
    stage.start()
    some(stage, "one")
    stage.store.failing = Fenced("another owner")
    some(stage, "one", "cast")
    stage.call("a", b"one")
    stage.stop()
    stage.start()
    stage.store.failing = None


def saved_now_and_then(stage: Stage) -> Any:
    def worker(name: str, **options: Any) -> Any:
        return Worker(name, machine(), persist="snapshot", **options)

    children = [
        worker("a", save_inputs=2, on_crash="saved"),
        worker("b", save_seconds=1.0, on_crash="last_good"),
        worker("d", on_crash="saved"),
        Worker("g", Keeps, persist="snapshot", save_inputs=3),
        stage.worker("c"),
    ]
    return Supervisor("root", children=children, intensity=100, on_storage_error="refuse")


def snapshots(stage: Stage) -> None:
    """States that are saved by inputs, by time, and at the end."""
    stage.start()
    for word in ("one", "two", "three", "timer", "thing", "four"):
        for name in "abdg":
            stage.ask(name, word)
    stage.do("run")
    stage.act("run 3 s", stage.node.run, 3.0)
    stage.call("b", b"one")
    stage.call("b", b"crash")
    stage.act("run 3 s", stage.node.run, 3.0)
    for name in "abdg":
        stage.call(name, b"crash")
    stage.do("replace_state", "a", (9, "nine"))
    stage.do("terminate_child", "root", "b")
    stage.do("restart_child", "root", "b")
    stage.store.failing = StorageError("full")
    stage.call("a", b"one")
    stage.call("a", b"two")
    stage.store.failing = None
    stage.call("a", b"three")
    stage.renew()
    stage.start()
    stage.stop()
    failing = machine(restore=dies_again)
    anew: dict[str, Any] = {"persist": "snapshot", "on_unrecoverable": "init"}
    stage.renew(Supervisor("root", children=[Worker("a", failing, **anew)]))
    stage.start()
    stage.stop()
    stage.renew(tree(stage))
    stage.start()
    stage.stop()


class Ear:
    """Takes what a life has decoded, as whoever hears a recovery does."""

    def hear(self, seq: int, record: Any, life: Life | None) -> None:
        if life is not None:
            take_given(life)

    def heard(self, seq: int, run: Any, life: Life, before: Any, taken: Any) -> None:
        assert len(run) == len(taken)


def damaged(stage: Stage) -> None:
    """What is stored is not what was written, or of another ssm: nothing starts."""
    lived(stage)
    stage.start()
    stage.stop()
    cells, entries = dict(stage.store._cells), dict(stage.store._entries)

    def tried() -> None:
        stage.renew()
        stage.start()
        stage.store._cells, stage.store._entries = dict(cells), dict(entries)

    some_cell = cells[STATE + "a"]
    head = stage.store._cells.pop(HEAD)
    for number, entry in list(entries.items())[:1]:
        for bad in (entry[:-1], b"", entry[:16] + b"x" * 40):
            stage.store._cells.pop(HEAD, None)
            stage.store._entries[number] = bad
            tried()
    for cell in (some_cell[:-1], head, b""):
        stage.store._cells[STATE + "a"] = cell
        stage.store._cells.pop(HEAD, None)
        tried()
    stage.store._cells[HEAD] = some_cell
    tried()
    stage.store._cells.pop(HEAD)
    del stage.store._entries[min(entries)]
    tried()
    stage.act("look", lambda: Recovered(stage.store, stage.node.spec).look())
    stage.store._cells.pop(HEAD)
    stage.act("see", lambda: Recovered(stage.store, stage.node.spec, 1, Ear()))
    stage.act("see all", lambda: Recovered(stage.store, stage.node.spec, seen=Ear()))


def without_store(stage: Stage) -> None:
    """A durable worker in a node without a store."""
    stage.start()
    for verb in ("quarantined", "stored"):
        stage.do(verb)
    stage.do("start_child", "root", Worker("x", machine(), persist="journal"))
    stage.stop()


def pooled(stage: Stage) -> Any:
    del stage
    template = Worker("w", machine(), persist="journal")
    pool = Supervisor("pool", "simple_one_for_one", [template], max_children=2, intensity=100)
    return Supervisor("root", children=[pool], intensity=100)


def durable_children(stage: Stage) -> None:
    """Children of a pool that come back: with the process, with their pool, not once ended."""
    stage.start()
    for label in ("one", "two", "three"):
        stage.do("start_child", "pool", label, {"size": 1})
    stage.ask("pool:one", b"one")
    stage.do("run")
    stage.stop()
    stage.renew()
    stage.start()
    stage.do("terminate_child", "pool", "two")
    stage.do("terminate_child", "root", "pool")
    stage.do("restart_child", "root", "pool")
    stage.do("restart_child", "pool", "one")
    stage.stop()


DURABLE: dict[str, Any] = {"durable": True, "kills": True, "defers": True}

SCENARIOS = [
    Scenario("cannot_write", refusing, cannot_write, frozenset("ac"), **DURABLE),
    Scenario("is_late", refusing, is_late, frozenset("acg"), **DURABLE),
    Scenario("belongs_to_another", tree, belongs_to_another, may_end=True, **DURABLE),
    Scenario("snapshots", saved_now_and_then, snapshots, frozenset("abdg"), **DURABLE),
    Scenario("damaged", tree, damaged, frozenset("abgc"), may_end=True, **DURABLE),
    Scenario("durable_children", pooled, durable_children,
             frozenset(("pool", "pool:one", "pool:two")), **DURABLE),
    Scenario("without_store", lambda stage: Supervisor("root", children=[stage.worker("c")]),
             without_store, frozenset("x"), kills=True),
]  # fmt: skip
