"""The verbs of trying what might come: one row each, as in `verbs.py`."""

from __future__ import annotations

from ssm_cli.commands.routes import ADMIN, LATER_S, Query, Route, flag
from ssm_cli.commands.verb import AT, FORCE, OUTPUT, Option, Parameter, Verb

_BAD = (400, 404, 409)
_FUTURES = "/v1/futures"
_FORM = Option(
    "output", ("-o", "--output"), "FORMAT", "text, json or html", ("text", "json", "jsonl", "html")
)
_FILE = Option("output", ("-o", "--output"), "FILE|FORMAT", "write it there; or text, json")
_SEED = Option("seed", ("--seed",), "N", "what decides: the same does the same again; default 1")
_WEIGHTS = {
    "crash": "a step raises", "kill": "a worker is killed",
    "hang": "a step overruns its limit", "slow": "a step takes most of its limit",
    "fail-init": "a crash, and the next init raises",
    "slow-init": "a crash, and the next init overruns its limit",
    "fill-queue": "the queue is filled with one input", "late": "all timers come late",
    "lose-timer": "a timer never comes", "jump": "the wall clock is set",
}  # fmt: skip
"""The faults, by their options, and what each of them is."""
_SHARES = tuple(
    Option(fault, (f"--{fault}",), "PATTERN=5%", f"in so many steps {what}", kind="list")
    for fault, what in _WEIGHTS.items()
)
_TREE = Parameter("tree", "word", required=False)


def _ask(effect: str, help_: str, *query: Query) -> Route:
    """Return the route of an effect that runs a fork of the tree for some seconds."""
    path = f"{_FUTURES}/{effect.replace('_', '-')}"
    return Route("POST", path, effect, ADMIN, help_, "Past", query=query, failures=_BAD,
                 wait_s=LATER_S)  # fmt: skip


FUTURE_VERBS: tuple[Verb, ...] = (
    Verb(
        "chaos",
        (_TREE,),
        "on a fork, in virtual time: faults and load by a seed; of the tree, or of the file TREE",
        "history",
        _ask("chaos", "Give a fork of the tree faults and load, and tell what it survives.",
             Query("seed", "string", "what decides; default 1"),
             Query("steps", "string", "how many faults and inputs; default 1000"),
             Query("span", "string", "in how much time: 90s, 5m, 2h; default 3.6 s a step"),
             Query("skip", "string", "workers that are left out, with commas"),
             flag("page", "`yes`: also the data of a page"),
             *(Query(fault, "string", f"`PATTERN=5%`: in so many steps {what}")
               for fault, what in _WEIGHTS.items())),
        options=(_SEED,
                 Option("steps", ("--steps",), "N", "how many faults and inputs; default 1000"),
                 Option("span", ("--for",), "TIME", "in how much virtual time, as 2h"),
                 *_SHARES,
                 Option("skip", ("--skip",), "WORKER", "leave it out", kind="list"), _FORM, AT),
        of_file="tree",
    ),
    Verb(
        "check-policy",
        (_TREE,),
        "place up to K faults in all ways: what the restart limits survive, and who goes with whom",
        "history",
        _ask("check_policy", "Place faults in a tree of stand-ins in all ways.",
             Query("faults", "string", "how many at most; default 3")),
        options=(Option("faults", ("--faults",), "K", "how many at most; default 3"), OUTPUT, AT),
        of_file="tree",
    ),
    Verb(
        "fuzz",
        (Parameter("worker", "worker"),),
        "on a fork: make inputs from the worker's types until it crashes, and write a test of it",
        "history",
        _ask("fuzz", "Make inputs of a worker until it crashes, or breaks a rule.",
             Query("worker", "string", "whose inputs", required=True),
             Query("begin", "string", "a record to begin at; default now"),
             Query("seed", "string", "what decides; default 1"),
             Query("steps", "string", "how many inputs; default 20000"),
             Query("invariant", "string", "a rule over `state` that has to hold"),
             Query("beside", "string", "the folder that the test is for")),
        options=(Option("begin", ("--from",), "RECORD|now", "the state to begin with"), _SEED,
                 Option("steps", ("--steps",), "N", "how many inputs; default 20000"),
                 Option("invariant", ("--invariant",), "EXPR", "a rule that has to hold",
                        kind="expr"), _FILE, FORCE, AT),
    ),
)  # fmt: skip

FUTURES = frozenset(verb.name for verb in FUTURE_VERBS)
