"""The verbs of trying what might have been: one row each, as in `verbs.py`."""

from __future__ import annotations

from ssm_cli.commands.routes import ADMIN, LATER_S, PAST, READ, Query, Route, flag
from ssm_cli.commands.verb import AT, FORCE, INTO, OUTPUT, Option, Parameter, Verb

_BAD = (400, 404, 409)
_WORKER = Parameter("worker", "worker")
_YES = Option("sure", ("--yes",), "", "do it", kind="flag")
_FILE = Option("output", ("-o", "--output"), "FILE|FORMAT", "write it there; or text, json")


def _ask(effect: str, help_: str, *query: Query) -> Route:
    """Return the route of an effect that makes or changes a scratch tree, or steps user code."""
    path = f"{PAST}/{effect}"
    return Route("POST", path, effect, ADMIN, help_, "Past", query=query, failures=_BAD,
                 wait_s=LATER_S)  # fmt: skip


SCRATCH_VERBS: tuple[Verb, ...] = (
    Verb(
        "fork",
        (Parameter("record", "word", required=False),),
        "go on from here in a scratch tree: nothing of it leaves the process or is kept",
        "history",
        _ask("fork",
             "Make a scratch tree of a record; over TCP `code` is of the tree's folder alone.",
             Query("record", "string", "a record"),
             Query("code", "string", "a file that its workers are stepped by; default: their own")),
        options=(Option("code", ("--code",), "FILE", "step by other code"), OUTPUT, AT, INTO),
    ),
    Verb(
        "forks",
        (),
        "list the forks: behind which record they were made, and where they have got to",
        "history",
        Route("GET", f"{PAST}/forks", "forks", READ, "The forks that there are.", "Past"),
        options=(OUTPUT, AT, INTO),
    ),
    Verb(
        "drop",
        (Parameter("worker", "word", required=False, shown="FORK|WORKER"),),
        "forget FORK, or leave this one; at a break: drop the input that WORKER is held with",
        "history",
        _ask("drop", "Forget a fork; at now, drop the input that a worker is held with.",
             Query("worker", "string", "a fork; who is held at a break; default: the only one")),
        options=(OUTPUT, AT, INTO),
    ),
    Verb(
        "without",
        (Parameter("records", "text", shown="RECORD..."),),
        "in a fork: step all again without these records, and print what differs",
        "history",
        _ask("without", "Step a fork again without some records.",
             Query("records", "string", "their numbers", required=True)),
        options=(OUTPUT, AT, INTO),
    ),
    Verb(
        "edit",
        (Parameter("record", "word", shown="RECORD|WORKER"),
         Parameter("given", "input", shown="INPUT")),
        "in a fork: step all again with INPUT in the record's place, and print what differs; "
        "at a break: let WORKER go on with INPUT",
        "history",
        _ask("edit", "Step a fork again with another input.",
             Query("record", "string", "its number; a worker that is held at a break",
                   required=True),
             Query("given", "string", "the other input", required=True)),
        options=(OUTPUT, AT, INTO),
    ),
    Verb(
        "advance",
        (Parameter("span", "word", shown="TIME"),),
        "in a fork: let time pass (`90s`, `5m`), and print what that brings",
        "history",
        _ask("advance", "Let time pass in a fork.",
             Query("span", "string", "how long: 90s, 5m, 2h", required=True)),
        options=(OUTPUT, AT, INTO),
    ),
    Verb(
        "adopt",
        (_WORKER,),
        "in a fork: print what its state would change in the live worker; `--yes` puts it there",
        "history",
        _ask("adopt", "Put the state of a fork in the live worker's place.",
             Query("worker", "string", "whose", required=True),
             Query("why", "string", "the reason, which is recorded; needed"),
             flag("sure", "`yes` does it; else only the difference is told"),
             Query("plan", "string", "the `plan` that was agreed to; another one is only told")),
        options=(Option("why", ("--why",), "TEXT", "the reason, which is recorded",
                        kind="text"), _YES, OUTPUT, AT, INTO),
    ),
    Verb(
        "replay",
        (Parameter("worker", "worker", shown="WORKER|all"),),
        "step what is remembered on other code, and print what differs",
        "history",
        _ask("replay",
             "Step what is remembered on other code; over TCP that of the tree's folder alone.",
             Query("worker", "string", "whose inputs; `all` for all", required=True),
             Query("code", "string", "a file where the tree runs; default: the code that runs")),
        options=(Option("code", ("--code",), "FILE", "the other code"), OUTPUT, AT, INTO),
    ),
    Verb(
        "shrink",
        (Parameter("record", "word", required=False),),
        "find the fewest inputs that crash alike, and write a test of them",
        "history",
        _ask("shrink", "Find the fewest inputs that crash alike.",
             Query("record", "string", "a crash; default: the last"),
             Query("when", "string", "a rule that must not hold, in place of a crash"),
             Query("beside", "string", "the folder that the test is for"),
             flag("every", "`yes`: the fewest inputs of all workers are told")),
        options=(Option("when", ("--when",), "EXPR", "until this holds", kind="expr"),
                 Option("every", ("--every",), "", "inputs of all workers", kind="flag"),
                 _FILE, FORCE, AT, INTO),
    ),
    Verb(
        "report",
        (Parameter("file", "word"),),
        "write a page of what is remembered: lanes, crashes, restarts, changes; one HTML file",
        "history",
        options=(FORCE, OUTPUT, AT, INTO),
        composed=True,
    ),
)  # fmt: skip
