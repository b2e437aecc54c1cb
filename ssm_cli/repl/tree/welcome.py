"""What an empty screen says: what to type, in the words of this very tree."""

from __future__ import annotations

from rich.text import Text

from ssm_cli.codec.port import Constructor
from ssm_cli.errors import SsmError
from ssm_cli.render.sanitize import one_line
from ssm_cli.repl.tree.view import TreeView
from ssm_cli.runtime.api import NodeApi

LOOKED_AT = 50  # rows of the tree among which a worker is looked for
EXAMPLES = {"str": "x", "int": "1", "float": "1.5", "bool": "true"}


def welcome_lines(api: NodeApi, tree: TreeView, leaving: str) -> tuple[Text, ...]:
    """Return the lines of an output that is empty yet.

    Args:
        api: asked for the inputs of the first worker.
        tree: has the first worker.
        leaving: what Ctrl-D does.
    """
    rows = map(tree.row, range(min(tree.index.count, LOOKED_AT)))
    workers = (row.node.id for row in rows if row.node.kind == "worker" and not row.hidden)
    worker = next(workers, None)
    if worker is None:
        example: list[Text] = [Text("  no worker yet; `help start-child` says how to add one")]
    else:
        example = [
            Text.assemble("  type a worker and an input, and press Enter:  ",
                          (one_line(example_of(api, worker)), "name")),
            Text.assemble("  Tab completes; ", (f"help {one_line(worker)}", "name"),
                          " shows what it takes; ", ("tree", "name"), " and ", ("log", "name"),
                          " what there is"),
        ]  # fmt: skip
    return (
        *example,
        Text("  F1, Ctrl-X h: all keys and commands; F6, Ctrl-X o: act on a row of the tree"),
        Text(f"  {leaving}"),
    )


def example_of(api: NodeApi, worker: str) -> str:
    """Return a call to a worker, as typed: with values where those of its fields are plain."""
    try:
        constructors = api.constructors(worker)
    except SsmError:
        constructors = ()
    return f"{worker} {example_input(constructors[0])}" if constructors else f"{worker} INPUT"


def example_input(constructor: Constructor) -> str:
    """Return an input, made of values of each type that has one; else its signature.

    >>> from ssm_cli.codec.port import Field
    >>> example_input(Constructor("Store", (Field("key", "str"), Field("value", "int"))))
    'Store x 1'
    >>> example_input(Constructor("Ask", (Field("caller", "Caller"),)))
    'Ask caller:Caller'
    """
    fields = [field for field in constructor.fields if field.required]
    values = [(field.choices or (EXAMPLES.get(field.type, ""),))[0] for field in fields]
    return " ".join((constructor.name, *values)) if all(values) else constructor.signature
