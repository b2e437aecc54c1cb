"""The verbs of changing code while it runs: one row each, as in `verbs.py`."""

from __future__ import annotations

from ssm_cli.commands.routes import ADMIN, PAST, Query, Route, flag
from ssm_cli.commands.verb import OUTPUT, Option, Parameter, Verb

_BAD = (400, 404, 409)
_YES = Option("sure", ("--yes",), "", "do it, whatever differs", kind="flag")
_NO = Option("no", ("--no",), "", "only say what would be", kind="flag")
_LAST = Option("last", ("-n", "--last"), "N", "rehearse the last N inputs of each worker (100)",
               kind="number")  # fmt: skip
_SURE = flag("sure", "`yes` does it, whatever differs; `no` only tells")
_PLAN = Query("plan", "string", "the plan that was agreed to; another one is only told")


def _ask(effect: str, help_: str, *query: Query) -> Route:
    return Route(
        "POST", f"{PAST}/{effect}", effect, ADMIN, help_, "Past", query=query, failures=_BAD
    )


RELOAD_VERBS: tuple[Verb, ...] = (
    Verb(
        "reload",
        (Parameter("what", "word", required=False, shown="WORKER|MODULE"),),
        "load changed code, rehearse it on what is remembered, and go on with it; "
        "asks where something differs",
        "history",
        _ask("reload", "Load changed code, rehearse it, and go on with it.",
             Query("what", "string", "a worker, or a module by its file; default: all"),
             _SURE, _PLAN, Query("last", "integer", "rehearse so many inputs of each worker")),
        options=(_YES, _NO, _LAST, OUTPUT),
    ),
    Verb(
        "rollback",
        (Parameter("worker", "worker", required=False),),
        "go back to the code and the state from before the last reload; "
        "what came since is stepped again",
        "history",
        _ask("rollback", "Go back to the code and the state from before the last reload.",
             Query("worker", "string", "whose; default: all of the last reload"), _SURE, _PLAN),
        options=(_YES, _NO, OUTPUT),
    ),
    Verb(
        "shadow",
        (Parameter("worker", "worker"),),
        "give other code the live inputs as well, and compare its answers, which reach nobody; "
        "without `--code`: how far it is",
        "history",
        _ask("shadow",
             "Compare other code on live inputs; over TCP that of the tree's folder alone.",
             Query("worker", "string", "whose inputs", required=True),
             Query("code", "string", "a file where the tree runs; default: tell how far it is"),
             Query("count", "integer", "for so many inputs; default 1000"),
             flag("off", "`yes` ends it")),
        options=(Option("code", ("--code",), "FILE", "the other code"),
                 Option("count", ("--for",), "N", "for so many inputs (1000)"),
                 Option("off", ("--off",), "", "end it", kind="flag"), OUTPUT),
    ),
    Verb(
        "promote",
        (Parameter("worker", "worker"),),
        "go on with the code of WORKER's shadow, once that has answered alike; else asks",
        "history",
        _ask("promote", "Go on with the code of a worker's shadow.",
             Query("worker", "string", "whose", required=True), _SURE, _PLAN),
        options=(_YES, _NO, OUTPUT),
    ),
)  # fmt: skip
