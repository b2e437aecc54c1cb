"""Which room may know which: imports point down, and the core touches nothing but values."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from graphlib import TopologicalSorter

from tests.architecture.exceptions import only_excused
from tests.architecture.source import PACKAGE, SHARED, Module, modules

LAYERS = {
    "core": {"behaviour", "codec", "spec", "supervision", "machines"},
    "runtime": {"runtime", "storage"},
    "edges": {"history", "simulation", "commands", "render", "repl", "http", "cluster"},
    "top": {"cli", "testing"},
}

MAY_IMPORT: dict[str, set[str]] = {
    "behaviour": {"codec"},
    "codec": set(),
    "machines": {"behaviour"},
    "spec": {"behaviour", "codec"},
    "supervision": {"behaviour", "codec", "spec"},
    "runtime": {"behaviour", "codec", "spec", "supervision"},
    "cluster": {"commands", "http", "runtime", "spec"},
    "storage": {"behaviour", "codec", "runtime", "spec"},
    "history": {"behaviour", "codec", "runtime", "spec", "supervision"},
    "simulation": {"behaviour", "codec", "history", "runtime", "spec"},
    "commands": {"behaviour", "codec", "history", "runtime", "simulation", "spec", "supervision"},
    "render": {"commands", "runtime"},
    "repl": {"behaviour", "codec", "commands", "render", "runtime", "spec"},
    "http": {"codec", "commands", "runtime", "simulation", "spec", "supervision"},
    "cli": {
        "cluster",
        "storage",
        "render",
        "commands",
        "history",
        "http",
        "repl",
        "runtime",
        "simulation",
        "spec",
    },
    "testing": {"commands", "history", "runtime", "simulation", "spec"},
}
"""The rooms that each room imports from, besides what stands beside the rooms (`beside`)."""

RECORDS = {"outside", "reports", "traces", "views"}

WITHIN_RUNTIME = {
    "engine": {"engine", "clock", *RECORDS},
    "performer": {"performer", "durable", "remote", "engine", "looking", *RECORDS},
    "looking": {"looking", "performer", "engine", "outside", "reports", "views"},
    "remote": {"remote", "performer", "engine", "reports", "views", "clock"},
    "recording": {"recording", "performer", "engine", "clock"},
    "durable": {"durable", "engine", "looking", "outside", "reports", "views", "clock"},
    "runs": {"runs", "driver", "engine", "outside", "clock"},
}
"""What the inner rooms of the runtime import of the runtime: the node and the driver are above."""

OUTSIDE_THE_CORE = {
    "asyncio", "socket", "threading", "subprocess", "time", "random", "os", "logging",
    "selectors", "uuid", "secrets", "_thread", "multiprocessing", "concurrent",
}  # fmt: skip

MAKES_THREADS = {"threading", "_thread", "multiprocessing", "concurrent"}

READS_CLOCKS = {
    "runtime.clock": "the one file that reads clocks for a tree",
    "commands.execute": "default of an argument: how long a call took, for a person",
    "history.timeline": "default of an argument: how long a question takes",
    "history.scratch": "default of an argument: how long a fork goes on",
    "history.trying": "default of an argument: how long a search takes",
    "simulation.asking": "default of an argument: how long a run takes",
    "history.reload.reloads": "default of an argument: how long steps take",
    "commands.writing": "when a page was made",
    "http.client.connection": "how long a connection has been idle",
    "cli.listing": "until when to wait for a worker",
    "cli.follow": "a pause between two looks",
    "render.outlet": "for how long nobody has read, at the end of a program",
    "repl.session": "default of an argument: when to draw the next frame",
}

ASKS_ASYNCIO_IN_RUNTIME = {"runtime.driver", "runtime.runs.tasks"}


def layer_of(room: str) -> int:
    return next(level for level, rooms in enumerate(LAYERS.values()) if room in rooms)


def beside(room: str) -> set[str]:
    """All may use the errors, and all above the core files; who ends the process, its codes."""
    levels = [{"errors"}, {"private"}, {"exit_codes"}, set()]
    return set().union(*levels[: layer_of(room) + 1])


def of_rooms() -> list[Module]:
    return [module for module in modules() if module.room not in SHARED]


def test_every_room_has_its_place_in_the_table() -> None:
    found = {module.room for module in of_rooms()}
    placed = set().union(*LAYERS.values())
    assert found == placed == set(MAY_IMPORT), "give a new room a layer and its permissions here"


def test_a_room_imports_only_what_the_table_allows() -> None:
    wrong = [
        f"{module.place} imports {room}: {module.room} may import {sorted(allowed)}"
        for module in of_rooms()
        for allowed in [MAY_IMPORT[module.room]]
        for room in sorted(module.rooms - allowed - beside(module.room))
    ]
    assert not wrong, "\n".join(wrong)


def test_the_table_allows_nothing_that_is_not_used() -> None:
    used: dict[str, set[str]] = {room: set() for room in MAY_IMPORT}
    for module in of_rooms():
        used[module.room] |= module.rooms - beside(module.room)
    assert used == MAY_IMPORT


def test_permissions_point_down_or_sideways_never_up() -> None:
    up = [
        f"{room} -> {below}"
        for room, allowed in MAY_IMPORT.items()
        for below in allowed
        if layer_of(below) > layer_of(room)
    ]
    assert not up


def test_rooms_form_no_cycle() -> None:
    TopologicalSorter(MAY_IMPORT).prepare()


def test_modules_form_no_cycle_not_even_through_late_imports_or_types() -> None:
    only_excused("cycle of modules", cycles({module.name: module.known for module in modules()}))


def test_what_stands_beside_each_other_in_a_folder_forms_no_cycle_at_any_level() -> None:
    graph: dict[str, set[str]] = {}
    for module in modules():
        for other in module.known:
            here, there = siblings(module.name, other)
            graph.setdefault(here, set()).add(there)
    only_excused("cycle of folders", cycles(graph))


def siblings(one: str, other: str) -> tuple[str, str]:
    """The two modules or folders in the innermost common folder that hold two modules.

    >>> siblings("http.app", "http.client.wire")
    ('http.app', 'http.client')
    """
    left, right = one.split("."), other.split(".")
    level = next(n for n, (a, b) in enumerate(zip(left, right, strict=False), 1) if a != b)
    return ".".join(left[:level]), ".".join(right[:level])


def cycles(graph: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Each group of nodes that reach each other, as one text."""
    reach = {node: reachable(graph, node) for node in graph}
    groups = {frozenset(n for n in reach[node] if node in reach.get(n, ())) for node in graph}
    yield from (", ".join(sorted(group)) for group in groups if group)


