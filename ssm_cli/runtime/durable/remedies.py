"""What can be done about what is kept and cannot be used: by `ssm data`, or else in the tree."""

from __future__ import annotations

from ssm_cli.runtime.durable.ports import Afar, Store


def for_state(store: Store, worker: str) -> str:
    """Return what can be done about a worker that cannot go on, behind `or`."""
    if isinstance(store, Afar):
        return _begin_by_init(worker)
    return f"see `ssm data repair {worker} --data {store.where()}` for what can be done"


def _begin_by_init(worker: str) -> str:
    """Return how a worker begins by `init` where no command of `ssm data` reaches what is kept."""
    return (
        f"let {worker} begin by init: `on_unrecoverable: init` in its settings, and a restart, set "
        "its state aside (`ssm data` does not reach it there)"
    )


def for_rename(store: Store, old: str, worker: str) -> str:
    """Return what can be done about a state that may be that of a worker under its old name."""
    if isinstance(store, Afar):
        known = f"If {old} is called {worker} now: call it {old} again"
        return f"{known}; if not, {_begin_by_init(worker)}"
    where = store.where()
    return (
        f"If {old} is called {worker} now: `ssm data repair {old} --rename {old} {worker} "
        f"--data {where}`; if not, let {worker} begin by init: `ssm data repair {worker} --as-new "
        f"--tree FILE --data {where}`, or set that state aside: `ssm data repair {old} --forget "
        f"--data {where}`"
    )


def for_input(store: Store, worker: str, number: int) -> str:
    """Return how an input in quarantine is let in again."""
    if isinstance(store, Afar):
        return f"`quarantine: never` in the settings of {worker}, and a restart, let it in again"
    return f"`ssm data quarantine` shows why, and lets it in again with `--retry {number}`"
