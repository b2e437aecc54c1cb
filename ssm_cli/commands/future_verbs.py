"""The verbs of trying what might come: one row each, as in `verbs.py`."""

from __future__ import annotations

from ssm_cli.commands.past_verbs import FORCE, TEST_FILE
from ssm_cli.commands.routes import Query, acts, flag
from ssm_cli.commands.verb import AT, OUTPUT, Option, Parameter, Verb

_FUTURES = "/v1/futures"
_FORM = Option(
    "output", ("-o", "--output"), "FORMAT", "text, json or html", ("text", "json", "jsonl", "html")
)
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

FUTURE_VERBS: tuple[Verb, ...] = (
    Verb("chaos", (_TREE,),
         "on a fork, in virtual time: faults and load by a seed; of the tree, or of the file TREE",
         "history",
         acts("chaos", "Give a fork of the tree faults and load, and tell what it survives.",
              Query("seed", "string", "what decides; default 1"),
              Query("steps", "string", "how many faults and inputs; default 1000"),
              Query("span", "string", "in how much time: 90s, 5m, 2h; default 3.6 s a step"),
              Query("skip", "string", "workers that are left out, with commas"),
              flag("page", "`yes`: also the data of a page"),
              *(Query(fault, "string", f"`PATTERN=5%`: in so many steps {what}")
                for fault, what in _WEIGHTS.items()), path=f"{_FUTURES}/chaos"),
         (_SEED,
          Option("steps", ("--steps",), "N", "how many faults and inputs; default 1000"),
          Option("span", ("--for",), "TIME", "in how much virtual time, as 2h"), *_SHARES,
          Option("skip", ("--skip",), "WORKER", "leave it out", kind="list"), _FORM, AT),
         of_file="tree", finds="the tree went down"),
    Verb("check-policy", (_TREE,),
         "place up to K faults in all ways: what the restart limits survive, "
         "and who goes with whom",
         "history",
         acts("check_policy", "Place faults in a tree of stand-ins in all ways.",
              Query("faults", "string", "how many at most; default 3"),
              path=f"{_FUTURES}/check-policy"),
         (Option("faults", ("--faults",), "K", "how many at most; default 3"), OUTPUT, AT),
         of_file="tree", finds="the tree goes down"),
    Verb("fuzz", (Parameter("worker", "worker"),),
         "on a fork: make inputs from the worker's types until it crashes, and write a test of it",
         "history",
         acts("fuzz", "Make inputs of a worker until it crashes, or breaks a rule.",
              Query("worker", "string", "whose inputs", required=True),
              Query("begin", "string", "a record to begin at; default now"),
              Query("seed", "string", "what decides; default 1"),
              Query("steps", "string", "how many inputs; default 20000"),
              Query("invariant", "string", "a rule over `state` that has to hold"),
              Query("beside", "string", "the folder that the test is for"),
              path=f"{_FUTURES}/fuzz"),
         (Option("begin", ("--from",), "RECORD|now", "the state to begin with"), _SEED,
          Option("steps", ("--steps",), "N", "how many inputs; default 20000"),
          Option("invariant", ("--invariant",), "EXPR", "a rule that has to hold", kind="expr"),
          TEST_FILE, FORCE, AT), finds="a crash was found"),
)  # fmt: skip

FUTURES = frozenset(verb.name for verb in FUTURE_VERBS)