def reachable(graph: Mapping[str, Collection[str]], start: str) -> set[str]:
    """The nodes that can be reached from one by one edge or more."""
    found: set[str] = set()
    todo = [*graph.get(start, ())]
    while todo:
        node = todo.pop()
        if node not in found:
            found.add(node)
            todo += graph.get(node, ())
    return found


def test_exit_codes_imports_errors_alone() -> None:
    (codes,) = (module for module in modules() if module.name == "exit_codes")
    assert codes.rooms == {"errors"}


def test_private_files_import_errors_alone() -> None:
    (private,) = (module for module in modules() if module.name == "private")
    assert private.rooms == {"errors"}


def test_errors_imports_nothing_of_the_package() -> None:
    (errors,) = (module for module in modules() if module.name == "errors")
    assert not errors.rooms


def test_the_program_enters_through_cli_and_nothing_else() -> None:
    (entry,) = (module for module in modules() if module.name == "__main__")
    assert entry.rooms == {"cli"}


def test_the_core_imports_nothing_that_touches_the_world() -> None:
    wrong = [
        f"{module.place} imports {name}"
        for module in of_rooms()
        if module.room in LAYERS["core"]
        for name in sorted(module.foreign & OUTSIDE_THE_CORE)
    ]
    assert not wrong, "\n".join(wrong)


def test_inside_the_runtime_the_engine_knows_no_performer_and_neither_knows_the_node() -> None:
    wrong = []
    for module in modules():
        room, _, rest = module.name.partition(".")
        allowed = WITHIN_RUNTIME.get(rest.partition(".")[0]) if room == "runtime" else None
        prefix = f"{PACKAGE}.runtime."
        inside = {n.removeprefix(prefix).split(".")[0] for n in module.imports if prefix in n}
        if allowed is not None and inside - allowed:
            wrong.append(f"{module.place} imports {sorted(inside - allowed)}")
    assert not wrong, "\n".join(wrong)


def test_nothing_makes_threads_or_processes() -> None:
    makers = {m.place: m.foreign & MAKES_THREADS for m in modules() if m.foreign & MAKES_THREADS}
    assert not makers


def test_nothing_hands_work_to_a_pool_of_threads() -> None:
    ways = {"run_in_executor", "to_thread", "patch_stdout"}
    used = [
        f"{module.place}:{node.lineno} uses {node.attr}"
        for module in modules()
        for node in module.nodes
        if isinstance(node, ast.Attribute) and node.attr in ways
    ]
    assert not used


def test_clocks_are_read_where_the_table_says() -> None:
    readers = {module.name for module in modules() if "time" in module.foreign}
    assert readers == set(READS_CLOCKS), READS_CLOCKS


def test_nobody_asks_datetime_what_time_it_is() -> None:
    asked = [
        f"{module.place}:{node.lineno}"
        for module in modules()
        for node in module.nodes
        if isinstance(node, ast.Attribute)
        and (node.attr in {"utcnow", "today"} or ast.unparse(node) == "datetime.now")
    ]
    assert not asked


def test_in_the_runtime_only_the_driver_and_the_tasks_of_runs_know_asyncio() -> None:
    runtime = [module for module in modules() if module.room == "runtime"]
    assert {m.name for m in runtime if "asyncio" in m.foreign} == ASKS_ASYNCIO_IN_RUNTIME


def test_one_file_knows_nats_and_the_protocol_knows_nothing_of_the_world() -> None:
    cluster = [module for module in modules() if module.room == "cluster"]
    assert {m.name for m in cluster if "nats" in m.foreign} == {"cluster.jetstream.wire"}
    pure = [m for m in cluster if m.name.startswith("cluster.protocol.")]
    assert pure
    assert not {m.place: m.foreign & OUTSIDE_THE_CORE for m in pure if m.foreign & OUTSIDE_THE_CORE}


def test_chance_comes_from_a_seeded_source_only() -> None:
    for module in modules():
        drawn = {name for name in module.imports if name.split(".")[0] == "random"}
        assert drawn <= {"random.Random"}, module.place


def test_no_module_keeps_state_by_a_global_statement() -> None:
    found = [
        f"{module.place}:{node.lineno}"
        for module in modules()
        for node in module.nodes
        if isinstance(node, ast.Global)
    ]
    assert not found
